//! `ironlight snapshot create|inspect|verify|import`: all headers of a network in one compact file.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use ironlight_spv::compress::decode;
use ironlight_spv::compress::log::LogRoot;
use ironlight_spv::compress::snapshot::SnapshotHead;
use ironlight_spv::{BlockHeight, HeaderChain, Params, TrustedStart, VerifiedBatch};

use super::config::{ChainSettings, NetworkArgs, parse_point};
use super::headers::{commit, load_or_begin, open, stored};
use super::new_file::write_new;
use super::progress::Progress;
use super::{Failure, short_work};
use crate::node::StartPoint;
use crate::snapshot::{self, SnapshotFileError, SnapshotReader, TakenIn, frame_headers};
use crate::store;

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Write the stored chain to a file, while no node runs on it.
    Create(StoredArgs),
    /// Show what a file says of itself, and whether it is damaged; its headers are not verified.
    Inspect(FileArgs),
    /// Verify all headers of a file by all rules, and what the file says of them.
    Verify(VerifyArgs),
    /// Verify a file and store its headers, period by period: what was interrupted goes on.
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The file.
    file: PathBuf,
    #[command(flatten)]
    location: NetworkArgs,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    trust: Trust,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    stored: StoredArgs,
}

#[derive(Debug, Args)]
struct Trust {
    /// Of a file that begins later than genesis: its first header, which is then trusted. The total work up
    /// to it is the file's word.
    #[arg(long, value_name = "HEIGHT:HASH", value_parser = parse_point)]
    trust_start: Option<StartPoint>,
}

#[derive(Debug, Args)]
pub(super) struct StoredArgs {
    /// The file; `create` leaves one that exists alone.
    file: PathBuf,
    #[command(flatten)]
    chain: ChainSettings,
}

/// Something is wrong with a snapshot file.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
struct InFile {
    path: String,
    source: Box<SnapshotFileError>,
}

pub(super) fn run(command: SnapshotCommand) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Create(args) => create(args),
        SnapshotCommand::Inspect(args) => inspect(&args),
        SnapshotCommand::Verify(args) => verify(args),
        SnapshotCommand::Import(args) => import(args),
    }
}

fn in_file(path: &Path) -> impl Fn(SnapshotFileError) -> InFile {
    move |source| InFile { path: path.display().to_string(), source: Box::new(source) }
}

fn create(args: StoredArgs) -> Result<(), Failure> {
    let StoredArgs { file: path, chain: settings } = args;
    let settings = settings.resolve()?;
    let params = settings.params()?;
    let chain = stored(&settings, &params)?;
    let mut progress = Progress::new("writing", u64::from(chain.tip().height.0) + 1);
    let written = write_new(&path, |file| {
        snapshot::write(&chain, file, |headers| add(&mut progress, headers))
    });
    let written = written.map_err(in_file(&path))?;
    say!("wrote   {} bytes to {}", written.bytes, path.display());
    show(&written.head, written.root.root, written.plain, written.bytes);
    Ok(())
}

fn add(progress: &mut Progress, headers: u32) {
    progress.add(usize::try_from(headers).unwrap_or(usize::MAX));
}

fn show(head: &SnapshotHead, root: LogRoot, plain: u64, bytes: u64) {
    say!("headers {}", head.count());
    say!("first   {}", head.start);
    say!("tip     {}", head.tip);
    say!("work    {}", short_work(&format!("{:x}", head.tip.work)));
    say!("root    {root}");
    #[allow(clippy::cast_precision_loss, reason = "sizes for people to read")]
    let each = |bytes: u64| bytes as f64 / f64::from(head.count());
    say!("size    {:.2} bytes a header, {:.2} packed", each(plain), each(bytes));
}

fn reader(path: &Path, params: &Params) -> Result<(SnapshotReader<BufReader<File>>, u64), InFile> {
    let io = |error| in_file(path)(SnapshotFileError::Io(error));
    let file = File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    let reader = SnapshotReader::open(BufReader::new(file), params).map_err(in_file(path))?;
    Ok((reader, bytes))
}

