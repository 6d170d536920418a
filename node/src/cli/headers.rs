//! `ironlight headers verify|import|export`: files of headers, 80 bytes each, one after another.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use ironlight_spv::chain::HeaderError;
use ironlight_spv::{
    Basis, BlockHeight, Header, HeaderChain, Params, TrustedStart, UnixTime, VerifiedBatch, Work,
};

use super::config::{ChainSettings, NetworkArgs, parse_chain_work};
use super::new_file::write_new;
use super::progress::Progress;
use super::{Failure, short_work};
use crate::store::{self, Opened, Store, StoreError, headers};

/// Headers read and verified at a time.
const BATCH: usize = 2016;

#[derive(Debug, Subcommand)]
pub(super) enum HeadersCommand {
    /// Verify a file by all header rules.
    Verify(VerifyArgs),
    /// Verify a file and store its headers.
    Import(ImportArgs),
    /// Write the stored chain to a file.
    Export(ExportArgs),
}

/// A file that starts later than genesis.
#[derive(Clone, Debug, Args)]
pub(super) struct FileArgs {
    /// The file.
    file: PathBuf,
    /// Height of the file's first header, which is then trusted; without it the file starts with
    /// genesis.
    #[arg(long, value_name = "HEIGHT", requires = "start_work")]
    start_height: Option<u32>,
    /// Total chain work up to and including the file's first header.
    #[arg(long, value_name = "HEX", requires = "start_height", value_parser = parse_chain_work)]
    start_work: Option<Work>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    location: NetworkArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    chain: ChainSettings,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file; one that exists is left alone.
    file: PathBuf,
    #[command(flatten)]
    chain: ChainSettings,
}

/// Something is wrong with a file of headers.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {bytes} bytes are not a whole number of 80-byte headers: is it cut short?")]
    Ragged { path: PathBuf, bytes: u64 },
    #[error("{path}: no headers in it")]
    Empty { path: PathBuf },
    #[error("{path}, header {number} of the file: {error} (up to there: {basis})")]
    Invalid { path: PathBuf, number: u64, error: Box<HeaderError>, basis: Basis },
    #[error("{path}, its first header: {error}")]
    InvalidStart { path: PathBuf, error: Box<HeaderError> },
    #[error("{path}: {error}; a file that starts later needs --start-height and --start-work")]
    NotGenesis { path: PathBuf, error: Box<HeaderError> },
    #[error(
        "the stored chain starts at height {stored} with another work: leave --start-height and --start-work out"
    )]
    OtherStart { stored: u32 },
    #[error("nothing is stored in {path} to export: import or sync a chain first")]
    NothingStored { path: PathBuf },
}

pub(super) fn run(command: HeadersCommand) -> Result<(), Failure> {
    match command {
        HeadersCommand::Verify(args) => verify(args),
        HeadersCommand::Import(args) => import(args),
        HeadersCommand::Export(args) => export(args),
    }
}

/// A file of headers, read in batches.
struct HeaderFile {
    path: PathBuf,
    reader: BufReader<File>,
    count: u64,
    /// How many were read so far, and the last of them.
    taken: u64,
    last: Option<Header>,
}

impl HeaderFile {
    fn open(path: &Path) -> Result<Self, FileError> {
        let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let size = Header::SIZE as u64;
        match bytes {
            0 => Err(FileError::Empty { path: path.to_owned() }),
            _ if !bytes.is_multiple_of(size) => {
                Err(FileError::Ragged { path: path.to_owned(), bytes })
            }
            _ => {
                let reader = BufReader::with_capacity(BATCH * Header::SIZE, file);
                let count = bytes / size;
                Ok(Self { path: path.to_owned(), reader, count, taken: 0, last: None })
            }
        }
    }

    /// The first header, of a file that nothing was read of yet.
    fn first(&mut self) -> Result<Header, FileError> {
        let empty = FileError::Empty { path: self.path.clone() };
        self.read(1)?.first().copied().ok_or(empty)
    }

    /// Up to so many headers; none at the end of the file.
    fn read(&mut self, most: usize) -> Result<Vec<Header>, FileError> {
        let mut bytes = Vec::with_capacity(most * Header::SIZE);
        let limit = (most * Header::SIZE) as u64;
        let read = self.reader.by_ref().take(limit).read_to_end(&mut bytes);
        read.map_err(|source| FileError::Unreadable { path: self.path.clone(), source })?;
        let (headers, _ragged) = bytes.as_chunks::<{ Header::SIZE }>();
        let headers: Vec<Header> = headers.iter().copied().map(Header::from_bytes).collect();
        self.taken += headers.len() as u64;
        self.last = headers.last().copied().or(self.last);
        Ok(headers)
    }
}

