//! Settings of `ironlight run` and of the commands that need to find its data directory.
//!
//! Flags weigh most, then the environment (`IRONLIGHT_...`), then the configuration file.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::Args;
use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Value};
use ironlight_spv::sync::SyncConfig;
use ironlight_spv::{BlockHash, BlockHeight, Network, Params, Work, parse_work};
use serde::{Deserialize, Serialize};

use crate::node::{NodeConfig, StartPoint, Storage};
use crate::store::Backend;

/// A setting is not what it must be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file, the environment or a flag cannot be read.
    #[error("configuration: {0}")]
    Unreadable(Box<figment::Error>),
    /// A setting has a wrong value.
    #[error("{setting} is {value:?}: {expected}")]
    Invalid {
        /// Its name.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// The file has a setting that there is not.
    #[error("{} sets {name:?}, which is no setting: there are {}", file.display(), SETTINGS.join(", "))]
    Unknown {
        /// Its name.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// There is no home directory to put data in.
    #[error("this system names no directory for data: give one with --data-dir")]
    NoDataDir,
}

fn invalid(setting: &'static str, value: &str, expected: impl ToString) -> ConfigError {
    ConfigError::Invalid { setting, value: value.to_owned(), expected: expected.to_string() }
}

/// Which network, and where its data is.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub struct NetworkArgs {
    /// mainnet, testnet3, testnet4, signet or regtest [default: mainnet].
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Challenge script of a signet of one's own, in hexadecimal.
    #[arg(long, value_name = "HEX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signet_challenge: Option<String>,
    /// Where data is kept; each network has a directory of its own in it.
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// TOML file with settings, named as the flags are with underscores.
    #[arg(long, value_name = "TOML")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
}

/// All settings of a node, wherever they come from.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub(super) struct Settings {
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) location: NetworkArgs,
    /// Full node to connect to, HOST or HOST:PORT; may be given several times. Only these are
    /// connected to.
    #[arg(long, value_name = "ADDRESS")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    connect: Vec<String>,
    /// Ask no DNS seeds for peers.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_seeds: bool,
    /// Start from a block that you trust instead of genesis.
    #[arg(long, value_name = "HEIGHT:HASH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    start_point: Option<String>,
    /// A chain from a peer with less total work is not stored, as Bitcoin Core's option.
    #[arg(long, value_name = "HEX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_chain_work: Option<String>,
    /// Demand this hash at this height; may be given several times.
    #[arg(long, value_name = "HEIGHT:HASH")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checkpoint: Vec<String>,
    /// sled or redb [default: what the directory has, sled for a new one].
    #[arg(long, value_name = "BACKEND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) store: Option<String>,
}

impl NetworkArgs {
    /// The parameters of the network asked for.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn params(&self) -> Result<Params, ConfigError> {
        let name = self.network.as_deref().unwrap_or("mainnet");
        let network: Network = name.parse().map_err(|error| invalid("network", name, error))?;
        match &self.signet_challenge {
            None => Ok(Params::new(network)),
            Some(hex) if network == Network::Signet => {
                let script = bitcoin::ScriptBuf::from_hex(hex)
                    .map_err(|error| invalid("signet-challenge", hex, error))?;
                Ok(Params::custom_signet(script.as_bytes()))
            }
            Some(hex) => {
                Err(invalid("signet-challenge", hex, format!("{network} is no signet: drop it")))
            }
        }
    }

    /// The directory that holds the data of all networks.
    ///
    /// # Errors
    /// [`ConfigError::NoDataDir`].
    pub fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        if let Some(directory) = &self.data_dir {
            return Ok(directory.clone());
        }
        directories::ProjectDirs::from("", "", "ironlight")
            .map(|directories| directories.data_dir().to_owned())
            .ok_or(ConfigError::NoDataDir)
    }

    /// The directory that holds this network's data.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn network_dir(&self) -> Result<PathBuf, ConfigError> {
        Ok(self.data_dir()?.join(self.params()?.network.name()))
    }

    /// These flags with what the environment and the file add.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`].
    pub fn resolve(self) -> Result<Self, ConfigError> {
        let file = self.config.clone();
        extract(file, self)
    }
}

