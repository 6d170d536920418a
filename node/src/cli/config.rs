//! Settings of `ironlight run` and of the commands that need to find its data directory.
//!
//! Flags weigh most, then the environment (`IRONLIGHT_...`), then the configuration file.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::Args;
use etcetera::BaseStrategy as _;
use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Value};
use ironlight_spv::{BlockHash, BlockHeight, Network, Params, Work, parse_work};
use serde::{Deserialize, Serialize};

use super::light::LightSettings;
use super::wallet::WalletSettings;
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

pub(super) fn invalid(setting: &'static str, value: &str, expected: impl ToString) -> ConfigError {
    ConfigError::Invalid { setting, value: value.to_owned(), expected: expected.to_string() }
}

/// Which network, and where its data is.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub struct NetworkArgs {
    /// mainnet, testnet3, testnet4, signet or regtest [default: mainnet].
    #[arg(long, value_parser = checked(|text| text.parse::<Network>()))]
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
    pub(super) chain: ChainSettings,
    /// Full node to connect to, HOST or HOST:PORT; may be given several times. Only these are
    /// connected to.
    #[arg(long, value_name = "ADDRESS", value_parser = checked(split_port))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    connect: Vec<String>,
    /// Ask no DNS seeds for peers.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_seeds: bool,
    /// Start from a block that you trust instead of genesis.
    #[arg(long, value_name = "HEIGHT:HASH", value_parser = checked(parse_point))]
    #[serde(skip_serializing_if = "Option::is_none")]
    start_point: Option<String>,
    /// A chain from a peer with less total work is not stored, as Bitcoin Core's option.
    #[arg(long, value_name = "HEX", value_parser = checked(parse_chain_work))]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_chain_work: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    light: LightSettings,
    #[command(flatten)]
    #[serde(flatten)]
    wallet: WalletSettings,
}

/// A network, where its chain is stored, and what the user demands of it.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub(super) struct ChainSettings {
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) location: NetworkArgs,
    /// Demand this hash at this height; may be given several times.
    #[arg(long, value_name = "HEIGHT:HASH", value_parser = checked(parse_point))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) checkpoint: Vec<String>,
    /// sled or redb [default: what the directory has, sled for a new one].
    #[arg(long, value_name = "BACKEND", value_parser = checked(parse_backend))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) store: Option<String>,
}

impl ChainSettings {
    /// These flags with what the environment and the file add.
    pub(super) fn resolve(self) -> Result<Self, ConfigError> {
        let file = self.location.config.clone();
        extract(file, self)
    }

    /// The network's parameters with the user's checkpoints.
    pub(super) fn params(&self) -> Result<Params, ConfigError> {
        let mut params = self.location.params()?;
        for text in &self.checkpoint {
            let StartPoint { height, hash } = value("checkpoint", text, parse_point)?;
            params.checkpoints.insert(height, hash);
        }
        Ok(params)
    }

    /// The backend asked for.
    pub(super) fn backend(&self) -> Result<Option<Backend>, ConfigError> {
        self.store.as_deref().map(|name| value("store", name, parse_backend)).transpose()
    }
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
        etcetera::choose_base_strategy()
            .map(|system| system.data_dir().join("ironlight"))
            .map_err(|_no_home| ConfigError::NoDataDir)
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
        let file = self.chain.location.config.clone();
        extract(file, self)
    }

    /// The node that these settings describe.
    pub(super) fn node_config(&self) -> Result<NodeConfig, ConfigError> {
        let mut params = self.chain.params()?;
        if let Some(work) = &self.min_chain_work {
            params.minimum_chain_work = value("min-chain-work", work, parse_chain_work)?;
        }
        let start_point = self.start_point.as_deref();
        let start_point =
            start_point.map(|text| value("start-point", text, parse_point)).transpose()?;
        let connect = resolve_addresses(&self.connect, params.default_port)?;
        let data_dir = self.chain.location.data_dir()?;
        let storage = Storage::Disk { data_dir, backend: self.chain.backend()? };
        let networks = self.light.networks()?;
        if !networks.bitcoin && !connect.is_empty() {
            let expected = "connect names full nodes: add bitcoin, or drop connect";
            return Err(invalid("networks", "libp2p", expected));
        }
        let dns_seeds = networks.bitcoin && !self.no_seeds && connect.is_empty();
        let libp2p = self.light.config(networks, self.chain.location.network_dir()?)?;
        let defaults = NodeConfig::of(params);
        Ok(NodeConfig {
            storage,
            connect,
            dns_seeds,
            libp2p,
            start_point,
            filters: self.wallet.filters()?,
            block_cache: self.wallet.block_cache()?.unwrap_or(defaults.block_cache),
            watch_mempool: self.wallet.watch_mempool,
            ..defaults
        })
    }
}

