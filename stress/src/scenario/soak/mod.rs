//! A node for as long as it is asked for, under everything that happens to a daemon.
//!
//! The node is a process of its own. What is around it goes on at fixed rates: blocks and reorgs,
//! payments to its wallet, requests at its control socket, light nodes that come and go, and lines to
//! its full node that are cut.

mod books;
mod line;
mod load;
mod node;
mod process;
mod system;
mod watched;

use core::cell::{Cell, RefCell};
use core::fmt::Display;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use self::books::Books;
use self::line::Line;
use self::load::{Done, FOLLOWED, Load, NodeGone};
use self::process::{Process, Warnings};
use self::watched::Watched;
use super::rig::Rig;
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Class, Meter};
use crate::report::{Bound, Figure};
#[cfg(feature = "program")]
pub(crate) use node::NODE;
pub use node::{SoakNodeError, run_soak_node};

/// Blocks that are there at first: the devnet's coins are mature below any reorg, and what the store's cache of
/// 2 MB keeps of them leaves it little room to grow.
const BLOCKS: u32 = 3_000;
/// Lines to the full node: while one is cut there is the other.
const LINES: usize = 2;

/// What the node may warn of, and why it does so under this load. Whatever else it warns of, and every
/// operation that fails, breaks the bound.
const EXPLAINED: [(&str, &str); 1] = [(
    "Failed to trigger bootstrap: No known peers.",
    "libp2p looks for neighbours before any light node has come",
)];

/// A node under load for minutes to a day.
#[derive(Clone, Debug)]
pub struct Soak {
    program: PathBuf,
    minute: Duration,
}

impl Soak {
    /// Of a program that runs the node as a process: it calls [`cli::main`](crate::cli::main).
    #[must_use]
    pub const fn new(program: PathBuf) -> Self {
        Self { program, minute: Duration::from_secs(60) }
    }

    /// With shorter minutes, to see that it works. What needs time to settle does not hold then.
    #[must_use]
    pub fn with_minute(self, minute: Duration) -> Self {
        Self { minute, ..self }
    }

    fn length(&self, minutes: u64) -> Duration {
        self.minute.saturating_mul(u32::try_from(minutes).unwrap_or(u32::MAX))
    }
}

impl Scenario for Soak {
    fn about(&self) -> About {
        About {
            name: "soak",
            does: "a node as a process follows blocks and reorgs for minutes to a day, while its \
                   wallet is paid, clients ask, light nodes come and go and its lines are cut",
            operation: "a request at the control socket, a block followed, or a light node's visit",
            sample: "the same",
            bound: "from a third of the time on memory grows by 5 % at most, tasks and open files by \
                    8; a block is followed within 10 s; no error without an explanation; the wallet \
                    is the devnet's in the end",
            counts: "minutes",
            usual: 30,
            range: (1, 24 * 60),
        }
    }

    fn lasts(&self, count: u64) -> Option<Duration> {
        Some(self.length(count))
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let rig = Rig::start(plan.seed, BLOCKS)?;
        let (lines, process) = rig.within(meter.remaining(), self.begin(&rig))?;
        let length = self.length(plan.count);
        let load = Load {
            rig: &rig,
            crowd: meter.crowd(),
            lines: &lines,
            process: &process,
            length,
            seed: plan.seed,
            watched: RefCell::new(Watched::new(length)),
            done: Done::default(),
            slowest: Cell::default(),
        };
        let told = rig.within(load.crowd.remaining(), load.run())?;
        let Load { watched, done, .. } = load;
        let watched = watched.into_inner();
        let (stopped, warnings) = process.stop();
        let mut bounds = watched.bounds();
        bounds.push(Bound::within("slowest block followed", FOLLOWED, done.slowest_block.get()));
        bounds.push(goes_on(&told));
        if let Ok(told) = told {
            bounds.extend(Books::of_devnet(rig.devnet()).bounds(&told));
        }
        bounds.push(unexplained(&meter.tally().errors, &warnings));
        bounds.push(stopped);
        Ok(Findings {
            bounds,
            figures: figures(&done, &warnings),
            curves: watched.curves(),
            ..Findings::default()
        })
    }
}

impl Soak {
    /// The lines and the node, which watches its wallet and is where the devnet is.
    async fn begin(&self, rig: &Rig) -> Result<(Vec<Line>, Process), ScenarioError> {
        let mut lines = Vec::with_capacity(LINES);
        for _ in 0..LINES {
            let line = Line::to(rig.devnet().address()).await;
            lines.push(line.map_err(ScenarioError::preparing("a line"))?);
        }
        let addresses: Vec<_> = lines.iter().map(Line::address).collect();
        let directory = rig.network_dir();
        let data_dir = directory.parent().unwrap_or(&directory);
        let process = Process::start(&self.program, data_dir, &addresses);
        let process = process.map_err(ScenarioError::preparing("a node"))?;
        // Its first answer says that it has started.
        process.look().await.map_err(ScenarioError::preparing("a node"))?;
        let watching = books::watch(&directory).await;
        watching.map_err(ScenarioError::preparing("the wallet"))?;
        Ok((lines, process))
    }
}

fn goes_on(told: &Result<Books, NodeGone>) -> Bound {
    let how: &dyn Display = match told {
        Ok(_) => &"to the end",
        Err(gone) => gone,
    };
    Bound::judged("the node goes on", &"to the end", how, told.is_ok())
}

/// Errors of operations and warnings of the log that [`EXPLAINED`] does not have.
fn unexplained(errors: &BTreeMap<Class, u64>, warnings: &Warnings) -> Bound {
    let errors = errors.iter().map(|(class, count)| (*class, *count));
    let warnings = warnings.iter().map(|(message, count)| (message.as_str(), *count));
    let unknown = errors.chain(warnings).filter(|(what, _)| explanation(what).is_none());
    let unknown: Vec<_> = unknown.map(|(what, count)| format!("{what} ({count})")).collect();
    let got = if unknown.is_empty() { "none".to_owned() } else { unknown.join("; ") };
    Bound::judged("errors without an explanation", &"none", &got, unknown.is_empty())
}

fn explanation(what: &str) -> Option<&'static str> {
    EXPLAINED.iter().find(|(known, _)| *known == what).map(|(_, why)| *why)
}

fn figures(done: &Done, warnings: &Warnings) -> Vec<Figure> {
    let counts = [
        ("blocks and reorgs", done.blocks.get(), "times"),
        ("reorgs", done.reorgs.get(), "of 1 to 3 blocks"),
        ("payments to the wallet", done.payments.get(), "transactions"),
        ("requests at the control socket", done.requests.get(), "requests"),
        ("light nodes that came and went", done.visits.get(), "nodes"),
        ("lines cut", done.cuts.get(), "times"),
    ];
    let counts =
        counts.into_iter().map(|(name, count, unit)| Figure::new(name, count as f64, unit));
    let warned = warnings.iter().map(|(message, count)| {
        let why = explanation(message).unwrap_or("without an explanation");
        Figure::new(&format!("warned: {message}"), *count as f64, &format!("times: {why}"))
    });
    counts.chain(warned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_explanation_breaks_the_bound_by_its_name() {
        let known = BTreeMap::from([(EXPLAINED[0].0.to_owned(), 7)]);
        assert!(unexplained(&BTreeMap::new(), &known).met);
        let unknown = BTreeMap::from([("a batch was lost".to_owned(), 1)]);
        let bound = unexplained(&BTreeMap::from([("deadline", 2)]), &unknown);
        assert_eq!((bound.met, bound.got.as_str()), (false, "deadline (2); a batch was lost (1)"));
    }
}
