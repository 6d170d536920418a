//! `ironlight wallet export|import|forget-claim`: the wallet as one file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::ask::{AskArgs, path, print_json};
use super::new_file::write_private;
use super::{Failure, scan};
use crate::api::{BlockIdDto, ForgottenClaimDto, ImportedDto};
use crate::store::hex;
use crate::wallet::file::{FileError, MAX_FILE_BYTES, WalletFile};

/// How long the node may take: descriptors are derived anew, up to 20,000 scripts.
const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file; one that exists is left alone.
    file: PathBuf,
    /// With the state of this height [default: the tip, up to which the history has to be complete].
    #[arg(long, value_name = "HEIGHT")]
    height: Option<u32>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file.
    file: PathBuf,
    /// Wait until the blocks since its birthdays were looked at.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct ForgetClaimArgs {
    #[command(flatten)]
    ask: AskArgs,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    bytes: usize,
    items: usize,
    block: BlockIdDto,
    root: String,
}

/// Something is wrong with a wallet's file.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
struct InFile {
    path: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

fn in_file<E: std::error::Error + Send + Sync + 'static>(path: &Path) -> impl Fn(E) -> InFile {
    move |source| InFile { path: path.display().to_string(), source: Box::new(source) }
}

pub(super) fn export(args: &ExportArgs) -> Result<(), Failure> {
    let ExportArgs { file: path_of, height, ask } = args;
    let params = ask.location.clone().resolve()?.params()?;
    let query = [("height", height.map(|height| height.to_string()))];
    let bytes = ask.node()?.get_bytes(&path("/v1/wallet/export", &query)?, DEADLINE)?;
    // What is written is what an import will take.
    let (file, _id) = WalletFile::decode(&bytes, &params)?;
    let written = Written {
        file: path_of.display().to_string(),
        bytes: bytes.len(),
        items: file.items.len(),
        block: file.block.into(),
        root: hex(&file.root()?),
    };
    write_private(path_of, &bytes).map_err(in_file(path_of))?;
    if ask.json {
        return print_json(&written);
    }
    let Written { file, bytes, items, block, root } = written;
    say!("wrote   {bytes} bytes to {file}: {items} items, no private keys");
    say!("height  {} {}", block.height, block.hash);
    say!("root    {root}");
    say!("note    it tells all payments of its owner; height and root are for comparing it later");
    Ok(())
}

pub(super) fn import(args: &ImportArgs) -> Result<(), Failure> {
    let ImportArgs { file: path_of, wait, ask } = args;
    let params = ask.location.clone().resolve()?.params()?;
    let bytes = read(path_of)?;
    // Here, too, so that a file is judged before it is sent anywhere.
    WalletFile::decode(&bytes, &params).map_err(in_file(path_of))?;
    let node = ask.node()?;
    let imported: ImportedDto = node.post_bytes("/v1/wallet/import", bytes, DEADLINE)?;
    if *wait {
        scan::wait(&node)?;
    }
    if ask.json {
        return print_json(&imported);
    }
    let ImportedDto { block, root, items, added_scripts, scan_from, verdict } = imported;
    say!("items   {items} watched, {added_scripts} scripts added");
    say!("height  {} {}", block.height, block.hash);
    say!("root    {root}");
    match (scan_from, wait) {
        (Some(from), false) => {
            say!("scan    blocks from {from} on are looked at now");
        }
        (Some(_), true) => say!("scan    done"),
        (None, _) => {}
    }
    say!("claim   {verdict}: `ironlight wallet state` says what became of it");
    Ok(())
}

pub(super) fn forget_claim(args: &ForgetClaimArgs) -> Result<(), Failure> {
    let forgotten: ForgottenClaimDto = args.ask.node()?.delete("/v1/wallet/claim")?;
    if args.ask.json {
        return print_json(&forgotten);
    }
    let BlockIdDto { height, hash } = forgotten.block;
    say!("dropped the claim for height {height} {hash}; what its file brought is watched on");
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, InFile> {
    let limit = MAX_FILE_BYTES;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(in_file(path))?;
    let longest = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(longest).read_to_end(&mut bytes).map_err(in_file(path))?;
    if bytes.len() > limit {
        return Err(in_file(path)(FileError::TooLarge { bytes: bytes.len(), limit }));
    }
    Ok(bytes)
}
