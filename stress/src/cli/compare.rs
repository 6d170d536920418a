//! `ironlight-stress compare`

use std::path::PathBuf;

use super::{Failure, read_report};
use crate::report::{compare, comparison_lines};

#[derive(Debug, clap::Args)]
pub(super) struct CompareArgs {
    /// The earlier run, as `run --json` wrote it.
    before: PathBuf,
    /// The later run.
    after: PathBuf,
}

pub(super) fn run(args: &CompareArgs) -> Result<(), Failure> {
    let (before, after) = (read_report(&args.before)?, read_report(&args.after)?);
    let comparison = compare(&before, &after);
    for line in comparison_lines(&comparison) {
        say!("{line}");
    }
    let (moved, all) = (comparison.moved().count(), comparison.changes.len());
    say!("{moved} of {all} figures moved outside of the noise");
    Ok(())
}
