//! Mutations that follow from a seed, for tests that have to be the same each time.
//!
//! They know nothing of what the code did with the input before; that is libFuzzer's part.

use ironlight_spv::peers::SplitMix64;

/// Numbers at which lengths, counts and sizes of integers change their mind.
const EDGES: [u32; 12] =
    [0, 1, 0x7f, 0x80, 0xfc, 0xfd, 0xff, 2000, 8000, 0xffff, 0x1_0000, u32::MAX];
/// Mutations do not make an input longer than this.
const LONGEST: usize = 8 * 1024;

/// Checks the seeds, and `mutations` mutations of them in turn. Returns how many inputs that were.
///
/// # Panics
/// As the check does; the input is printed before, as hexadecimal digits.
pub fn exercise(check: fn(&[u8]), seeds: &[Vec<u8>], mutations: usize) -> usize {
    let mut random = SplitMix64::new(1);
    let mut checked = 0;
    for seed in seeds {
        report(check, seed);
        checked += 1;
    }
    for seed in seeds.iter().cycle().take(mutations) {
        let other = seeds.get(below(&mut random, seeds.len()));
        report(check, &mutated(seed, other.unwrap_or(seed), &mut random));
        checked += 1;
    }
    checked
}

/// Prints the input if the check does not come back.
fn report(check: fn(&[u8]), input: &[u8]) {
    struct Running<'a>(&'a [u8]);
    impl Drop for Running<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                eprintln!("the input that failed: {hex}");
            }
        }
    }
    let running = Running(input);
    check(running.0);
}

/// One to four changes to an input; `other` is what parts may be taken from.
#[must_use]
pub fn mutated(input: &[u8], other: &[u8], random: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        change(&mut bytes, other, random);
    }
    bytes.truncate(LONGEST.max(input.len()));
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut SplitMix64) {
    let at = below(random, bytes.len());
    let end = at + below(random, bytes.len() - at + 1).min(64);
    match random.below(7) {
        0 => xor(bytes, at, 1 << random.below(8)),
        1 => xor(bytes, at, random.next_u64().to_le_bytes()[0]),
        2 => overwrite(bytes, at, random),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let copy = bytes.get(at..end).unwrap_or_default().to_vec();
            drop(bytes.splice(at..at, copy));
        }
        _ => {
            let from = below(random, other.len());
            let part = other.get(from..).unwrap_or_default();
            drop(bytes.splice(at..end, part.iter().copied().take(64)));
        }
    }
}

fn xor(bytes: &mut [u8], at: usize, mask: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= mask;
    }
}

/// Writes one of [`EDGES`] in one, two or four bytes.
fn overwrite(bytes: &mut [u8], at: usize, random: &mut SplitMix64) {
    let edge = EDGES.get(below(random, EDGES.len())).copied().unwrap_or_default().to_le_bytes();
    let width = 1 << random.below(3);
    for (to, from) in bytes.iter_mut().skip(at).zip(edge.into_iter().take(width)) {
        *to = from;
    }
}

fn below(random: &mut SplitMix64, end: usize) -> usize {
    usize::try_from(random.below(u64::try_from(end).unwrap_or(u64::MAX))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn mutations_differ_from_each_other_and_follow_from_the_seed() {
        let (input, other) = ([7; 100], [9; 30]);
        let run = || {
            let mut random = SplitMix64::new(5);
            (0..500).map(|_| mutated(&input, &other, &mut random)).collect::<Vec<_>>()
        };
        let first = run();
        assert_eq!(first, run());
        let different: HashSet<_> = first.iter().collect();
        assert!(different.len() > 400, "{}", different.len());
        assert!(first.iter().any(|bytes| bytes.contains(&9) && bytes.contains(&7)));
        assert!(mutated(&[], &[], &mut SplitMix64::new(1)).len() <= LONGEST);
    }

    #[test]
    #[should_panic(expected = "found")]
    fn a_mutation_that_fails_the_check_fails_the_run() {
        let check = |bytes: &[u8]| assert!(bytes.len() > 3, "found");
        exercise(check, &[vec![1; 8]], 500);
    }
}
