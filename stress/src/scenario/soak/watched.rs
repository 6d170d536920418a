//! What was seen of the node over time, and whether it grew.
//!
//! A window's median is compared with another's, and the line is fitted to medians, so that no
//! single peak decides.

use core::time::Duration;

use crate::report::{Bound, Curve, CurvePoint, nanos};

/// Samples of a soak, whatever its length.
pub(super) const SAMPLES: u32 = 600;
/// Growth that is none: a share of the level after a third of the time.
const STEADY: f64 = 0.05;
/// Windows after the first third, by whose medians the line is fitted.
const WINDOWS: u32 = 16;
/// Tasks and files that come and go with what is under way at the moment.
const UNDER_WAY: f64 = 8.0;

/// One look at the node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Since the start.
    pub(super) at: Duration,
    /// Bytes that it has asked its allocator for.
    pub(super) allocated: f64,
    /// Bytes that are resident; none where the system does not say.
    pub(super) resident: Option<f64>,
    pub(super) tasks: f64,
    /// File descriptors; none where the system does not say.
    pub(super) files: Option<f64>,
    /// The longest that a block was waited for since the look before, in seconds.
    pub(super) slowest_block: f64,
}

/// A figure of a sample.
type Of = fn(&Sample) -> Option<f64>;

/// All looks at the node, in the room that was made for them at first.
#[derive(Debug)]
pub(super) struct Watched {
    length: Duration,
    samples: Vec<Sample>,
}

impl Watched {
    /// For a soak of that length.
    pub(super) fn new(length: Duration) -> Self {
        Self { length, samples: Vec::with_capacity(SAMPLES as usize + 1) }
    }

    pub(super) fn push(&mut self, sample: Sample) {
        if self.samples.len() <= SAMPLES as usize {
            self.samples.push(sample);
        }
    }

    /// Neither memory nor tasks nor files grow.
    pub(super) fn bounds(&self) -> Vec<Bound> {
        let memory: [(&str, Of); 2] = [
            ("allocated memory", |sample| Some(sample.allocated)),
            ("resident memory", |sample| sample.resident),
        ];
        let counts: [(&str, Of); 2] =
            [("tasks", |sample| Some(sample.tasks)), ("open files", |sample| sample.files)];
        let memory = memory.into_iter().flat_map(|(name, of)| {
            let most = self.level(of)? * STEADY;
            Some(self.growths(of)?.map(|(how, growth)| bound(name, how, most, growth, " bytes")))
        });
        let counts = counts.into_iter().flat_map(|(name, of)| {
            let [(how, growth), _] = self.growths(of)?;
            Some([bound(name, how, UNDER_WAY, growth, "")])
        });
        memory.flatten().chain(counts.flatten()).collect()
    }

