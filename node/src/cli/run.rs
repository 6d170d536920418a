//! `ironlight run`: a node until Ctrl-C.

use std::time::Duration;

use clap::Args;
use ironlight_spv::lanes::{self, Standing};
use tracing::{info, warn};

use super::Failure;
use super::config::Settings;
use crate::node::Node;

/// A drain that takes longer is given up.
const DRAIN: Duration = Duration::from_secs(20);
/// See [`Signals::come_soon`].
const MOMENT: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(args: RunArgs) -> Result<(), Failure> {
    let settings = args.settings.resolve()?;
    let runtime = super::runtime()?;
    let done = runtime.block_on(run_node(&settings));
    // Look-ups and dials that are still under way are not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}

async fn run_node(settings: &Settings) -> Result<(), Failure> {
    let config = settings.node_config()?;
    let directory = settings.chain.location.network_dir()?;
    let mut signals = Signals::listen()?;
    info!(
        version = crate::VERSION, network = %config.params.network,
        directory = %directory.display(), "starting"
    );
    let hashing = lanes::report();
    if hashing.ways().any(|(_, standing)| standing == Standing::Disagrees) {
        warn!("{hashing}: a way that computes wrongly was switched off; check this machine");
    } else {
        info!("{hashing}");
    }
    if config.params.signatures_outside_headers() {
        warn!("{}", crate::SIGNET_CAVEAT);
    }
    let mut node = tokio::select! {
        node = Node::start(config) => node?,
        () = signals.next() => return Ok(()),
    };
    node.open_control_socket(&directory)?;
    tokio::select! {
        failed = node.failed() => {
            // The control socket goes before another process may take the directory.
            let stopped = node.stop().await;
            failed.and(stopped)?;
            return Err("the node ended by itself: this is a bug, report it".into());
        }
        () = signals.next() => {}
    }
    info!("stopping; press Ctrl-C again to stop at once");
    tokio::select! {
        stopped = tokio::time::timeout(DRAIN, node.stop()) => match stopped {
            Ok(stopped) => stopped?,
            Err(_elapsed) => warn!("gave up draining after {DRAIN:?}; all that was published is stored"),
        },
        () = signals.next() => info!("stopped at once; all that was published is stored"),
    }
    info!("stopped");
    Ok(())
}

/// Ctrl-C, and the signal that service managers send.
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate })
    }

    /// Whether one comes in the next moment. Ctrl-C on a terminal reaches child processes as well,
    /// so their end may be seen before the signal that explains it.
    pub(super) async fn come_soon(&mut self) -> bool {
        tokio::time::timeout(MOMENT, self.next()).await.is_ok()
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
