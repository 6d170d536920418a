//! What differs from network to network.
//!
//! Sources: Bitcoin Core v31.99, `kernel/chainparams.cpp` (limits, heights, work, ports, seeds,
//! presync figures), BIP94 (testnet4), BIP325 (signet), BIP34, BIP66 and BIP65 (version heights).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{BlockHash, CompactTarget, Target, Work};

use crate::header::{BlockHeight, Header};

/// The networks that Bitcoin Core knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// The real one.
    Mainnet,
    /// The third test network.
    Testnet3,
    /// The fourth test network (BIP94).
    Testnet4,
    /// A test network whose blocks are signed (BIP325). All signets share one genesis.
    Signet,
    /// A private network with trivial proof of work.
    Regtest,
}

impl Network {
    /// All networks.
    pub const ALL: [Self; 5] =
        [Self::Mainnet, Self::Testnet3, Self::Testnet4, Self::Signet, Self::Regtest];

    /// The name that the command line and directories use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet3 => "testnet3",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }

    const fn in_bitcoin_crate(self) -> bitcoin::Network {
        match self {
            Self::Mainnet => bitcoin::Network::Bitcoin,
            Self::Testnet3 => bitcoin::Network::Testnet,
            Self::Testnet4 => bitcoin::Network::Testnet4,
            Self::Signet => bitcoin::Network::Signet,
            Self::Regtest => bitcoin::Network::Regtest,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is that of no known network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownNetwork;

impl fmt::Display for UnknownNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown network: expected mainnet, testnet3, testnet4, signet or regtest")
    }
}

impl core::error::Error for UnknownNetwork {}

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(name: &str) -> Result<Self, UnknownNetwork> {
        Self::ALL.into_iter().find(|network| network.name() == name).ok_or(UnknownNetwork)
    }
}

/// How header presync commits to a chain (`headerssync.cpp`; figures of `chainparams.cpp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresyncParams {
    /// One commitment bit is kept every so many headers.
    pub commitment_period: u32,
    /// So many headers of a redownload are held back until their commitments are checked.
    pub redownload_buffer: u32,
}

/// The constants of one network, and what the user adds to them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Params {
    /// Which network.
    pub network: Network,
    /// The first four bytes of each message of the peer protocol.
    pub magic: [u8; 4],
    /// The port that full nodes listen on by default.
    pub default_port: u16,
    /// The first header.
    pub genesis: Header,
    /// The easiest target allowed, in compact form.
    pub pow_limit: CompactTarget,
    /// Blocks in a difficulty period.
    pub period: u32,
    /// Seconds that a period should take.
    pub timespan: u32,
    /// Seconds that a block should take.
    pub spacing: u32,
    /// Regtest: the target never changes.
    pub no_retargeting: bool,
    /// Testnets: a header more than two spacings after its parent uses the limit.
    pub minimum_difficulty_blocks: bool,
    /// BIP94: the retarget starts from the period's first header, and no period starts in the past.
    pub bip94: bool,
    /// From here on a version is at least 2.
    pub bip34_height: BlockHeight,
    /// From here on a version is at least 3.
    pub bip66_height: BlockHeight,
    /// From here on a version is at least 4.
    pub bip65_height: BlockHeight,
    /// A chain with less work is not worth storing from a peer.
    pub minimum_chain_work: Work,
    /// Presync figures.
    pub presync: PresyncParams,
    /// Names whose addresses are full nodes.
    pub dns_seeds: &'static [&'static str],
    /// Hashes that the user demands at some heights; none are built in.
    pub checkpoints: BTreeMap<BlockHeight, BlockHash>,
}

impl Params {
    /// The parameters of a network; of a signet, those of the default one.
    #[must_use]
    pub fn new(network: Network) -> Self {
        match network {
            Network::Mainnet => mainnet(),
            Network::Testnet3 => testnet3(),
            Network::Testnet4 => testnet4(),
            Network::Signet => signet(),
            Network::Regtest => regtest(),
        }
    }

    /// A signet of one's own, told apart by its challenge script: the magic is the first four
    /// bytes of the double SHA-256 of the script with its length in front (BIP325).
    #[must_use]
    pub fn custom_signet(challenge: &[u8]) -> Self {
        let mut preimage = bitcoin::consensus::serialize(&bitcoin::VarInt::from(challenge.len()));
        preimage.extend_from_slice(challenge);
        let [a, b, c, d, ..] = sha256d::Hash::hash(&preimage).to_byte_array();
        Self { magic: [a, b, c, d], minimum_chain_work: no_work(), dns_seeds: &[], ..signet() }
    }

    /// The easiest target allowed.
    #[must_use]
    pub fn pow_limit_target(&self) -> Target {
        Target::from_compact(self.pow_limit)
    }

    /// Whether a height is the first of a difficulty period.
    #[must_use]
    pub const fn starts_period(&self, height: BlockHeight) -> bool {
        height.0.is_multiple_of(self.period)
    }

    /// On signets the blocks' signatures are not in the headers, so headers prove work only.
    #[must_use]
    pub const fn signatures_outside_headers(&self) -> bool {
        matches!(self.network, Network::Signet)
    }

