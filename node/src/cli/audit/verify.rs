//! `ironlight audit verify`: every record, and the checkpoints that there are.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use ironlight_hardening::audit::{
    self, Checkpoint, CheckpointError, Damage, EventKind, LogKind, PublicKey, Record, Report,
    Tampering, Value, read_notes, split_notes, verify_checkpoint,
};

use super::{LogArgs, Place, name_in, unreadable};
use crate::audit::key;
use crate::cli::Failure;
use crate::cli::date::utc;

/// A file of checkpoints is not read further, in bytes: 20 years of one an hour.
const LONGEST: u64 = 48 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    log: LogArgs,
    /// A file of checkpoints of this log that was kept elsewhere; may be given several times.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The public key that signs them, kept elsewhere, too: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = parse_key)]
    key: Option<PublicKey>,
}

fn parse_key(text: &str) -> Result<PublicKey, String> {
    let key = key::from_words(&text.to_ascii_lowercase());
    key.ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}

/// What the log says of itself, as far as it is right.
#[derive(Debug, Default)]
struct Said {
    name: Option<String>,
    keys: Vec<PublicKey>,
    /// When, and from which record on, something was set aside.
    repairs: Vec<(u64, u64)>,
}

impl Said {
    fn hear(&mut self, record: &Record) {
        let event = &record.event;
        self.name = self.name.take().or_else(|| name_in(record));
        if let (EventKind::Start, Some(Value::Text(text))) =
            (event.kind(), event.value("checkpoint_key"))
        {
            let named = key::from_words(text).filter(|key| !self.keys.contains(key));
            self.keys.extend(named);
        }
        if let (EventKind::Log(LogKind::Repaired), Some(Value::Number(from))) =
            (event.kind(), event.value("record"))
        {
            self.repairs.push((record.at, u64::try_from(*from).unwrap_or(0)));
        }
    }

    /// Whether a checkpoint is of records that a later repair has set aside.
    fn explains(&self, checkpoint: &Checkpoint) -> bool {
        self.repairs.iter().any(|(at, from)| checkpoint.at <= *at && checkpoint.size > *from)
    }
}

/// Who signs, and how that is known.
struct Keys {
    keys: Vec<PublicKey>,
    from: &'static str,
}

impl Keys {
    fn read(&self, note: &str, origin: &str) -> Result<Checkpoint, CheckpointError> {
        let mut wrong = CheckpointError::WrongSignature;
        for key in &self.keys {
            match verify_checkpoint(note, origin, *key) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error) => wrong = error,
            }
        }
        Err(wrong)
    }
}

/// The checkpoints that lie beside the log: a convenience, since they may be taken away with it.
#[derive(Default)]
struct Beside {
    compared: Vec<Checkpoint>,
    of_repaired: usize,
    of_other_keys: usize,
}

pub(super) fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let place = args.log.place()?;
    let (said, mut report) = read(&place)?;
    let keys = keys(args, &place, &said)?;
    let origin = said.name.as_deref().unwrap_or(&place.name);
    let given = given(&args.checkpoint, origin, &keys)?;
    let beside = beside(&place, origin, &keys, &said)?;
    let mut compared = given.clone();
    compared.extend(beside.compared.iter().cloned());
    if !compared.is_empty() {
        let compare = audit::read_log(&place.path, &compared, |_| ());
        report = compare.map_err(unreadable(&place.path))?;
    }
    print(&place, &report)?;
    print_checkpoints(&given, &beside, &keys);
    if let Some(fallback) = place.fallback() {
        say!("beside it    {}: what could not be written here", fallback.display());
    }
    verdict(&report, &given, &place)
}

/// Reads the log. A node that writes it just now may look like a crash for a moment.
fn read(place: &Place) -> Result<(Said, Report), Failure> {
    let once = || -> Result<_, Failure> {
        let mut said = Said::default();
        let report = audit::read_log(&place.path, &[], |record| said.hear(record));
        Ok((said, report.map_err(unreadable(&place.path))?))
    };
    let found = once()?;
    match &found.1.tampering {
        Some(Tampering { what: Damage::Torn, .. }) => once(),
        Some(_) | None => Ok(found),
    }
}

