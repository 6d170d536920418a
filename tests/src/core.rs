//! A real Bitcoin Core on regtest.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{eventually, free_port};

/// Regtest's genesis time plus a day: mock time starts here, so that long chains stay in the past.
const FIRST_TIME: u64 = 1_296_688_602 + 86_400;
/// What blocks pay to: an output that anyone can spend.
const ANYONE: &str = "raw(51)#8lvh9jxk";

/// A running `bitcoind`, stopped and removed when dropped.
#[derive(Debug)]
pub struct BitcoinCore {
    process: Child,
    directory: TempDir,
    p2p: u16,
    rpc: u16,
    time: u64,
    extra: Vec<String>,
}

/// The program that `BITCOIND_EXE` names, else the one on the path.
fn program() -> PathBuf {
    std::env::var_os("BITCOIND_EXE").map_or_else(|| PathBuf::from("bitcoind"), PathBuf::from)
}

fn launch(directory: &Path, p2p: u16, rpc: u16, extra: &[&str]) -> Child {
    Command::new(program())
        .arg("-regtest")
        .arg(format!("-datadir={}", directory.display()))
        .arg(format!("-bind=127.0.0.1:{p2p}"))
        .arg(format!("-rpcport={rpc}"))
        .args(["-rpcuser=test", "-rpcpassword=test", "-dnsseed=0", "-printtoconsole=0"])
        .args(["-listenonion=0", "-fixedseeds=0", "-rpcthreads=2"])
        // On regtest it checks its whole index at each block, which makes long chains slow.
        .args(["-checkblockindex=0", "-checkmempool=0"])
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("bitcoind starts (is BITCOIND_EXE set?)")
}

impl BitcoinCore {
    /// Starts one on free ports with an empty chain; `extra` are further options.
    #[must_use]
    pub fn start(extra: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (p2p, rpc) = (free_port(), free_port());
        let process = launch(directory.path(), p2p, rpc, extra);
        let extra = extra.iter().map(|&option| option.to_owned()).collect();
        let core = Self { process, directory, p2p, rpc, time: FIRST_TIME, extra };
        core.is_up();
        core
    }

    fn is_up(&self) {
        eventually("Bitcoin Core answers", Duration::from_secs(60), || {
            self.try_call("getblockcount", json!([])).is_some()
        });
        self.call("setmocktime", json!([self.time]));
    }

    /// Stops it in order and starts it again on its data, with the same ports.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        self.call("stop", json!([]));
        self.process.wait().unwrap();
    }

    /// Starts it again on its data, with the same ports.
    pub fn start_again(&mut self) {
        let extra: Vec<&str> = self.extra.iter().map(String::as_str).collect();
        self.process = launch(self.directory.path(), self.p2p, self.rpc, &extra);
        self.is_up();
    }

    /// Where it listens for peers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.p2p))
    }

    /// Its data directory.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Calls a method and expects it to succeed.
    #[must_use = "a call's answer says what happened; drop it on purpose"]
    pub fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params)
    }

    fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.try_call(method, params).expect("Bitcoin Core answers");
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// Calls a method many times in one request, which saves Core's wait for each connection, and
    /// expects every call to succeed.
    #[must_use = "the calls' answers say what happened; drop them on purpose"]
    pub fn ask_all(&self, method: &str, params: impl Iterator<Item = Value>) -> Vec<Value> {
        let calls = params.map(|params| json!({ "id": 1, "method": method, "params": params }));
        let answers = self.post(&Value::Array(calls.collect())).expect("Bitcoin Core answers");
        let answers = answers.as_array().expect("an answer a call").iter().map(|answer| {
            assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
            answer["result"].clone()
        });
        answers.collect()
    }

    fn try_call(&self, method: &str, params: Value) -> Option<Value> {
        let value = self.post(&json!({ "id": 1, "method": method, "params": params }))?;
        // While it starts up it answers with an error of this number.
        (value["error"]["code"] != json!(-28)).then_some(value)
    }

    fn post(&self, body: &Value) -> Option<Value> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.rpc)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(600))).ok()?;
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Basic dGVzdDp0ZXN0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// Mines blocks, a minute of mock time each, and gives the new tip's hash.
    pub fn mine(&mut self, mut blocks: u32) -> String {
        while blocks > 0 {
            let some = blocks.min(500);
            self.time += u64::from(some) * 60;
            self.call("setmocktime", json!([self.time]));
            self.call("generatetodescriptor", json!([some, ANYONE]));
            blocks -= some;
        }
        self.tip()
    }

    /// Mines a block that pays its reward to an address, with what waits in the memory pool, or
    /// without any of it.
    pub fn mine_to(&mut self, address: &str, with_pool: bool) -> String {
        self.time += 60;
        self.call("setmocktime", json!([self.time]));
        if with_pool {
            self.call("generatetoaddress", json!([1, address]));
        } else {
            self.call("generateblock", json!([address, []]));
        }
        self.tip()
    }

    /// Lets its clock go on: it waits a while before it asks for what a peer announced.
    pub fn tick(&mut self, seconds: u64) {
        self.time += seconds;
        self.call("setmocktime", json!([self.time]));
    }

    /// The hash of its tip.
    #[must_use]
    pub fn tip(&self) -> String {
        self.call("getbestblockhash", json!([])).as_str().unwrap().to_owned()
    }

    /// The height of its tip.
    #[must_use]
    pub fn height(&self) -> u32 {
        u32::try_from(self.call("getblockcount", json!([])).as_u64().unwrap()).unwrap()
    }

    /// The hash at a height.
    #[must_use]
    pub fn hash_at(&self, height: u32) -> String {
        self.call("getblockhash", json!([height])).as_str().unwrap().to_owned()
    }

    /// Takes the last blocks off and mines one more than that instead.
    pub fn reorg(&mut self, depth: u32) -> String {
        let first = self.hash_at(self.height() - depth + 1);
        self.call("invalidateblock", json!([first]));
        self.mine(depth + 1)
    }
}

impl Drop for BitcoinCore {
    fn drop(&mut self) {
        // Its directory goes too, so there is nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