/// The chain that a file's first header starts.
fn chain_from(args: &FileArgs, params: Params, first: Header) -> Result<HeaderChain, Failure> {
    let path = args.file.clone();
    let start = match (args.start_height, args.start_work) {
        (Some(height), Some(work)) => {
            let start = TrustedStart::bare(BlockHeight(height), first, work);
            TrustedStart { imported: true, ..start }
        }
        _ => {
            let work = HeaderChain::new(params.clone()).tip().work;
            TrustedStart::bare(BlockHeight::GENESIS, first, work)
        }
    };
    let from_genesis = start.height == BlockHeight::GENESIS;
    HeaderChain::from_start(params, start).map_err(|error| {
        let error = Box::new(error);
        if from_genesis {
            FileError::NotGenesis { path, error }.into()
        } else {
            FileError::InvalidStart { path, error }.into()
        }
    })
}

fn verify(args: VerifyArgs) -> Result<(), Failure> {
    let VerifyArgs { file: args, location } = args;
    let chain = ChainSettings { location, ..ChainSettings::default() }.resolve()?;
    let mut file = HeaderFile::open(&args.file)?;
    let mut chain = chain_from(&args, chain.params()?, file.first()?)?;
    let verified = take_in(&mut file, &mut chain, "verifying", |_, _| Ok(()))?;
    report(&chain, file.count, verified.spent);
    Ok(())
}

fn report(chain: &HeaderChain, count: u64, spent: Duration) {
    let seconds = spent.as_secs_f64().max(1e-9);
    #[allow(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rate = count as f64 / seconds;
    say!("verified {count} headers in {seconds:.4} s: {rate:.0} headers a second");
    say!("first  {} at height {}", chain.start().header.hash(), chain.start_height());
    say!("last   {}", chain.tip());
    say!("work   {}", short_work(&format!("{:x}", chain.tip().work)));
    say!("basis  {}", chain.basis());
    if chain.params().signatures_outside_headers() {
        say!("caveat {}", crate::SIGNET_CAVEAT);
    }
}

/// What came of a file.
struct TakenIn {
    /// Time spent verifying and applying, reading and storing apart.
    spent: Duration,
    side: usize,
}

/// Verifies the rest of a file batch by batch; each valid batch, the valid headers before a bad
/// one too, goes through `commit` before it is applied.
fn take_in(
    file: &mut HeaderFile,
    chain: &mut HeaderChain,
    what: &'static str,
    commit: impl Fn(&HeaderChain, &VerifiedBatch) -> Result<(), Failure>,
) -> Result<TakenIn, Failure> {
    let now = crate::clock::unix_now();
    let mut progress = Progress::new(what, file.count);
    let mut taken = TakenIn { spent: Duration::ZERO, side: 0 };
    // Each batch begins with the last header of the one before: were its first header not to
    // follow, its height would not be known.
    let mut headers: Vec<Header> = file.last.into_iter().collect();
    loop {
        let overlap = headers.len();
        let first = file.taken - overlap as u64;
        headers.extend(file.read(BATCH)?);
        if headers.len() == overlap {
            return Ok(taken);
        }
        let started = Instant::now();
        let (batch, error) = judge(chain, &headers, now);
        taken.spent += started.elapsed();
        if let Some(batch) = batch {
            taken.side += batch.side_branch().len();
            commit(chain, &batch)?;
            let started = Instant::now();
            chain.apply(batch)?;
            taken.spent += started.elapsed();
        }
        if let Some(error) = error {
            let number = first + error.index as u64;
            let (path, error) = (file.path.clone(), Box::new(error));
            let basis = chain.basis();
            return Err(FileError::Invalid { path, number, error, basis }.into());
        }
        progress.add(headers.len() - overlap);
        headers.drain(..headers.len() - 1);
    }
}

/// The valid part of a batch, and what is wrong with the rest.
fn judge(
    chain: &HeaderChain,
    headers: &[Header],
    now: UnixTime,
) -> (Option<VerifiedBatch>, Option<HeaderError>) {
    match chain.verify(headers, now) {
        Ok(batch) => (Some(batch), None),
        Err(mut error) => (error.prefix.take().map(|prefix| *prefix), Some(error)),
    }
}

pub(super) fn open(chain: &ChainSettings) -> Result<Opened, Failure> {
    let opened = store::open(store::Options {
        dir: chain.location.network_dir()?,
        backend: chain.backend()?,
        now: crate::clock::unix_now().0,
    })?;
    for note in &opened.notes {
        note!("{note}");
    }
    Ok(opened)
}