fn keys(args: &VerifyArgs, place: &Place, said: &Said) -> Result<Keys, Failure> {
    if let Some(key) = args.key {
        return Ok(Keys { keys: vec![key], from: "as given" });
    }
    let own = place.folder.parent().map(key::public).transpose();
    let mut keys = said.keys.clone();
    // One that cannot be read is no reason to verify nothing.
    keys.extend(own.ok().flatten().flatten().filter(|own| !said.keys.contains(own)));
    let from = "by the log itself, or beside it: give --key to judge by one kept elsewhere";
    if keys.is_empty() && !args.checkpoint.is_empty() {
        return Err("the log names no key for its checkpoints: give --key".into());
    }
    Ok(Keys { keys, from })
}

fn given(files: &[PathBuf], origin: &str, keys: &Keys) -> Result<Vec<Checkpoint>, Failure> {
    let mut given = Vec::new();
    for file in files {
        let text = text_of(file)?;
        let before = given.len();
        for (number, note) in (1..).zip(split_notes(&text)) {
            let number: u64 = number;
            let read = keys.read(note, origin);
            given.push(
                read.map_err(|error| format!("{}, checkpoint {number}: {error}", file.display()))?,
            );
        }
        if given.len() == before {
            return Err(format!("{} holds no checkpoint", file.display()).into());
        }
    }
    Ok(given)
}

fn text_of(file: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let opened = fs::File::open(file).map_err(unreadable(file))?;
    let mut bytes = Vec::new();
    opened.take(LONGEST).read_to_end(&mut bytes).map_err(unreadable(file))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn beside(place: &Place, origin: &str, keys: &Keys, said: &Said) -> Result<Beside, Failure> {
    let mut beside = Beside::default();
    if !place.is_folder() {
        return Ok(beside);
    }
    for note in read_notes(&place.path).map_err(unreadable(&place.path))? {
        match keys.read(&note, origin) {
            Ok(checkpoint) if said.explains(&checkpoint) => beside.of_repaired += 1,
            Ok(checkpoint) => beside.compared.push(checkpoint),
            Err(_) => beside.of_other_keys += 1,
        }
    }
    Ok(beside)
}

fn print(place: &Place, report: &Report) -> Result<(), Failure> {
    let files = place.files()?;
    let mut bytes = 0_u64;
    for file in &files {
        bytes += fs::metadata(file).map_err(unreadable(file))?.len();
    }
    say!("log          {}", place.path.display());
    let right = report.size.saturating_sub(report.first);
    match &report.tampering {
        None => say!("records      {right}"),
        Some(wrong) => say!("records      {right} that are right; wrong from {} on", wrong.index),
    }
    if report.first > 0 {
        say!("             the first is {}: those before it are not here", report.first);
    }
    say!("files        {}, {bytes} bytes", files.len());
    say!("root         {}", report.root);
    say!("last hash    {}", report.head);
    Ok(())
}

fn print_checkpoints(given: &[Checkpoint], beside: &Beside, keys: &Keys) {
    let Beside { compared, of_repaired, of_other_keys } = beside;
    say!("checkpoints  {} given, {} beside the log", given.len(), compared.len());
    if let Some(last) = given.iter().chain(compared).max_by_key(|made| made.size) {
        say!("             the last of {} records at {}", last.size, utc(last.at));
    }
    if *of_repaired > 0 {
        say!("             {of_repaired} more of records that a repair has set aside");
    }
    if *of_other_keys > 0 {
        say!("             {of_other_keys} more that none of the keys signed: passed over");
    }
    for key in &keys.keys {
        say!("key          {}", key::in_words(*key));
    }
    if !keys.keys.is_empty() {
        say!("             named {}", keys.from);
    }
}

fn verdict(report: &Report, given: &[Checkpoint], place: &Place) -> Result<(), Failure> {
    let Some(wrong) = &report.tampering else {
        match given.iter().map(|made| made.size).max() {
            Some(size) => say!(
                "result       every record is right, and up to the given checkpoint of {size} \
                 records none is missing"
            ),
            None => say!(
                "result       every record is right; a cut at the end would not be seen without a \
                 checkpoint that was kept elsewhere (--checkpoint)"
            ),
        }
        return Ok(());
    };
    let folder = place.folder.display();
    let next = if wrong.what == Damage::Torn {
        "what a crash leaves; the node's next start sets it aside".to_owned()
    } else if matches!(wrong.what, Damage::Cut { .. } | Damage::OtherHistory { .. }) {
        "nothing here brings back what was there; keep the log as it is".to_owned()
    } else {
        format!("`ironlight audit repair {folder}` sets aside what is wrong")
    };
    Err(format!("{wrong}: {next}").into())
}
