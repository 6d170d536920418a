//! BIP158's published vectors.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use bitcoin::{Block, ScriptBuf};

use super::*;

struct Vector {
    block: Block,
    spent: Vec<ScriptBuf>,
    previous: FilterHeader,
    filter: String,
    header: FilterHeader,
    note: &'static str,
}

fn vectors() -> Vec<Vector> {
    let lines = include_str!("bip158.txt").lines().filter(|line| !line.starts_with('#'));
    let vectors = lines.map(|line| {
        let fields: Vec<&str> = line.split(" | ").collect();
        let [_, hash, block, spent, previous, filter, header, note] = fields[..] else {
            panic!("{line}");
        };
        let block: Block = deserialize_hex(block).unwrap();
        assert_eq!(block.block_hash(), hash.parse().unwrap());
        let spent = match spent {
            "-" => vec![],
            spent => spent.split(',').map(|hex| ScriptBuf::from_hex(hex).unwrap()).collect(),
        };
        let (previous, header) = (previous.parse().unwrap(), header.parse().unwrap());
        Vector { block, spent, previous, filter: filter.into(), header, note }
    });
    vectors.collect()
}

#[test]
fn filters_of_the_published_blocks_are_the_published_ones() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 10);
    for Vector { block, spent, previous, filter, header, note } in vectors {
        let built = Filter::of_block(&block, spent.iter().map(ScriptBuf::as_script)).unwrap();
        assert_eq!(built.as_bytes().to_lower_hex_string(), filter, "{note}");
        assert_eq!(built.hash().filter_header(&previous), header, "{note}");
        let key = FilterKey::new(block.block_hash());
        let read = Filter::decode(key, Vec::from_hex(&filter).unwrap()).unwrap();
        assert_eq!(read, built, "{note}");
        assert_eq!(read.check(), Ok(()), "{note}");
    }
}

#[test]
fn every_script_of_the_published_blocks_is_found_and_nothing_else() {
    let mut scratch = MatchScratch::new();
    let mut found = BTreeSet::new();
    for Vector { block, spent, note, .. } in vectors() {
        let filter = Filter::of_block(&block, spent.iter().map(ScriptBuf::as_script)).unwrap();
        let outputs = output_elements(&block).map(ScriptBuf::from);
        let scripts: Vec<ScriptBuf> = outputs.chain(spent).collect();
        let set: ScriptSet = scripts.iter().collect();
        let matched = filter.matches(&set, &mut scratch).unwrap();
        let empty = |place: &usize| scripts[*place].is_empty();
        assert!(matched.iter().copied().eq((0..scripts.len()).filter(|place| !empty(place))));
        assert_eq!(matched.is_empty(), note == "Empty data");
        found.extend(matched.iter().map(|place| scripts[*place].clone()));

        let mut random = SplitMix64::new(1);
        let strangers: ScriptSet = random_scripts(&mut random, 50).iter().collect();
        assert_eq!(filter.match_any(&strangers, &mut scratch), Ok(false), "{note}");
    }
    assert!(found.len() > 25, "{}", found.len());
}
