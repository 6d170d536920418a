//! What the commands that ask a running node have in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use super::{Failure, NetworkArgs};
use crate::api::client;

/// Which node, and how its answer is printed.
#[derive(Debug, Args)]
pub(super) struct AskArgs {
    #[command(flatten)]
    pub(super) location: NetworkArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl AskArgs {
    pub(super) fn node(&self) -> Result<RunningNode, Failure> {
        RunningNode::at(&self.location)
    }
}

/// A node that answers on its control socket.
pub(super) struct RunningNode {
    directory: PathBuf,
    runtime: Runtime,
}

impl RunningNode {
    pub(super) fn at(location: &NetworkArgs) -> Result<Self, Failure> {
        let directory = location.clone().resolve()?.network_dir()?;
        Ok(Self { directory, runtime: super::runtime()? })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.get_within(path, client::DEADLINE)
    }

    /// For what takes the node longer.
    pub(super) fn get_within<T: DeserializeOwned>(
        &self,
        path: &str,
        deadline: Duration,
    ) -> Result<T, Failure> {
        Ok(self.runtime.block_on(client::get_within(&self.directory, path, deadline))?)
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        Ok(self.runtime.block_on(client::post(&self.directory, path, body))?)
    }

    /// What is no JSON.
    pub(super) fn get_bytes(&self, path: &str, deadline: Duration) -> Result<Vec<u8>, Failure> {
        Ok(self.runtime.block_on(client::get_bytes(&self.directory, path, deadline))?)
    }

    pub(super) fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        bytes: Vec<u8>,
        deadline: Duration,
    ) -> Result<T, Failure> {
        let posting = client::post_bytes(&self.directory, path, bytes, deadline);
        Ok(self.runtime.block_on(posting)?)
    }

    pub(super) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        Ok(self.runtime.block_on(client::put(&self.directory, path, body))?)
    }

    pub(super) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        Ok(self.runtime.block_on(client::delete(&self.directory, path))?)
    }
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A path with what stands behind its question mark; what is none is left out. Values are numbers,
/// hashes and account names, which need no escaping; whatever else somebody typed is refused.
pub(super) fn path(base: &str, query: &[(&str, Option<String>)]) -> Result<String, Failure> {
    let mut path = base.to_owned();
    let given = query.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    for (index, (name, value)) in given.enumerate() {
        if !is_plain(value) {
            return Err(format!("{name} cannot be {value:?}").into());
        }
        let mark = if index == 0 { '?' } else { '&' };
        path.push_str(&format!("{mark}{name}={value}"));
    }
    Ok(path)
}

/// A transaction's id as a part of a path.
pub(super) fn txid(text: &str) -> Result<&str, Failure> {
    match text.parse::<bitcoin::Txid>() {
        Ok(_) => Ok(text),
        Err(_) => Err(format!("{text:?} is no transaction id of 64 hexadecimal digits").into()),
    }
}

fn is_plain(value: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.' | b':');
    !value.is_empty() && value.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_a_path_is_refused() {
        let query = [("account", Some("a-1".to_owned())), ("limit", None)];
        assert_eq!(path("/v1/history", &query).unwrap(), "/v1/history?account=a-1");
        let two = [("from", Some("1".to_owned())), ("to", Some("2".to_owned()))];
        assert_eq!(path("/x", &two).unwrap(), "/x?from=1&to=2");
        for wrong in ["", "a b", "a&b", "a#", "../x", "a\r\nx"] {
            assert!(path("/x", &[("account", Some(wrong.to_owned()))]).is_err(), "{wrong:?}");
        }
    }
}