/// The stored chain, or where there is none one that begins in the store now.
pub(super) fn load_or_begin(
    store: &dyn Store,
    params: &Params,
    begin: impl FnOnce() -> Result<HeaderChain, Failure>,
) -> Result<HeaderChain, Failure> {
    if let Some(loaded) = headers::load(store, params)? {
        if let Some(cut) = &loaded.cut {
            note!("{cut}");
        }
        return Ok(loaded.chain);
    }
    let chain = begin()?;
    store.commit(headers::begin(&chain))?;
    Ok(chain)
}

/// Stores what a batch will do to the best chain.
pub(super) fn commit(
    store: &dyn Store,
    chain: &HeaderChain,
    batch: &VerifiedBatch,
) -> Result<(), StoreError> {
    let writes = headers::batch_for(chain, batch.change());
    if writes.is_empty() { Ok(()) } else { store.commit(writes) }
}

fn import(args: ImportArgs) -> Result<(), Failure> {
    let ImportArgs { file: args, chain: settings } = args;
    let settings = settings.resolve()?;
    let params = settings.params()?;
    let mut file = HeaderFile::open(&args.file)?;
    let opened = open(&settings)?;
    let store = opened.store.as_ref();
    let begin = || chain_from(&args, params.clone(), file.first()?);
    let mut chain = load_or_begin(store, &params, begin)?;
    agrees(&args, &chain)?;
    let before = chain.tip();
    let taken = take_in(&mut file, &mut chain, "importing", |chain, batch| {
        Ok(commit(store, chain, batch)?)
    })?;
    report(&chain, file.count, taken.spent);
    if taken.side > 0 {
        say!("forks  {} headers lie on side branches, which are not stored", taken.side);
    }
    if chain.tip() == before {
        say!("tip    unchanged");
    } else {
        say!("stored up to height {}", chain.tip().height);
    }
    if chain.tip().work < chain.params().minimum_chain_work {
        let network = chain.params().network;
        say!("note   the chain is below the minimum chain work of {network}");
    }
    Ok(())
}

/// A start that is given for a file must be where the stored chain starts.
fn agrees(args: &FileArgs, chain: &HeaderChain) -> Result<(), FileError> {
    let stored = chain.start();
    let other = args.start_height.is_some_and(|height| height != stored.height.0)
        || args.start_work.is_some_and(|work| work != stored.work);
    if other { Err(FileError::OtherStart { stored: stored.height.0 }) } else { Ok(()) }
}

/// The stored chain, which has to be whole.
pub(super) fn stored(settings: &ChainSettings, params: &Params) -> Result<HeaderChain, Failure> {
    let directory = settings.location.network_dir()?;
    let nothing = || FileError::NothingStored { path: directory.clone() };
    if !store::exists(&directory) {
        return Err(nothing().into());
    }
    let opened = open(settings)?;
    let loaded = headers::read(opened.store.as_ref(), params)?.ok_or_else(nothing)?;
    if let Some(cut) = loaded.cut {
        let next = "start the node, which fetches the rest again, then export";
        return Err(format!("{cut}: {next}").into());
    }
    Ok(loaded.chain)
}

fn export(args: ExportArgs) -> Result<(), Failure> {
    let ExportArgs { file: path, chain: settings } = args;
    let settings = settings.resolve()?;
    let params = settings.params()?;
    let chain = stored(&settings, &params)?;
    let written = write_new(&path, |file| write_headers(file, &chain));
    let count = written.map_err(|source| FileError::Unreadable { path: path.clone(), source })?;
    say!("wrote {count} headers to {}", path.display());
    say!("first  {} at height {}", chain.start().header.hash(), chain.start_height());
    say!("last   {}", chain.tip());
    if chain.start_height() != BlockHeight::GENESIS {
        let (height, work) =
            (chain.start_height(), short_work(&format!("{:x}", chain.start().work)));
        say!("import it elsewhere with --start-height {height} --start-work {work}");
    }
    Ok(())
}

fn write_headers(file: &mut BufWriter<File>, chain: &HeaderChain) -> std::io::Result<u64> {
    let mut parent = chain.start().header.prev_hash();
    let mut count = 0;
    let heights = chain.start_height()..chain.tip().height.next();
    let mut progress = Progress::new("exporting", u64::from(heights.end.0 - heights.start.0));
    for body in chain.bodies(heights) {
        let header = body.with_parent(parent);
        parent = header.hash();
        file.write_all(header.as_bytes())?;
        count += 1;
        progress.add(1);
    }
    Ok(count)
}