    /// Growth from the level after a third: to the end, and as the fitted line has it.
    fn growths(&self, of: Of) -> Option<[(&'static str, f64); 2]> {
        let end = self.median(of, 1.0 - 1.0 / 6.0, 1.0)?;
        Some([("growth to the end", end - self.level(of)?), ("growth of the line", self.line(of)?)])
    }

    /// The median of the sixth after the first third.
    fn level(&self, of: Of) -> Option<f64> {
        self.median(of, 1.0 / 3.0, 0.5)
    }

    /// The median of what was seen between two shares of the length.
    fn median(&self, of: Of, from: f64, to: f64) -> Option<f64> {
        let window = self.length.mul_f64(from)..=self.length.mul_f64(to);
        let seen = self.samples.iter().filter(|sample| window.contains(&sample.at));
        let mut seen: Vec<f64> = seen.filter_map(of).collect();
        seen.sort_by(f64::total_cmp);
        seen.get(seen.len() / 2).copied()
    }

    /// How much the line of least squares through the windows' medians rises after the first third.
    fn line(&self, of: Of) -> Option<f64> {
        let width = 2.0 / 3.0 / f64::from(WINDOWS);
        let window = |number: u32| {
            let from = 1.0 / 3.0 + f64::from(number) * width;
            Some((from + width / 2.0, self.median(of, from, from + width)?))
        };
        let points: Vec<(f64, f64)> = (0..WINDOWS).filter_map(window).collect();
        let mean =
            |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        (square > 0.0).then(|| both / square * 2.0 / 3.0)
    }

    pub(super) fn curves(&self) -> Vec<Curve> {
        let of: [(&str, &str, Of); 5] = [
            ("Node: memory allocated", "bytes", |sample| Some(sample.allocated)),
            ("Node: memory resident", "bytes", |sample| sample.resident),
            ("Node: tasks", "tasks", |sample| Some(sample.tasks)),
            ("Node: open files", "files", |sample| sample.files),
            ("Slowest block followed", "seconds", |sample| Some(sample.slowest_block)),
        ];
        let curve = |(name, unit, of): (&str, &str, Of)| {
            let point =
                |sample: &Sample| Some(CurvePoint { at_ns: nanos(sample.at), value: of(sample)? });
            let points = self.samples.iter().filter_map(point).collect();
            Curve { name: name.to_owned(), unit: unit.to_owned(), points }
        };
        of.into_iter().map(curve).collect()
    }
}

fn bound(name: &str, how: &str, most: f64, growth: f64, unit: &str) -> Bound {
    let name = format!("{name}, {how}");
    let (wanted, got) = (format!("at most {most:.0}{unit}"), format!("{growth:.0}{unit}"));
    Bound::judged(&name, &wanted, &got, growth <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A soak of 600 s with a look each second.
    fn watched(allocated: impl Fn(f64) -> f64) -> Watched {
        let mut watched = Watched::new(Duration::from_secs(600));
        for second in 0..600 {
            let at = Duration::from_secs(second);
            let allocated = allocated(at.as_secs_f64() / 600.0);
            watched.push(Sample { at, allocated, ..Sample::default() });
        }
        watched
    }

    fn broken(watched: &Watched) -> Vec<String> {
        let bounds = watched.bounds().into_iter().filter(|bound| !bound.met);
        bounds.map(|bound| bound.name).collect()
    }

    #[test]
    fn what_was_reached_after_a_third_is_no_growth() {
        assert_eq!(broken(&watched(|at| 1e6 * (at * 3.0).min(1.0))), [""; 0]);
        // Nor is what falls.
        assert_eq!(broken(&watched(|at| 2e6 - 1e6 * at)), [""; 0]);
    }

    #[test]
    fn a_slow_leak_breaks_the_bounds() {
        let names = ["allocated memory, growth to the end", "allocated memory, growth of the line"];
        assert_eq!(broken(&watched(|at| 1e6 + 2e5 * at)), names);
    }

    #[test]
    fn one_peak_decides_nothing() {
        let peak = |at: f64| if (0.995..0.999).contains(&at) { 9e6 } else { 1e6 };
        assert_eq!(broken(&watched(peak)), [""; 0]);
    }

    #[test]
    fn tasks_that_stay_break_the_bound_and_those_that_come_and_go_do_not() {
        let with = |tasks: fn(u32) -> f64| {
            let mut watched = Watched::new(Duration::from_secs(600));
            for second in 0..600 {
                let at = Duration::from_secs(second.into());
                watched.push(Sample { at, tasks: tasks(second), ..Sample::default() });
            }
            broken(&watched)
        };
        assert_eq!(with(|second| 40.0 + f64::from(second % 8)), [""; 0]);
        assert_eq!(with(|second| 40.0 + f64::from(second / 10)), ["tasks, growth to the end"]);
    }

    #[test]
    fn a_soak_has_no_more_samples_than_were_planned() {
        let mut watched = Watched::new(Duration::from_secs(1));
        (0..10_000).for_each(|_| watched.push(Sample::default()));
        assert_eq!(watched.samples.len(), SAMPLES as usize + 1);
    }
}