impl Settings {
    /// These flags with what the environment and the file add.
    pub(super) fn resolve(self) -> Result<Self, ConfigError> {
        let file = self.location.config.clone();
        extract(file, self)
    }

    /// The node that these settings describe.
    pub(super) fn node_config(&self) -> Result<NodeConfig, ConfigError> {
        let mut params = self.location.params()?;
        if let Some(work) = &self.min_chain_work {
            params.minimum_chain_work = parse_chain_work("min-chain-work", work)?;
        }
        for text in &self.checkpoint {
            let StartPoint { height, hash } = parse_point("checkpoint", text)?;
            params.checkpoints.insert(height, hash);
        }
        let start_point = self.start_point.as_deref();
        let start_point = start_point.map(|text| parse_point("start-point", text)).transpose()?;
        let connect = resolve_addresses(&self.connect, params.default_port)?;
        let backend = self.backend()?;
        let storage = Storage::Disk { data_dir: self.location.data_dir()?, backend };
        let dns_seeds = !self.no_seeds && connect.is_empty();
        let sync = SyncConfig::default();
        Ok(NodeConfig { params, storage, connect, dns_seeds, start_point, sync })
    }

    pub(super) fn backend(&self) -> Result<Option<Backend>, ConfigError> {
        parse_backend(self.store.as_deref())
    }
}

pub(super) fn parse_backend(name: Option<&str>) -> Result<Option<Backend>, ConfigError> {
    name.map(|name| name.parse().map_err(|error| invalid("store", name, error))).transpose()
}

/// Every setting, as files and (in capitals, behind `IRONLIGHT_`) the environment name it.
const SETTINGS: [&str; 9] = [
    "checkpoint",
    "connect",
    "data_dir",
    "min_chain_work",
    "network",
    "no_seeds",
    "signet_challenge",
    "start_point",
    "store",
];

fn extract<T: Serialize + for<'de> Deserialize<'de>>(
    file: Option<PathBuf>,
    flags: T,
) -> Result<T, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable(Box::new(error));
    let file = file.or_else(|| std::env::var_os("IRONLIGHT_CONFIG").map(PathBuf::from));
    let mut figment = Figment::new();
    if let Some(file) = file {
        figment = figment.merge(Toml::file_exact(&file));
        let found: Dict = figment.extract().map_err(unreadable)?;
        let known = |name: &String| SETTINGS.contains(&name.as_str());
        if let Some(name) = found.into_keys().find(|name| !known(name)) {
            return Err(ConfigError::Unknown { name, file });
        }
    }
    figment
        .merge(Serialized::defaults(environment()?))
        .merge(Serialized::defaults(flags))
        .extract()
        .map_err(unreadable)
}

