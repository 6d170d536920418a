//! What a liar may send.

use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;

use super::*;

fn decode(bytes: &[u8]) -> Result<Filter, FilterError> {
    Filter::decode(key(), bytes.to_vec())
}

fn read(bytes: &[u8]) -> Result<(), FilterError> {
    decode(bytes)?.check()
}

/// A filter of these values.
fn filter(values: &[u64]) -> Filter {
    Filter::encode(key(), u32::try_from(values.len()).unwrap(), values)
}

fn values(filter: &Filter) -> Vec<u64> {
    let mut values = Vec::new();
    let all = filter.values().visit(|value| {
        values.push(value);
        core::ops::ControlFlow::<()>::Continue(())
    });
    assert!(all.is_ok(), "{all:?}");
    values
}

fn honest() -> Filter {
    let mut random = SplitMix64::new(1);
    filter_of(1, &random_scripts(&mut random, 90))
}

#[test]
fn a_filter_cut_anywhere_is_refused() {
    let bytes = honest().into_bytes();
    assert_eq!(read(&bytes), Ok(()));
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        match error {
            FilterError::CountTruncated { size } | FilterError::TooShort { size, .. } => {
                assert_eq!(size, length);
            }
            FilterError::Truncated { element, bit } => {
                assert!(element < 90 && bit <= length * 8, "{error}");
            }
            FilterError::CountNotCanonical { .. }
            | FilterError::TooManyElements { .. }
            | FilterError::TooLong { .. }
            | FilterError::OutOfRange { .. }
            | FilterError::Leftover { .. } => panic!("cut at {length}: {error}"),
        }
    }
}

#[test]
fn bytes_behind_a_filter_are_refused() {
    let mut bytes = honest().into_bytes();
    let whole = bytes.len();
    for size in whole + 1..whole + 80 {
        bytes.push(0);
        let error = read(&bytes).unwrap_err();
        let too_long =
            matches!(error, FilterError::TooLong { count: 90, size: found, .. } if found == size);
        let leftover =
            matches!(error, FilterError::Leftover { bit, bits } if bit + bits == size * 8);
        assert!(too_long || leftover, "{error}");
    }
}

