//! How long each kind of bench is measured, in one place, so that all of them together take less than 12 minutes on two
//! cores: `cargo bench` is run before changes and after, and what takes an hour is not.

use std::time::Duration;

use criterion::Criterion;

use crate::recorded::home;

/// How long a bench is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    samples: usize,
    resamples: usize,
    warm_up: Duration,
    measurement: Duration,
}

/// What takes nanoseconds to microseconds. Half a second has millions of them; the many samples are for machines that
/// do other things, too: most are then not interrupted.
pub const CALLS: Settings = Settings {
    samples: 40,
    resamples: 2_000,
    warm_up: Duration::from_millis(150),
    measurement: Duration::from_millis(500),
};

/// What takes up to some milliseconds: batches of headers, sets of scripts, trees.
pub const BATCHES: Settings = Settings {
    samples: 30,
    resamples: 2_000,
    warm_up: Duration::from_millis(300),
    measurement: Duration::from_millis(1_200),
};

/// What takes tenths of a second and more: chains, stores, syncs. Ten samples are criterion's least; each is done once
/// where it takes longer than its part of the time, and the caches are warm after once.
pub const JOURNEYS: Settings = Settings {
    samples: 10,
    resamples: 2_000,
    warm_up: Duration::from_millis(1),
    measurement: Duration::from_millis(1_500),
};

impl Settings {
    /// A criterion that measures so long. Its flags can still say otherwise.
    #[must_use]
    pub fn criterion(self) -> Criterion {
        // Else it would go by the working directory where cargo does not run the bench.
        Criterion::default()
            .output_directory(&home())
            .sample_size(self.samples)
            .nresamples(self.resamples)
            .warm_up_time(self.warm_up)
            .measurement_time(self.measurement)
    }
}

/// Whether what a bench does outside criterion's filter is asked for: `cargo bench -- merkle` leaves out whatever has no
/// `merkle` in its name, and `-- stores/sync` asks for `stores`. Says so where it is left out.
#[must_use]
#[allow(clippy::print_stdout, reason = "figures are what a bench is for")]
pub fn asked_for(name: &str) -> bool {
    let asked = is_asked_for(name, std::env::args().skip(1));
    if !asked {
        println!("{name}: left out by the filter");
    }
    asked
}

/// Flags of criterion's are passed over; a value of one is taken for a filter, as criterion has no list of them.
fn is_asked_for(name: &str, arguments: impl Iterator<Item = String>) -> bool {
    let mut filters = arguments.filter(|argument| !argument.starts_with('-')).peekable();
    filters.peek().is_none()
        || filters.any(|filter| name.contains(&filter) || filter.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_filter_all_are_asked_for_and_with_one_those_that_it_names() {
        let asked = |arguments: &[&str]| {
            is_asked_for("merkle_memory", arguments.iter().map(|argument| (*argument).to_owned()))
        };
        assert!(asked(&["--bench", "--quick"]));
        assert!(asked(&["--bench", "merkle"]));
        assert!(asked(&["merkle_memory/root", "--bench"]));
        assert!(!asked(&["stores", "--bench"]));
    }
}
