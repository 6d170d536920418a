//! The same filters and the same answers as the `bitcoin` crate's.

use alloc::vec::Vec;

use bitcoin::bip158::{self, BlockFilter};
use bitcoin::{Block, OutPoint, Script, ScriptBuf, Sequence, TxIn, Witness};

use super::*;

/// Adds a transaction that spends so many outputs.
fn spend(block: &mut Block, count: usize) {
    let coinbase = block.txdata.first().cloned().unwrap();
    let input = (0u32..).take(count).map(|vout| TxIn {
        previous_output: OutPoint { txid: coinbase.compute_txid(), vout },
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    });
    block.txdata.push(Transaction { input: input.collect(), ..coinbase });
}

fn theirs(block: &Block, spent: &[ScriptBuf]) -> BlockFilter {
    BlockFilter::new_script_filter(block, |outpoint| {
        let place = usize::try_from(outpoint.vout).unwrap();
        spent.get(place).map(ScriptBuf::as_script).ok_or(bip158::Error::UtxoMissing(*outpoint))
    })
    .unwrap()
}

/// Scripts as no wallet has them: empty ones, OP_RETURN, and some more than once.
fn odd_scripts(random: &mut SplitMix64, count: usize) -> Vec<ScriptBuf> {
    let mut scripts: Vec<ScriptBuf> = Vec::new();
    for _ in 0..count {
        let script = match random.below(10) {
            0 => ScriptBuf::new(),
            1 => ScriptBuf::new_op_return(random.next_u64().to_le_bytes()),
            2 => ScriptBuf::from(alloc::vec![0x6a]),
            3 => scripts.first().cloned().unwrap_or_default(),
            _ => random_script(random),
        };
        scripts.push(script);
    }
    scripts
}

#[test]
fn random_blocks_get_the_filters_that_the_bitcoin_crate_builds() {
    let mut random = SplitMix64::new(1);
    let mut sizes = Vec::new();
    for seed in 0..400 {
        let most = u64::from(seed) / 8 + 1;
        let (made, taken) = (random.below(most), random.below(most));
        let outputs = odd_scripts(&mut random, usize::try_from(made).unwrap() + 1);
        let spent = odd_scripts(&mut random, usize::try_from(taken).unwrap());
        let mut block = block(seed, &outputs);
        spend(&mut block, spent.len());
        let ours = Filter::of_block(&block, spent.iter().map(ScriptBuf::as_script)).unwrap();
        let theirs = theirs(&block, &spent);
        assert_eq!(ours.as_bytes(), theirs.content, "block {seed}");
        assert_eq!(ours.hash(), FilterHash::hash(&theirs.content));
        assert_eq!(ours.check(), Ok(()));
        sizes.push(ours.elements());
        // What is spent is in the filter, whatever it is; of outputs, what is no OP_RETURN.
        for script in spent.iter().map(ScriptBuf::as_script).chain(output_elements(&block)) {
            assert_eq!(ours.contains(script), Ok(!script.is_empty()), "block {seed}");
        }
    }
    assert!(sizes.contains(&0) && sizes.contains(&1) && sizes.iter().max() > Some(&50));
}

/// Asks both, by both ways that we have.
#[track_caller]
fn agree(
    block: &Block,
    filter: &Filter,
    scripts: &[ScriptBuf],
    scratch: &mut MatchScratch,
) -> bool {
    let query = scripts.iter().filter(|script| !script.is_empty()).map(|script| script.as_bytes());
    let right = BlockFilter::new(filter.as_bytes()).match_any(&block.block_hash(), query).unwrap();
    let set: ScriptSet = scripts.iter().collect();
    assert_eq!(filter.match_any(&set, scratch), Ok(right), "{} scripts", scripts.len());
    assert_eq!(filter.walk(&set, &mut Vec::new()), Ok(right), "{} scripts", scripts.len());
    let found = filter.matches(&set, scratch).unwrap().to_vec();
    let contains = |script: &Script| filter.contains(script).unwrap();
    let each = (0..scripts.len()).filter(|place| contains(&scripts[*place]));
    assert!(found.iter().copied().eq(each), "{} scripts", scripts.len());
    assert_eq!(right, !found.is_empty());
    right
}

