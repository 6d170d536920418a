//! `ironlight proof verify`: checks a proof that a transaction is in a block. Offline.
//!
//! What is checked without a chain: the form, the hashes up to the header's Merkle root, and that the
//! header has the proof of work that it claims, within what its network allows. Whether the header is in
//! the chain only a chain can say: that of the node that runs, else the one that is stored.

use std::io::Read;
use std::path::{Path, PathBuf};

use bitcoin::hex::{DisplayHex as _, FromHex as _};
use clap::{Args, Subcommand};
use ironlight_spv::chain::Position;
use ironlight_spv::proof::{Inclusion, MerkleBlock, MerkleProof};
use ironlight_spv::rules::pow::PowCheck;
use ironlight_spv::{Header, Params};
use serde::Serialize;

use super::ask::{AskArgs, print_json};
use super::{Failure, NetworkArgs, date};
use crate::api::HeaderDto;
use crate::api::client::{self, ClientError};
use crate::store::{self, headers};

/// Bytes that are read: more than the largest proof has, in hexadecimal.
const MAX_FILE: u64 = 4 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum ProofCommand {
    /// Check a proof; fails where it is false. The network and the data directory say whose proof of
    /// work and which chain it is compared with.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The proof: what `tx prove` or Bitcoin Core's `gettxoutproof` printed, or the same in bytes; -
    /// for standard input.
    file: PathBuf,
    /// Fail, too, unless the block is on the best chain of the local node with so many confirmations.
    #[arg(long, value_name = "N")]
    confirmations: Option<u32>,
    #[command(flatten)]
    ask: AskArgs,
}

/// What a proof shows.
#[derive(Debug, Serialize)]
struct VerdictDto {
    /// `merkle_proof` (one transaction) or `merkle_block` (BIP37).
    form: &'static str,
    transactions: Vec<ProvenDto>,
    block: String,
    header: String,
    time: u32,
    network: String,
    chain: ChainDto,
}

#[derive(Debug, Serialize)]
struct ProvenDto {
    txid: String,
    position: u32,
}

/// What the local chain says of the header.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum ChainDto {
    BestChain { height: u32, confirmations: u32, asked: Asked },
    SideBranch { height: u32, asked: Asked },
    Unknown { asked: Asked, reason: String },
    NotChecked { reason: String },
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Asked {
    Node,
    Store,
}

impl Asked {
    const fn name(self) -> &'static str {
        match self {
            Self::Node => "the running node",
            Self::Store => "the stored headers",
        }
    }
}

pub(super) fn run(command: &ProofCommand) -> Result<(), Failure> {
    match command {
        ProofCommand::Verify(args) => verify(args),
    }
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let location = args.ask.location.clone().resolve()?;
    let params = location.params()?;
    let bytes = read(&args.file)?;
    let (form, proven) = check(&bytes)?;
    let Some(first) = proven.first() else {
        return Err("the proof names no transaction: it proves nothing".into());
    };
    let header = *first.header();
    check_work(&header, &params)?;
    let chain = ask_chain(&header, &params, &location)?;
    let verdict = VerdictDto {
        form,
        transactions: proven.iter().map(ProvenDto::of).collect(),
        block: header.hash().to_string(),
        header: header.as_bytes().to_lower_hex_string(),
        time: header.time().0,
        network: params.network.to_string(),
        chain,
    };
    if args.ask.json {
        print_json(&verdict)?;
    } else {
        print(&verdict, &params);
    }
    match args.confirmations {
        Some(wanted) => check_confirmations(&verdict.chain, wanted),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| format!("{} cannot be read: {error}", path.display());
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(unreadable)?)
    };
    let mut bytes = Vec::new();
    source.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{} is larger than any proof", path.display()).into());
    }
    Ok(from_hex(&bytes).unwrap_or(bytes))
}

/// The bytes that a text of hexadecimal digits stands for; none where it is not one. A proof in bytes
/// begins with a header's version or a mark, neither of which is digits only.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    Vec::from_hex(text).ok().filter(|bytes| !bytes.is_empty())
}

/// The form of a proof, and what it shows.
fn check(bytes: &[u8]) -> Result<(&'static str, Vec<Inclusion>), Failure> {
    let no_proof = |error: &dyn std::fmt::Display| format!("this is no proof: {error}");
    let is_false = |error: &dyn std::fmt::Display| format!("the proof is false: {error}");
    if MerkleProof::is_begun_by(bytes) {
        let proof = MerkleProof::decode(bytes).map_err(|error| no_proof(&error))?;
        let inclusion = proof.verify().map_err(|error| is_false(&error))?;
        return Ok(("merkle_proof", vec![inclusion]));
    }
    let proof = MerkleBlock::decode(bytes).map_err(|error| no_proof(&error))?;
    let found = proof.verify().map_err(|error| is_false(&error))?;
    Ok(("merkle_block", found))
}