/// Reads a setting, wherever it comes from.
pub(super) fn value<T, E: ToString>(
    setting: &'static str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, ConfigError> {
    parse(text).map_err(|error| invalid(setting, text, error.to_string()))
}

/// A flag that is kept as text but has to be readable: a wrong one is wrong usage.
pub(super) fn checked<T, E: ToString>(
    parse: fn(&str) -> Result<T, E>,
) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |text| parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A backend on disk: what only lives in memory is of no use to a command.
pub(super) fn parse_backend(name: &str) -> Result<Backend, String> {
    match name.parse() {
        Ok(backend @ (Backend::Sled | Backend::Redb)) => Ok(backend),
        Ok(_) | Err(_) => Err("expected sled or redb".to_owned()),
    }
}

/// Every setting, as files and (in capitals, behind `IRONLIGHT_`) the environment name it.
const SETTINGS: [&str; 18] = [
    "block_cache",
    "checkpoint",
    "connect",
    "data_dir",
    "filter_cache",
    "filters_from",
    "listen",
    "mdns",
    "min_chain_work",
    "network",
    "networks",
    "no_seeds",
    "no_snapshots",
    "peer",
    "signet_challenge",
    "start_point",
    "store",
    "watch_mempool",
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
            "checkpoint" | "connect" | "listen" | "peer" => {
                Value::from(text.split(',').collect::<Vec<_>>())
            }
            "mdns" | "no_seeds" | "no_snapshots" | "watch_mempool" => Value::from(
                parse_switch(&text)
                    .ok_or_else(|| invalid(name, &text, "true or false expected"))?,
            ),
            _ => Value::from(text),
        };
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

pub(super) fn parse_chain_work(text: &str) -> Result<Work, String> {
    parse_work(text).ok_or_else(|| "expected at most 64 hexadecimal digits".to_owned())
}

pub(super) fn parse_point(text: &str) -> Result<StartPoint, String> {
    let expected = "expected a height, a colon and a block hash of 64 hexadecimal digits";
    let parsed = text.split_once(':').and_then(|(height, hash)| {
        let height = BlockHeight(height.parse().ok()?);
        Some(StartPoint { height, hash: hash.parse::<BlockHash>().ok()? })
    });
    parsed.ok_or_else(|| expected.to_owned())
}

fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A peer as the user names it: an address or a name, perhaps with a port.
fn split_port(peer: &str) -> Result<(String, Option<u16>), String> {
    if let Ok(address) = peer.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), Some(address.port())));
    }
    match peer.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => match port.parse() {
            Ok(port) => Ok((host.to_owned(), Some(port))),
            Err(_error) => Err("expected HOST or HOST:PORT, with a port up to 65535".to_owned()),
        },
        Some(_) | None => Ok((peer.to_owned(), None)),
    }
}

/// Resolves what the user named: addresses stand for themselves, names are looked up once.
fn resolve_addresses(peers: &[String], port: u16) -> Result<Vec<SocketAddr>, ConfigError> {
    let mut addresses = Vec::new();
    for peer in peers {
        let (host, own) = value("connect", peer, split_port)?;
        let resolved = (host.as_str(), own.unwrap_or(port)).to_socket_addrs();
        addresses.extend(value("connect", peer, |_| match &resolved {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(format!("it has no address ({error})")),
        })?);
    }
    Ok(addresses)
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
        let chain = ChainSettings { location, ..ChainSettings::default() };
        let flags = Settings { chain, ..Settings::default() };
        let settings = settings(file, &environment, flags);
        assert_eq!(settings.chain.location.network.as_deref(), Some("regtest"));
        assert_eq!(settings.chain.store.as_deref(), Some("sled"));
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
            assert!(parse_point(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_none_is_refused() {
        for peer in ["localhost:99999", "localhost:x", "127.0.0.1:70000"] {
            assert!(split_port(peer).is_err(), "{peer}");
        }
        assert_eq!(split_port("::1"), Ok(("::1".to_owned(), None)));
        assert_eq!(split_port("[::1]:7"), Ok(("::1".to_owned(), Some(7))));
    }
}