#[test]
fn answers_are_those_of_the_bitcoin_crate_for_sets_of_every_size_around_the_lanes() {
    let mut random = SplitMix64::new(2);
    let mut scratch = MatchScratch::new();
    let mut matched = 0;
    for size in (0..=70).chain([127, 128, 129, 511, 512, 513, 600, 1_100]) {
        let elements = random_scripts(&mut random, 60);
        let block = block(3, &elements);
        let filter = filter_of(3, &elements);
        let mut scripts = random_scripts(&mut random, size);
        matched += usize::from(agree(&block, &filter, &scripts, &mut scratch));
        // One that is in the filter, at each end and in the middle.
        for place in [0, size / 2, size.saturating_sub(1)] {
            if let Some(script) = scripts.get_mut(place) {
                let own = core::mem::replace(script, elements[size % 60].clone());
                assert!(agree(&block, &filter, &scripts, &mut scratch));
                scripts[place] = own;
            }
        }
    }
    // One-byte scripts are few, so some are in both.
    assert!((5..70).contains(&matched), "{matched}");
}

#[test]
fn answers_are_those_of_the_bitcoin_crate_for_filters_of_every_size() {
    let mut random = SplitMix64::new(3);
    let mut scratch = MatchScratch::new();
    for elements in (1..=40).chain([300, 2_000]) {
        let elements = random_scripts(&mut random, elements);
        let block = block(4, &elements);
        let filter = filter_of(4, &elements);
        for size in [1, 3, 100] {
            let mut scripts = odd_scripts(&mut random, size);
            agree(&block, &filter, &scripts, &mut scratch);
            scripts.extend(elements.last().cloned());
            assert!(agree(&block, &filter, &scripts, &mut scratch));
        }
        assert!(agree(&block, &filter, &elements, &mut scratch));
    }
}

#[test]
fn scripts_of_every_length_are_found() {
    let mut random = SplitMix64::new(4);
    let mut scratch = MatchScratch::new();
    let lengths = (0..=100).chain([255, 256, 257, 520, 10_000]);
    let scripts: Vec<ScriptBuf> =
        lengths.map(|length| ScriptBuf::from(random_bytes(&mut random, length))).collect();
    let spent = scripts.iter().map(ScriptBuf::as_script);
    let filter = Filter::of_block(&block(5, &[]), spent).unwrap();
    let set: ScriptSet = scripts.iter().collect();
    let matched = filter.matches(&set, &mut scratch).unwrap();
    // All but the empty one.
    assert!(matched.iter().copied().eq(1..scripts.len()), "{matched:?}");
    for script in &scripts {
        let alone: ScriptSet = [script].into_iter().collect();
        assert_eq!(filter.match_any(&alone, &mut scratch), Ok(!script.is_empty()));
    }
}

#[test]
fn large_sets_against_large_filters_find_what_is_there() {
    let mut random = SplitMix64::new(5);
    let mut scratch = MatchScratch::new();
    let long = |random: &mut SplitMix64| ScriptBuf::from(random_bytes(random, 34));
    let elements: Vec<_> = (0..5_000).map(|_| long(&mut random)).collect();
    let filter = filter_of(6, &elements);
    let mut scripts: Vec<_> = (0..3_000).map(|_| long(&mut random)).collect();
    let block = block(6, &elements);
    agree(&block, &filter, &scripts, &mut scratch);
    for (place, element) in [(0, 17), (1_500, 4_999), (2_999, 0)] {
        scripts[place] = elements[element].clone();
    }
    let set: ScriptSet = scripts.iter().collect();
    let matched = filter.matches(&set, &mut scratch).unwrap();
    assert!([0, 1_500, 2_999].iter().all(|place| matched.contains(place)), "{matched:?}");
    assert!(matched.len() < 6, "more than a chance in a thousand: {matched:?}");
    assert!(agree(&block, &filter, &scripts, &mut scratch));
}

#[test]
fn a_script_keeps_its_place_however_the_set_grew() {
    let mut random = SplitMix64::new(6);
    let scripts = odd_scripts(&mut random, 100);
    let mut grown = ScriptSet::new();
    assert!(grown.is_empty());
    for (place, script) in scripts.iter().enumerate() {
        assert_eq!(grown.push(script), place);
        assert_eq!(grown.len(), place + 1);
    }
    assert_eq!(grown, scripts.iter().collect());
    assert!(!alloc::format!("{grown:?}").contains("rows"), "scripts are private");
}