fn check_work(header: &Header, params: &Params) -> Result<(), Failure> {
    let checked = PowCheck::new(params.pow_limit).check(header.compact_target(), &header.hash());
    Ok(checked.map_err(|error| {
        let network = params.network;
        format!(
            "the proof is false on {network}: its header {} has no proof of work ({error}); if it is \
             of another network, say so with --network",
            header.hash()
        )
    })?)
}

/// Asks the node that runs, else looks into what it has stored.
fn ask_chain(
    header: &Header,
    params: &Params,
    location: &NetworkArgs,
) -> Result<ChainDto, Failure> {
    let (hash, directory) = (header.hash(), location.network_dir()?);
    let asked = super::runtime()?
        .block_on(client::get::<HeaderDto>(&directory, &format!("/v1/headers/{hash}")));
    match asked {
        Ok(found) => {
            let HeaderDto { height, confirmations, best_chain, .. } = found;
            let asked = Asked::Node;
            Ok(match best_chain {
                true => ChainDto::BestChain { height, confirmations, asked },
                false => ChainDto::SideBranch { height, asked },
            })
        }
        Err(ClientError::Refused(reason)) => Ok(ChainDto::Unknown { asked: Asked::Node, reason }),
        Err(ClientError::NotRunning { .. }) => Ok(look_into_store(header, params, directory)),
        Err(error) => Ok(ChainDto::NotChecked { reason: error.to_string() }),
    }
}

fn look_into_store(header: &Header, params: &Params, dir: PathBuf) -> ChainDto {
    if !store::exists(&dir) {
        let reason = format!("no node runs and nothing is stored in {}", dir.display());
        return ChainDto::NotChecked { reason };
    }
    let options = store::Options { dir, backend: None, now: crate::clock::unix_now().0 };
    let loaded =
        store::open(options).and_then(|opened| headers::read(opened.store.as_ref(), params));
    let chain = match loaded {
        Ok(Some(loaded)) => loaded.chain,
        Ok(None) => {
            return ChainDto::NotChecked { reason: "no headers are stored yet".to_owned() };
        }
        Err(error) => return ChainDto::NotChecked { reason: error.to_string() },
    };
    let (asked, tip) = (Asked::Store, chain.tip().height);
    match chain.find(&header.hash()) {
        Some((found, Position::Best)) => {
            let height = found.height.0;
            let confirmations = tip.next().0.saturating_sub(height);
            ChainDto::BestChain { height, confirmations, asked }
        }
        Some((found, Position::Side)) => ChainDto::SideBranch { height: found.height.0, asked },
        None => {
            let reason = format!("no header with hash {} is known", header.hash());
            ChainDto::Unknown { asked, reason: format!("{reason}; the tip is at {tip}") }
        }
    }
}

impl ProvenDto {
    fn of(inclusion: &Inclusion) -> Self {
        Self { txid: inclusion.txid().to_string(), position: inclusion.index() }
    }
}

fn print(verdict: &VerdictDto, params: &Params) {
    for ProvenDto { txid, position } in &verdict.transactions {
        say!("proven   {txid}, transaction {position} of the block");
    }
    say!("block    {}", verdict.block);
    say!("time     {} (claimed by the block)", date::minute(verdict.time));
    say!("work     the header has the proof of work that it claims on {}", verdict.network);
    if params.signatures_outside_headers() {
        say!("caveat   {}", crate::SIGNET_CAVEAT);
    }
    match &verdict.chain {
        ChainDto::BestChain { height, confirmations, asked } => say!(
            "chain    on the best chain at height {height}, {confirmations} confirmations (by {})",
            asked.name()
        ),
        ChainDto::SideBranch { height, asked } => say!(
            "chain    NOT on the best chain: on a side branch at height {height} (by {})",
            asked.name()
        ),
        ChainDto::Unknown { asked, reason } => {
            say!("chain    NOT in the chain of {}: {reason}", asked.name());
        }
        ChainDto::NotChecked { reason } => {
            say!("chain    not checked: {reason}");
            say!("         whoever spends that much work can make such a header");
        }
    }
}

fn check_confirmations(chain: &ChainDto, wanted: u32) -> Result<(), Failure> {
    match chain {
        ChainDto::BestChain { confirmations, .. } if *confirmations >= wanted => Ok(()),
        ChainDto::BestChain { confirmations, .. } => {
            Err(format!("{confirmations} confirmations, {wanted} were asked for").into())
        }
        ChainDto::SideBranch { .. } => Err("the block is not on the best chain".into()),
        ChainDto::Unknown { .. } => Err("the block is not in the local chain".into()),
        ChainDto::NotChecked { reason } => {
            Err(format!("confirmations were asked for, and there is no chain: {reason}").into())
        }
    }
}
