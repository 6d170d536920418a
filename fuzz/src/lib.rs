//! What the fuzz targets share. Each target is a program in `src/bin`: a function `check`, which
//! panics when a property does not hold of an input, and a function `seeds`, which makes inputs
//! worth starting from. [`target!`] makes of these
//!
//! - a test, run with all others: the seeds and a few thousand mutations of them, the same each
//!   time;
//! - with the feature `libfuzzer`, a program of libFuzzer's (`just fuzz`), which mutates what
//!   reached new code;
//! - without it, a program that replays inputs.

#![allow(clippy::panic, clippy::print_stderr, reason = "a panic is how a fuzz target reports")]

mod mutate;
mod replay;
mod verdict;

#[cfg(feature = "libfuzzer")]
#[doc(hidden)]
pub use libfuzzer_sys;

pub use mutate::{exercise, mutated};
pub use replay::{SEEDS, replay, write_seeds, write_seeds_if_asked};
pub use verdict::names_its_place;

/// Makes a fuzz target of `fn check(&[u8])` and `fn seeds() -> Vec<Vec<u8>>`.
#[macro_export]
macro_rules! target {
    ($check:ident, $seeds:ident) => {
        #[cfg(all(feature = "libfuzzer", not(test)))]
        $crate::libfuzzer_sys::fuzz_target!(
            init: $crate::write_seeds_if_asked(&$seeds()),
            |data: &[u8]| $check(data)
        );

        #[cfg(not(all(feature = "libfuzzer", not(test))))]
        #[cfg_attr(test, allow(dead_code, reason = "the test harness has its own"))]
        fn main() -> ::std::io::Result<()> {
            $crate::replay(::std::env::args_os().skip(1), $check, &$seeds())
        }

        #[cfg(test)]
        mod tests {
            #[test]
            fn holds_for_the_seeds_and_for_mutations_of_them() {
                let checked = $crate::exercise(super::$check, &super::$seeds(), 4000);
                assert!(checked > 4000, "{checked} inputs");
            }
        }
    };
}