/// What the environment sets. Values are taken as they stand: digits stay hexadecimal digits.
fn environment() -> Result<Dict, ConfigError> {
    let mut found = Dict::new();
    for name in SETTINGS {
        let Ok(text) = std::env::var(format!("IRONLIGHT_{}", name.to_uppercase())) else {
            continue;
        };
        let value = match name {
            "connect" | "checkpoint" => Value::from(text.split(',').collect::<Vec<_>>()),
            "no_seeds" => Value::from(
                text.parse::<bool>()
                    .map_err(|_error| invalid("IRONLIGHT_NO_SEEDS", &text, "true or false"))?,
            ),
            _ => Value::from(text),
        };
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

pub(super) fn parse_chain_work(setting: &'static str, text: &str) -> Result<Work, ConfigError> {
    parse_work(text).ok_or_else(|| invalid(setting, text, "at most 64 hexadecimal digits"))
}

fn parse_point(setting: &'static str, text: &str) -> Result<StartPoint, ConfigError> {
    let expected = "a height, a colon and a block hash of 64 hexadecimal digits";
    let parsed = text.split_once(':').and_then(|(height, hash)| {
        let height = BlockHeight(height.parse().ok()?);
        Some(StartPoint { height, hash: hash.parse::<BlockHash>().ok()? })
    });
    parsed.ok_or_else(|| invalid(setting, text, expected))
}

/// Resolves what the user named: addresses stand for themselves, names are looked up once.
fn resolve_addresses(peers: &[String], port: u16) -> Result<Vec<SocketAddr>, ConfigError> {
    let mut addresses = Vec::new();
    for peer in peers {
        let resolved = match peer.parse::<SocketAddr>() {
            Ok(address) => vec![address],
            Err(_no_address) => look_up(peer, port)
                .map_err(|error| invalid("connect", peer, format!("no address ({error})")))?,
        };
        addresses.extend(resolved);
    }
    Ok(addresses)
}

fn look_up(peer: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = peer.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let resolved = match peer.rsplit_once(':') {
        Some((host, own)) if own.parse::<u16>().is_ok() => {
            (host, own.parse::<u16>().unwrap_or(port)).to_socket_addrs()?
        }
        Some(_) | None => (peer, port).to_socket_addrs()?,
    };
    Ok(resolved.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::result_large_err, reason = "the closure's error type is figment's")]
    fn settings(file: &str, environment: &[(&str, &str)], flags: Settings) -> Settings {
        let mut resolved = None;
        figment::Jail::expect_with(|jail| {
            jail.create_file("ironlight.toml", file)?;
            jail.set_env("IRONLIGHT_CONFIG", "ironlight.toml");
            environment.iter().for_each(|(name, value)| jail.set_env(name, value));
            resolved = Some(flags.clone().resolve().unwrap());
            Ok(())
        });
        resolved.unwrap()
    }

    #[test]
    fn flags_weigh_more_than_the_environment_and_that_more_than_the_file() {
        let file = "network = 'signet'\nstore = 'redb'\nno_seeds = true\nmin_chain_work = '0a'";
        let environment = [
            ("IRONLIGHT_NETWORK", "testnet4"),
            ("IRONLIGHT_STORE", "sled"),
            ("IRONLIGHT_CONNECT", "192.0.2.1,192.0.2.2:1"),
        ];
        let location =
            NetworkArgs { network: Some("regtest".to_owned()), ..NetworkArgs::default() };
        let flags = Settings { location, ..Settings::default() };
        let settings = settings(file, &environment, flags);
        assert_eq!(settings.location.network.as_deref(), Some("regtest"));
        assert_eq!(settings.store.as_deref(), Some("sled"));
        assert!(settings.no_seeds);
        assert_eq!(settings.min_chain_work.as_deref(), Some("0a"));
        assert_eq!(settings.connect, ["192.0.2.1", "192.0.2.2:1"]);
    }

    #[test]
    fn digits_in_the_environment_stay_as_they_stand() {
        let work = "01128750f82f4c366153a3a030";
        for work in [work, "00", "10", "1e9"] {
            let settings = settings("", &[("IRONLIGHT_MIN_CHAIN_WORK", work)], Settings::default());
            assert_eq!(settings.min_chain_work.as_deref(), Some(work));
        }
    }

    #[test]
    #[allow(clippy::result_large_err, reason = "the closure's error type is figment's")]
    fn a_misspelt_setting_is_refused() {
        figment::Jail::expect_with(|jail| {
            jail.create_file("ironlight.toml", "netwrok = 'signet'")?;
            jail.set_env("IRONLIGHT_CONFIG", "ironlight.toml");
            let error = Settings::default().resolve().unwrap_err();
            assert!(matches!(error, ConfigError::Unknown { name, .. } if name == "netwrok"));
            Ok(())
        });
    }

    #[test]
    fn a_peer_without_port_gets_the_networks() {
        let peers = ["127.0.0.1".to_owned(), "127.0.0.1:7".to_owned(), "::1".to_owned()];
        let addresses = resolve_addresses(&peers, 18_444).unwrap();
        let expected = ["127.0.0.1:18444", "127.0.0.1:7", "[::1]:18444"];
        assert_eq!(addresses, expected.map(|address| address.parse().unwrap()));
    }

    #[test]
    fn a_start_point_needs_height_and_hash() {
        for text in ["840000", "840000:", ":00", "x:00", "840000:12"] {
            let ConfigError::Invalid { setting, .. } =
                parse_point("start-point", text).unwrap_err()
            else {
                panic!("another error for {text}");
            };
            assert_eq!(setting, "start-point");
        }
    }
}
