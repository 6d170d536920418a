//! A light node: its process, its directory, and what it says of itself.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::node_log::NodeLog;
use super::process::Process;
use super::record::{Names, Record};
use crate::api::client::{self, ClientError};
use crate::api::{PeersDto, StatusDto};
use crate::cli::Failure;

/// What a node said last.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) height: u32,
    pub(super) hash: String,
    pub(super) phase: String,
    /// Addresses of its peers, on all networks.
    pub(super) peers: Vec<String>,
    /// Where light nodes reach it.
    pub(super) listening: Vec<String>,
    /// When this tip was first seen.
    pub(super) since: Instant,
}

/// See above.
#[derive(Debug)]
pub(super) struct LightNode {
    pub(super) name: String,
    /// The networks that it is in, for people.
    pub(super) networks: &'static str,
    data_dir: PathBuf,
    options: Vec<String>,
    pub(super) log: NodeLog,
    process: Option<Process>,
    pub(super) started: Instant,
    /// None until it answers, and once it is stopped.
    pub(super) standing: Option<Standing>,
    pub(super) record: Record,
    /// From its first start to the tip.
    pub(super) synced_in: Option<Duration>,
    pub(super) peak_memory: Option<u64>,
}

impl LightNode {
    /// One that does not run yet, with a directory of its own.
    pub(super) fn new(
        root: &Path,
        name: String,
        networks: &'static str,
        options: Vec<String>,
    ) -> Self {
        Self {
            data_dir: root.join(&name),
            log: NodeLog::new(root.join(format!("{name}.log"))),
            name,
            networks,
            options,
            process: None,
            started: Instant::now(),
            standing: None,
            record: Record::default(),
            synced_in: None,
            peak_memory: None,
        }
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where its control socket is.
    pub(super) fn network_dir(&self) -> PathBuf {
        self.data_dir.join("regtest")
    }

    pub(super) const fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it; what its log says from now on is of this run.
    pub(super) fn start(&mut self) -> Result<u32, Failure> {
        self.log.pass_over();
        self.record.begin_run();
        let run = ["--log-format", "json", "run", "--network", "regtest", "--data-dir"];
        let mut arguments: Vec<String> = run.iter().map(|&part| part.to_owned()).collect();
        arguments.push(self.data_dir.display().to_string());
        arguments.push("--networks".to_owned());
        arguments.push(self.networks.to_owned());
        arguments.extend(self.options.iter().cloned());
        self.started = Instant::now();
        let process = Process::start(&arguments, self.log.path())?;
        let id = process.id();
        self.process = Some(process);
        Ok(id)
    }

    /// Asks it how it stands. False while it does not answer yet; an error once its process has
    /// ended by itself.
    pub(super) async fn look(&mut self, names: &Names) -> Result<bool, Failure> {
        let Some(process) = &mut self.process else { return Ok(false) };
        if let Some(status) = process.ended() {
            return Err(self.died(status));
        }
        if let Some(memory) = process.peak_memory() {
            self.peak_memory = self.peak_memory.max(Some(memory));
        }
        let directory = self.network_dir();
        let asked = async {
            let status: StatusDto = client::get(&directory, "/v1/status").await?;
            let peers: PeersDto = client::get(&directory, "/v1/peers").await?;
            Ok((status, peers))
        };
        let (status, peers) = match asked.await {
            Ok(answers) => answers,
            Err(ClientError::NotRunning { .. }) => return Ok(false),
            Err(error) => return Err(format!("{}: {error}", self.name).into()),
        };
        self.record.take_in(&peers, names);
        let addresses = |network: &crate::api::NetworkDto| {
            network.peers.iter().map(|peer| peer.address.clone()).collect::<Vec<_>>()
        };
        let before = self.standing.take().filter(|before| before.hash == status.tip.hash);
        self.standing = Some(Standing {
            since: before.map_or_else(Instant::now, |before| before.since),
            height: status.tip.height,
            hash: status.tip.hash,
            phase: status.phase,
            peers: peers.networks.iter().flat_map(addresses).collect(),
            listening: peers.networks.into_iter().flat_map(|network| network.listening).collect(),
        });
        Ok(true)
    }

    fn died(&self, status: ExitStatus) -> Failure {
        let (name, log) = (&self.name, self.log.path().display());
        let said = self.log.last_line();
        format!("{name} ended by itself ({status}); the last line of {log}: {said}").into()
    }

    /// SIGTERM, and waits for its end, which has to be an orderly one.
    pub(super) async fn stop(&mut self, names: &Names) -> Result<(), Failure> {
        // The last word on what it had from whom, if it still answers; how it ends is judged below.
        let _ = self.look(names).await;
        let Some(process) = self.process.take() else { return Ok(()) };
        self.standing = None;
        let status = process.terminate().await?;
        if status.success() { Ok(()) } else { Err(self.died(status)) }
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.standing = None;
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// The height at which it found its chain when it started, by its log.
    pub(super) fn opened_at(&self) -> Result<u64, Failure> {
        let opened = self.log.first("chain opened")?.and_then(|entry| entry.number("height"));
        let log = self.log.path().display();
        opened.ok_or_else(|| format!("{log} does not say at which height the chain opened").into())
    }

    /// How it stands, in a few words.
    pub(super) fn says(&self) -> String {
        match &self.standing {
            Some(Standing { height, hash, phase, .. }) => {
                format!("{phase}, at height {height} with tip {hash}")
            }
            None if self.runs() => "running, but does not answer".to_owned(),
            None => "stopped".to_owned(),
        }
    }
}