#[test]
fn a_flipped_bit_gives_an_error_or_one_answer_by_both_ways() {
    let honest = honest();
    let mut random = SplitMix64::new(2);
    let few: ScriptSet = random_scripts(&mut random, 2).iter().collect();
    let many: ScriptSet = random_scripts(&mut random, 90).iter().collect();
    let mut scratch = MatchScratch::new();
    let (mut errors, mut answers) = (0, 0);
    for bit in 0..honest.as_bytes().len() * 8 {
        let mut bytes = honest.as_bytes().to_vec();
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        let Ok(filter) = decode(&bytes) else {
            assert!(bit < 8, "only the number of elements decides: bit {bit}");
            continue;
        };
        for set in [&few, &many] {
            let answer = filter.match_any(set, &mut scratch);
            assert_eq!(answer, filter.walk(set, &mut Vec::new()), "bit {bit}");
            // What is found among all is what any is found by.
            if let Ok(all) = filter.matches(set, &mut scratch) {
                assert_eq!(answer, Ok(!all.is_empty()), "bit {bit}");
            }
        }
        match filter.check() {
            Ok(()) => answers += 1,
            Err(error) => {
                errors += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(errors > 20 && answers > 1_000, "{errors} errors, {answers} answers");
}

#[test]
fn what_comes_before_the_broken_place_still_decides() {
    // The last element is beyond the range.
    let broken = filter(&[5, 1_000_000, 3 * 784_931]);
    let error =
        FilterError::OutOfRange { element: 2, bit: 8 + 41, value: 2_354_793, range: 2_354_793 };
    assert_eq!(broken.check(), Err(error));
    let decided = |value| broken.decide(&[value]);
    assert_eq!([decided(5), decided(6), decided(1_000_000)], [Ok(true), Ok(false), Ok(true)]);
    assert_eq!(decided(1_000_001), Err(error));
    assert_eq!(broken.decide(&[1_000_000, 2_000_000]), Ok(true));
}

#[test]
fn each_error_names_its_place() {
    use FilterError::{
        CountNotCanonical, CountTruncated, Leftover, TooLong, TooManyElements, TooShort, Truncated,
    };
    let cases: [(&[u8], FilterError); 13] = [
        (&[], CountTruncated { size: 0 }),
        (&[0xfd, 1], CountTruncated { size: 2 }),
        (&[0xfe, 1, 2, 3], CountTruncated { size: 4 }),
        (&[0xff, 1, 2, 3, 4, 5, 6, 7], CountTruncated { size: 8 }),
        (&[0xfd, 0xfc, 0], CountNotCanonical { count: 0xfc }),
        (&[0xfe, 0xff, 0xff, 0, 0], CountNotCanonical { count: 0xffff }),
        (&[0xff, 1, 0, 0, 0, 0, 0, 0, 0], CountNotCanonical { count: 1 }),
        (&[0xfe, 0xa1, 0x86, 1, 0], TooManyElements { count: 100_001 }),
        (&[0xff; 9], TooManyElements { count: u64::MAX }),
        (&[0, 0], TooLong { count: 0, size: 2, most: 1 }),
        (&[2, 0, 0, 0, 0], TooShort { count: 2, size: 5, least: 6 }),
        // The second element begins at bit 20 and needs 21.
        (&[2, 0, 0, 0, 0x08, 0, 0], Leftover { bit: 49, bits: 7 }),
        (&[2, 0, 0, 0x08, 0, 0], Truncated { element: 1, bit: 28 }),
    ];
    for (bytes, expected) in cases {
        let found = read(bytes);
        let rewritten = matches!(expected, Leftover { .. });
        assert!(rewritten || found == Err(expected), "{bytes:02x?}: {found:?}");
    }
    // Zeros up to the next byte are padding, a one is not.
    assert_eq!(read(&[1, 0, 0, 0]), Ok(()));
    assert_eq!(read(&[1, 0, 0, 1]), Err(Leftover { bit: 28, bits: 4 }));
}

#[test]
fn long_quotients_are_read_wherever_they_stand() {
    // The quotients of a filter of so many elements are at most 598 in all, far more than a word.
    let most = 400 * 784_931 - 1;
    for jump in [0, 1, 36, 37, 38, 56, 57, 58, 63, 64, 65, 113, 114, 115, 200, 598] {
        for place in [0, 1, 2, 199, 398, 399] {
            let jumped = |index| if index >= place { (jump << 19).min(most) } else { 0 };
            let expected: Vec<u64> = (0..400).map(jumped).collect();
            let filter = filter(&expected);
            assert_eq!(values(&filter), expected, "{jump} at {place}");
            assert_eq!(decode(filter.as_bytes()), Ok(filter));
        }
    }
}

#[test]
fn elements_that_crowd_one_place_are_still_told_apart() {
    let crowd: Vec<u64> = (0..2_000).map(|index| 1_000_000_000 + index / 4 * 3).collect();
    let filter = filter(&crowd);
    let mut index = super::super::index::Index::default();
    index.build(&filter).unwrap();
    for value in 999_999_990..1_000_001_520 {
        let right = crowd.binary_search(&value).is_ok();
        assert_eq!(index.contains(value), right, "{value}");
        assert_eq!(filter.decide(&[value]), Ok(right), "{value}");
    }
}

#[test]
fn an_index_forgets_the_filter_before() {
    let mut index = super::super::index::Index::default();
    let (first, second) = ([5, 700_000, 2_000_000], [6, 700_001, 1_500_000]);
    index.build(&filter(&first)).unwrap();
    assert!(first.iter().all(|value| index.contains(*value)));
    index.build(&filter(&second)).unwrap();
    assert!(second.iter().all(|value| index.contains(*value)));
    assert!(!first.iter().any(|value| index.contains(*value)));
}

#[test]
fn the_largest_filter_is_read_and_a_larger_one_is_not() {
    let count = u64::from(Filter::MAX_ELEMENTS);
    let spread: Vec<u64> = (1..=count).map(|index| index * 784_931 - 1).collect();
    assert_eq!(values(&filter(&spread)), spread);

    // One jump over the whole range makes the longest unary part that there can be.
    let mut jump = vec![0; spread.len()];
    *jump.last_mut().unwrap() = count * 784_931 - 1;
    let longest = filter(&jump);
    assert_eq!(longest.as_bytes().len(), Filter::MAX_SIZE);
    assert_eq!(values(&decode(longest.as_bytes()).unwrap()), jump);

    let smallest = filter(&vec![0; spread.len()]);
    assert_eq!(decode(smallest.as_bytes()).unwrap().check(), Ok(()));

    let script = |index: u32| ScriptBuf::from([&[0x51][..], &index.to_le_bytes()].concat());
    let scripts: Vec<_> = (0..=Filter::MAX_ELEMENTS).map(script).collect();
    let error = Filter::of_block(&block(1, &scripts), []).unwrap_err();
    assert_eq!(error, FilterError::TooManyElements { count: count + 1 });
}