    /// The highest user checkpoint at or below a height.
    pub(crate) fn last_checkpoint(&self, height: BlockHeight) -> Option<(BlockHeight, BlockHash)> {
        self.checkpoints.range(..=height).next_back().map(|(height, hash)| (*height, *hash))
    }
}

/// The work of nothing.
pub(crate) fn no_work() -> Work {
    Work::from_be_bytes([0; 32])
}

fn work(low: u128) -> Work {
    let mut bytes = [0; 32];
    bytes[16..].copy_from_slice(&low.to_be_bytes());
    Work::from_be_bytes(bytes)
}

/// What all networks start from: mainnet's period and spacing, no exceptions to the rules.
fn base(network: Network) -> Params {
    let in_bitcoin = network.in_bitcoin_crate();
    Params {
        network,
        magic: bitcoin::p2p::Magic::from(in_bitcoin).to_bytes(),
        default_port: 0,
        genesis: bitcoin::constants::genesis_block(in_bitcoin).header.into(),
        pow_limit: CompactTarget::from_consensus(0x1d00_ffff),
        period: 2016,
        timespan: 14 * 24 * 60 * 60,
        spacing: 600,
        no_retargeting: false,
        minimum_difficulty_blocks: false,
        bip94: false,
        bip34_height: BlockHeight(1),
        bip66_height: BlockHeight(1),
        bip65_height: BlockHeight(1),
        minimum_chain_work: no_work(),
        presync: PresyncParams { commitment_period: 275, redownload_buffer: 7017 },
        dns_seeds: &[],
        checkpoints: BTreeMap::new(),
    }
}

fn mainnet() -> Params {
    Params {
        default_port: 8333,
        bip34_height: BlockHeight(227_931),
        bip66_height: BlockHeight(363_725),
        bip65_height: BlockHeight(388_381),
        minimum_chain_work: work(0x01_1287_50f8_2f4c_3661_53a3_a030),
        presync: PresyncParams { commitment_period: 641, redownload_buffer: 15_218 },
        dns_seeds: &[
            "dnsseed.bluematt.me",
            "seed.bitcoin.jonasschnelli.ch",
            "seed.btc.petertodd.net",
            "seed.bitcoin.sprovoost.nl",
            "dnsseed.emzy.de",
            "seed.bitcoin.wiz.biz",
            "seed.mainnet.achownodes.xyz",
        ],
        ..base(Network::Mainnet)
    }
}

fn testnet3() -> Params {
    Params {
        default_port: 18_333,
        minimum_difficulty_blocks: true,
        bip34_height: BlockHeight(21_111),
        bip66_height: BlockHeight(330_776),
        bip65_height: BlockHeight(581_885),
        minimum_chain_work: work(0x17dd_e1c6_49f3_708d_14b6),
        presync: PresyncParams { commitment_period: 673, redownload_buffer: 14_460 },
        dns_seeds: &[
            "testnet-seed.bitcoin.jonasschnelli.ch",
            "seed.tbtc.petertodd.net",
            "seed.testnet.bitcoin.sprovoost.nl",
            "testnet-seed.bluematt.me",
            "seed.testnet.achownodes.xyz",
        ],
        ..base(Network::Testnet3)
    }
}

fn testnet4() -> Params {
    Params {
        default_port: 48_333,
        minimum_difficulty_blocks: true,
        bip94: true,
        minimum_chain_work: work(0x09a0_fe15_d017_7d08_6304),
        presync: PresyncParams { commitment_period: 606, redownload_buffer: 16_092 },
        dns_seeds: &["seed.testnet4.bitcoin.sprovoost.nl", "seed.testnet4.wiz.biz"],
        ..base(Network::Testnet4)
    }
}

fn signet() -> Params {
    Params {
        default_port: 38_333,
        pow_limit: CompactTarget::from_consensus(0x1e03_77ae),
        minimum_chain_work: work(0x0b46_3ea0_a4b8),
        presync: PresyncParams { commitment_period: 620, redownload_buffer: 15_724 },
        dns_seeds: &["seed.signet.bitcoin.sprovoost.nl", "seed.signet.achownodes.xyz"],
        ..base(Network::Signet)
    }
}

fn regtest() -> Params {
    Params {
        default_port: 18_444,
        pow_limit: CompactTarget::from_consensus(0x207f_ffff),
        // One day: matters only where code counts periods, since regtest never retargets.
        period: 144,
        timespan: 24 * 60 * 60,
        no_retargeting: true,
        minimum_difficulty_blocks: true,
        ..base(Network::Regtest)
    }
}

/// Parses a chain work as Bitcoin Core's `-minimumchainwork` takes it: hexadecimal digits, at
/// most 64, with or without `0x` in front.
///
/// # Errors
/// None where the text is empty, too long or no hexadecimal number.
#[must_use]
pub fn parse_work(text: &str) -> Option<Work> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.is_empty() || digits.len() > 64 {
        return None;
    }
    let nibbles: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let mut bytes = [0u8; 32];
    for (from_end, nibble) in nibbles.iter().rev().enumerate() {
        let byte = bytes.get_mut(31 - from_end / 2)?;
        *byte |= nibble << (4 * (from_end % 2));
    }
    Some(Work::from_be_bytes(bytes))
}
