//! Compact filters: whatever the bytes are, reading them ends in an error that names its place or in one answer; what
//! reads well is in its one form, and what the `bitcoin` crate says of it we say too.
//!
//! The first byte says how many scripts are looked for, so that both ways of matching are reached.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]
#![allow(clippy::panic, reason = "a panic is how a fuzz target reports")]

use bitcoin::bip158::BlockFilter;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, ScriptBuf};
use ironlight_spv::filter::{Filter, FilterError, FilterKey, MatchScratch, ScriptSet};

ironlight_fuzz::target!(check, seeds);

fn block_hash() -> BlockHash {
    BlockHash::from_byte_array([7; 32])
}

fn scripts(count: u8) -> Vec<ScriptBuf> {
    let script = |index: u8| ScriptBuf::from(vec![index; usize::from(index % 40) + 1]);
    (0..count).map(script).collect()
}

fn check(data: &[u8]) {
    let Some((count, bytes)) = data.split_first() else { return };
    let filter = match Filter::decode(FilterKey::new(block_hash()), bytes.to_vec()) {
        Ok(filter) => filter,
        Err(error) => return names_its_place(error, bytes),
    };
    assert!(filter.elements() <= Filter::MAX_ELEMENTS && bytes.len() <= Filter::MAX_SIZE);
    assert_eq!(filter.as_bytes(), bytes);
    let scripts = scripts(*count);
    let set: ScriptSet = scripts.iter().collect();
    let mut scratch = MatchScratch::new();
    let any = filter.match_any(&set, &mut scratch);
    let whole = filter.check();
    let all = filter.matches(&set, &mut scratch).map(<[usize]>::to_vec);
    match (whole, all) {
        (Ok(()), Ok(all)) => {
            is_what_the_bitcoin_crate_says(&filter, &scripts, &all);
            assert_eq!(any, Ok(!all.is_empty()));
        }
        (Err(error), Err(same)) => {
            assert_eq!(error, same);
            names_its_place(error, bytes);
            // It may have been decided before that place; if not, this is the place.
            assert!(any.is_ok() || any == Err(error), "{any:?}");
        }
        (whole, all) => panic!("{whole:?} of the whole, but {all:?}"),
    }
}

fn is_what_the_bitcoin_crate_says(filter: &Filter, scripts: &[ScriptBuf], found: &[usize]) {
    let theirs = BlockFilter::new(filter.as_bytes());
    for (place, script) in scripts.iter().enumerate() {
        let right = theirs.match_any(&block_hash(), std::iter::once(script.as_bytes()));
        assert_eq!(right.ok(), Some(found.contains(&place)), "script {place}");
        assert_eq!(filter.contains(script), Ok(found.contains(&place)), "script {place}");
    }
}

fn names_its_place(error: FilterError, bytes: &[u8]) {
    let length = bytes.len();
    match error {
        FilterError::CountTruncated { size } => assert!(size == length && size < 9),
        FilterError::CountNotCanonical { count } => assert!(count <= u64::from(u32::MAX)),
        FilterError::TooManyElements { count } => assert!(count > u64::from(Filter::MAX_ELEMENTS)),
        FilterError::TooShort { size, least, .. } => assert!(size == length && size < least),
        FilterError::TooLong { size, most, .. } => assert!(size == length && size > most),
        FilterError::Truncated { bit, .. } => assert!(bit <= length * 8),
        FilterError::OutOfRange { bit, value, range, .. } => {
            assert!(bit < length * 8 && value >= range);
        }
        FilterError::Leftover { bit, bits } => assert!(bits > 0 && bit + bits == length * 8),
        other => panic!("an error that this target knows not: {other}"),
    }
}

/// A filter of scripts that may be looked for, and some of others, as `bitcoin` writes them.
fn honest(elements: impl Iterator<Item = ScriptBuf>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let key = u64::from_le_bytes([7; 8]);
    let mut writer = bitcoin::bip158::GcsFilterWriter::new(&mut bytes, key, key, 784_931, 19);
    elements.for_each(|script| writer.add_element(script.as_bytes()));
    // Writing to memory does not fail.
    let written = writer.finish();
    assert!(written.is_ok());
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    let stranger = |index: u32| ScriptBuf::from(index.to_le_bytes().repeat(6));
    let filters = [
        honest(std::iter::empty()),
        honest(scripts(1).into_iter()),
        honest((0..40).map(stranger)),
        honest((0..300).map(stranger).chain(scripts(3))),
        // One long jump.
        [&[3, 0, 0, 0, 0x0f][..], &[0xff, 0x80, 0, 0, 0]].concat(),
        vec![0xfe, 0xa1, 0x86, 1, 0],
        vec![0xff; 9],
    ];
    let with = |count: u8| filters.iter().map(move |filter| [&[count][..], filter].concat());
    [1, 2, 40, 255].into_iter().flat_map(with).collect()
}