fn inspect(args: &FileArgs) -> Result<(), Failure> {
    let params = args.location.clone().resolve()?.params()?;
    let (mut reader, bytes) = reader(&args.file, &params)?;
    let head = *reader.head();
    let mut progress = Progress::new("reading", u64::from(head.count()));
    let mut plain = 0;
    while let Some(frame) = reader.frame().map_err(in_file(&args.file))? {
        plain += frame.segment.len() as u64;
        add(&mut progress, frame.headers);
    }
    let trailer = reader.trailer().map_err(in_file(&args.file))?;
    let root = head.root(&trailer)?;
    show(&head, LogRoot(root), plain, bytes);
    say!("note    this is what the file says; `ironlight snapshot verify` checks it");
    Ok(())
}

/// The chain that a file's headers go into where there is none yet.
fn chain_for(path: &Path, params: Params, trust: &Trust) -> Result<HeaderChain, Failure> {
    let (mut reader, _bytes) = reader(path, &params)?;
    let start = reader.head().start;
    if start.height == BlockHeight::GENESIS {
        return Ok(HeaderChain::new(params));
    }
    let path_of = |what: String| format!("{}: {what}", path.display());
    let point = StartPoint { height: start.height, hash: start.hash };
    if trust.trust_start.as_ref() != Some(&point) {
        let next = "if you trust that block, say so with --trust-start HEIGHT:HASH";
        let what = format!("it begins later than genesis, with {start}: {next}");
        return Err(path_of(what).into());
    }
    let frame = reader.frame().map_err(in_file(path))?;
    let segment = frame.map(|frame| frame.segment).unwrap_or_default();
    let headers = decode(&segment, frame_headers()).map_err(|error| path_of(error.to_string()))?;
    let first = headers.first().copied().filter(|first| first.hash() == start.hash);
    let first =
        first.ok_or_else(|| path_of("its first header is another one than it says".to_owned()))?;
    let start = TrustedStart::bare(start.height, first, start.work);
    let chain = HeaderChain::from_start(params, TrustedStart { imported: true, ..start });
    Ok(chain.map_err(|error| path_of(error.to_string()))?)
}

fn verify(args: VerifyArgs) -> Result<(), Failure> {
    let VerifyArgs { file: FileArgs { file: path, location }, trust } = args;
    let settings = ChainSettings { location, ..ChainSettings::default() }.resolve()?;
    let mut chain = chain_for(&path, settings.params()?, &trust)?;
    let commit = |_: &HeaderChain, _: &VerifiedBatch| Ok::<_, Failure>(());
    take_in(&path, &mut chain, "verifying", commit)?;
    Ok(())
}

fn import(args: ImportArgs) -> Result<(), Failure> {
    let ImportArgs { trust, stored: StoredArgs { file: path, chain: settings } } = args;
    let settings = settings.resolve()?;
    let params = settings.params()?;
    // Before a store is made for it.
    let mut new = chain_for(&path, params.clone(), &trust);
    if !store::exists(&settings.location.network_dir()?) {
        new = Ok(new?);
    }
    let opened = open(&settings)?;
    let store = opened.store.as_ref();
    let mut chain = load_or_begin(store, &params, || new)?;
    let taken =
        take_in(&path, &mut chain, "importing", |chain, batch| commit(store, chain, batch))?;
    say!("new     {} headers; stored up to height {}", taken.new, chain.tip().height);
    Ok(())
}

fn take_in<E: Into<Box<dyn Error + Send + Sync>>>(
    path: &Path,
    chain: &mut HeaderChain,
    what: &'static str,
    commit: impl FnMut(&HeaderChain, &VerifiedBatch) -> Result<(), E>,
) -> Result<TakenIn, Failure> {
    let (reader, bytes) = reader(path, chain.params())?;
    let mut progress = Progress::new(what, u64::from(reader.head().count()));
    let (began, now) = (Instant::now(), crate::clock::unix_now());
    let taken =
        snapshot::take_in(reader, chain, now, commit, |headers| add(&mut progress, headers));
    let taken = taken.map_err(in_file(path))?;
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    let count = taken.head.count();
    say!("{what} took {seconds:.3} s: {:.0} headers a second", f64::from(count) / seconds);
    show(&taken.head, taken.root.root, taken.plain, bytes);
    say!("basis   {}", chain.basis());
    if chain.params().signatures_outside_headers() {
        say!("caveat  {}", crate::SIGNET_CAVEAT);
    }
    Ok(taken)
}
