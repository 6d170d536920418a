//! A payment to a watched address, on a node that knows light nodes only.

use std::path::Path;
use std::time::Instant;

use bitcoin::hashes::Hash as _;
use bitcoin::hex::FromHex as _;
use bitcoin::{Address, Amount, Network, ScriptBuf, Txid, WScriptHash};
use ironlight_spv::proof::MerkleBlock;

use super::fleet::{LIMIT, LOOK_EVERY, Tell};
use super::stage::Stage;
use crate::api::client;
use crate::api::{BirthdayDto, HistoryDto, HistoryEntryDto, ProofDto, WatchRequestDto, WatchedDto};
use crate::cli::Failure;
use crate::cli::table::time;

const AMOUNT: Amount = Amount::from_sat(123_456);
/// Blocks that the reorg takes off: the payment's own among them.
const REORG: u32 = 2;

/// The second of the line, whose block is fetched from the full node by the first. What a node asks for
/// others it asks of full nodes only: blocks do not go down a line.
const WATCHER: usize = 1;

/// Pays, and shows that a node which knows light nodes only sees it, proves it, and follows its move to
/// another block.
pub(super) async fn payment(stage: &mut Stage) -> Result<(), Failure> {
    let node = stage.fleet.node(WATCHER)?;
    let (name, directory) = (node.name.clone(), node.network_dir());
    stage
        .story
        .title(format!("A payment to an address that {name} watches; it knows light nodes only."));
    let script = ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array([0x1d; 32]));
    watch(stage, &name, &directory, &script).await?;

    let (txid, began) = (stage.devnet.pay(script, AMOUNT).await?, Instant::now());
    stage.devnet.mine(1).await?;
    stage.story.tell("devnet", format!("pays {AMOUNT} in {txid}"));
    stage.tell_tip();
    let seen = confirmed(&directory, txid, |_| true).await?;
    let took = time(began.elapsed());
    stage.story.tell(
        &name,
        format!("saw {} sat at height {} after {took}, by its filter", seen.received, seen.height),
    );
    prove(stage, &name, &directory, txid, &seen.block).await?;

    let branch = stage.devnet.reorg(REORG).await?;
    let (off, on, fork) = (branch.disconnected.len(), branch.mined.len(), branch.fork_height);
    stage.story.tell("devnet", format!("reorg: {off} blocks off, {on} on, above height {fork}"));
    stage.tell_tip();
    let moved = confirmed(&directory, txid, |entry| entry.block != seen.block).await?;
    stage.story.tell(
        &name,
        format!("took it out of its block, and found it again at height {}", moved.height),
    );
    prove(stage, &name, &directory, txid, &moved.block).await?;
    stage.fleet.reach(stage.devnet.tip(), Tell::Nothing).await
}

async fn watch(
    stage: &Stage,
    name: &str,
    directory: &Path,
    script: &ScriptBuf,
) -> Result<(), Failure> {
    let address = Address::from_script(script, Network::Regtest)?.to_string();
    let request = WatchRequestDto {
        address: Some(address.clone()),
        birthday: Some(BirthdayDto::Height(stage.devnet.tip().height.0)),
        ..WatchRequestDto::default()
    };
    let _: WatchedDto = client::post(directory, "/v1/watch", &request).await?;
    stage.story.tell(name, format!("watches {address}"));
    Ok(())
}

/// Waits until the node has the transaction in a block that fits.
async fn confirmed(
    directory: &Path,
    txid: Txid,
    fits: impl Fn(&HistoryEntryDto) -> bool,
) -> Result<HistoryEntryDto, Failure> {
    let began = Instant::now();
    let wanted = txid.to_string();
    while began.elapsed() < LIMIT {
        let history: HistoryDto = client::get(directory, "/v1/history").await?;
        let found = history.entries.into_iter().find(|entry| entry.txid == wanted);
        if let Some(entry) = found.filter(&fits) {
            return Ok(entry);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(format!("{txid} was not seen within {LIMIT:?}").into())
}

/// Asks for the proof, and checks it here with nothing but the header in it.
async fn prove(
    stage: &Stage,
    name: &str,
    directory: &Path,
    txid: Txid,
    block: &str,
) -> Result<(), Failure> {
    let path = format!("/v1/tx/{txid}/proof");
    let proof: ProofDto = client::get(directory, &path).await?;
    let bytes = Vec::<u8>::from_hex(&proof.proof)?;
    let merkle_block = MerkleBlock::decode(&bytes)?;
    let place = merkle_block.verify_one(txid)?;
    if merkle_block.header().hash().to_string() != block {
        return Err(format!("{name} proved {txid} in another block than {block}").into());
    }
    let (index, count) = (place.index(), merkle_block.count());
    stage.story.tell(
        name,
        format!("proved it: transaction {index} of {count} of its block, in {} bytes", bytes.len()),
    );
    Ok(())
}
