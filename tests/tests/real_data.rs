//! Real headers of mainnet and signet: all of them verify, none does with one bit changed.
//!
//! The folder is named by `IRONLIGHT_TEST_DATA`, else it is `../shared/data` beside the workspace.

#[cfg(test)]
mod support {
    use ironlight_spv::{
        BlockHeight, Header, HeaderChain, Network, Params, TrustedStart, UnixTime, Work, parse_work,
    };

    /// Later than all of these headers.
    pub(crate) const NOW: UnixTime = UnixTime(1_750_000_000);

    /// A file of headers and where its first one belongs.
    #[derive(Clone, Copy)]
    pub(crate) struct Source {
        pub(crate) name: &'static str,
        pub(crate) network: Network,
        pub(crate) height: u32,
        work: Option<&'static str>,
        pub(crate) first: &'static str,
        pub(crate) last: &'static str,
        pub(crate) count: usize,
    }

    pub(crate) const EARLY: Source = Source {
        name: "mainnet-headers-000000-010236.bin",
        network: Network::Mainnet,
        height: 0,
        work: None,
        first: "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
        last: "000000004f74d42205b9d7ae1cb5c1591e723894a71358fce73b7e0919628161",
        count: 10_237,
    };

    pub(crate) const LATE: Source = Source {
        name: "mainnet-headers-822528-830592.bin",
        network: Network::Mainnet,
        height: 822_528,
        work: Some("624c5a3c876e3e6fffd9c800"),
        first: "000000000000000000001daacd23f9cb40c69ba923085618a5f9dbdd4d97e93a",
        last: "00000000000000000000506183a8b30fa3224b85e82a70416e1d594bdb632fdb",
        count: 8_065,
    };

    pub(crate) const SIGNET: Source = Source {
        name: "signet-headers-000000-002015.bin",
        network: Network::Signet,
        height: 0,
        work: None,
        first: "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
        last: "000000c0a3841a6ae64c45864ae25314b40fd522bfb299a4b6bd5ef288cae74d",
        count: 2_016,
    };

    pub(crate) const ALL: [Source; 3] = [EARLY, LATE, SIGNET];

    pub(crate) fn read(name: &str) -> Vec<Header> {
        let path = ironlight_tests::real_data(name);
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (headers, rest) = bytes.as_chunks::<80>();
        assert!(rest.is_empty(), "{name} ends inside a header");
        headers.iter().map(|bytes| Header::from_bytes(*bytes)).collect()
    }

    impl Source {
        pub(crate) fn headers(&self) -> Vec<Header> {
            read(self.name)
        }

        /// A chain that holds a first header.
        pub(crate) fn chain(
            &self,
            first: Header,
        ) -> Result<HeaderChain, ironlight_spv::HeaderError> {
            let params = Params::new(self.network);
            let genesis = HeaderChain::new(params.clone()).tip().work;
            let work: Work = self.work.map_or(genesis, |work| parse_work(work).expect("a number"));
            HeaderChain::from_start(
                params,
                TrustedStart::bare(BlockHeight(self.height), first, work),
            )
        }

        /// A chain that holds them all.
        pub(crate) fn whole(&self) -> HeaderChain {
            let headers = self.headers();
            let mut chain = self.chain(headers[0]).expect("the first header is right");
            for batch in headers[1..].chunks(2_000) {
                accept(&mut chain, batch);
            }
            chain
        }
    }

    pub(crate) fn accept(chain: &mut HeaderChain, headers: &[Header]) -> ironlight_spv::TipChange {
        let batch = chain.verify(headers, NOW).expect("these headers are real");
        chain.apply(batch).expect("verified on this very state")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bitcoin::CompactTarget;
    use bitcoin::params::Params as PeerParams;
    use ironlight::snapshot::{self, SnapshotReader};
    use ironlight_spv::chain::Position;
    use ironlight_spv::compress::{decode, encode};
    use ironlight_spv::generate::Miner;
    use ironlight_spv::{Basis, BlockHeight, Header, HeaderChain, TipChange};

    use super::support::{ALL, EARLY, LATE, NOW, SIGNET, Source, accept, read};

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn every_real_header_is_accepted_and_has_the_hash_that_the_network_knows() {
        for source in ALL {
            let headers = source.headers();
            let chain = source.whole();
            assert_eq!(headers.len(), source.count);
            assert_eq!(headers[0].hash().to_string(), source.first);
            assert_eq!(chain.tip().hash.to_string(), source.last);
            assert_eq!(chain.start_height().0, source.height);
            for (offset, header) in headers.iter().enumerate() {
                let height = BlockHeight(source.height + u32::try_from(offset).unwrap());
                let entry = chain.get(height).expect("held");
                assert_eq!((entry.header, entry.height), (*header, height));
                assert_eq!(chain.find(&entry.hash), Some((entry, Position::Best)));
            }
        }
        let ten_thousand = EARLY.whole().hash_at(BlockHeight(10_000)).expect("held");
        assert_eq!(
            ten_thousand.to_string(),
            "0000000099c744455f58e6c6e98b671e1bf7f37346bfd4cf5d0274ad8ee660cb"
        );
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn total_work_is_the_sum_of_what_the_bitcoin_crate_says_of_each_header() {
        for source in ALL {
            let headers = source.headers();
            let chain = source.whole();
            let mut work = source.chain(headers[0]).expect("right").tip().work;
            for (header, height) in headers[1..].iter().zip(source.height + 1..) {
                work = work + bitcoin::block::Header::from(*header).work();
                assert_eq!(chain.get(BlockHeight(height)).expect("held").work, work);
            }
            assert_eq!(chain.tip().work, work);
        }
        let late = LATE.chain(LATE.headers()[0]).expect("right");
        assert_eq!(
            format!("{:#x}", late.tip().work),
            format!("{:#066x}", 0x624c_5a3c_876e_3e6f_ffd9_c800_u128)
        );
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn four_real_retargets_are_required_exactly_and_agree_with_the_bitcoin_crate() {
        let headers = LATE.headers();
        let mut chain = LATE.chain(headers[0]).expect("right");
        let mut seen = Vec::new();
        for period in headers.windows(2_017).step_by(2_016) {
            accept(&mut chain, &period[1..2_016]);
            let (first, last, next) = (period[0], period[2_015], period[2_016]);
            let required = chain.required_after_tip(next.time());
            assert_eq!(required, next.compact_target());
            let span = u64::from(last.time().0 - first.time().0);
            let theirs = CompactTarget::from_next_work_required(
                last.compact_target(),
                span,
                PeerParams::MAINNET,
            );
            assert_eq!(required, theirs);
            assert_ne!(required, last.compact_target());
            accept(&mut chain, &[next]);
            seen.push(format!("{:08x}", required.to_consensus()));
        }
        assert_eq!(seen.len(), 4);
        println!("bits after 822528: {}", seen.join(" "));
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn a_late_start_says_that_the_median_rule_was_not_applied_to_its_first_ten() {
        let Basis::TrustedStart { height, unapplied, .. } = LATE.whole().basis() else {
            panic!("it does not start from genesis");
        };
        assert_eq!(height, BlockHeight(822_528));
        assert_eq!(unapplied.median_time_until, Some(BlockHeight(822_538)));
        assert_eq!(unapplied.difficulty_until, None, "it is its period's first header");
        assert_eq!(EARLY.whole().basis(), Basis::Genesis);
        let signet = SIGNET.whole();
        assert_eq!(signet.basis(), Basis::Genesis);
        assert!(signet.params().signatures_outside_headers());
    }

    /// Changes each bit of a header that follows the tip (in debug builds one in 97) and asserts
    /// that the header is refused by name; counts the rules.
    fn flip_every_bit(
        chain: &HeaderChain,
        around: &[Header],
        place: usize,
        rules: &mut BTreeMap<&'static str, u32>,
    ) {
        let stride = if cfg!(debug_assertions) { 97 } else { 1 };
        let height = chain.tip().height.next();
        let mut batch = around.to_vec();
        for bit in (place % stride..640).step_by(stride) {
            let mut bytes = *around[1].as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            batch[1] = Header::from_bytes(bytes);
            match chain.verify(&batch, NOW) {
                Ok(_) => panic!("bit {bit} of header {height} changed, and it passes"),
                Err(error) => {
                    assert_eq!((error.index, error.height), (1, Some(height)), "bit {bit}");
                    *rules.entry(error.violation.rule()).or_default() += 1;
                }
            }
        }
    }

    fn flip_every_bit_of(source: Source) {
        let headers = source.headers();
        let mut rules = BTreeMap::new();
        let mut first = Vec::new();
        for bit in 0..640 {
            let mut bytes = *headers[0].as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = source.chain(Header::from_bytes(bytes)).expect_err("another header");
            assert_eq!(error.height, Some(BlockHeight(source.height)));
            first.push(error.violation.rule());
        }
        assert_eq!(first.len(), 640);
        let mut chain = source.chain(headers[0]).expect("right");
        for place in 1..headers.len() {
            // The parent in front is known; the child behind shows a header that is right by luck.
            let around = &headers[place - 1..(place + 2).min(headers.len())];
            flip_every_bit(&chain, around, place, &mut rules);
            accept(&mut chain, &[headers[place]]);
        }
        let all: u32 = rules.values().sum();
        println!("{}: {all} changed bits refused: {rules:?}", source.name);
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn any_changed_bit_of_early_mainnet_is_refused_with_height_and_rule() {
        flip_every_bit_of(EARLY);
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn any_changed_bit_of_late_mainnet_is_refused_with_height_and_rule() {
        flip_every_bit_of(LATE);
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn any_changed_bit_of_signet_is_refused_with_height_and_rule() {
        flip_every_bit_of(SIGNET);
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn a_real_stale_header_is_a_side_branch_and_does_not_move_the_tip() {
        let stale = read("mainnet-stale-header-823226.bin")[0];
        let hash = "0000000000000000000365e705dbbea406f6e383f510d400fa23e40eae71e056";
        assert_eq!(stale.hash().to_string(), hash);
        let headers = LATE.headers();
        let sibling = 823_226 - 822_528;

        // After all the others, and right after its sibling, when it has as much work.
        for known in [headers.len(), sibling + 1] {
            let mut chain = LATE.chain(headers[0]).expect("right");
            accept(&mut chain, &headers[1..known]);
            let tip = chain.tip();
            assert_eq!(accept(&mut chain, &[stale]), TipChange::Unchanged);
            assert_eq!(chain.tip(), tip);
            let (entry, position) = chain.find(&stale.hash()).expect("kept");
            assert_eq!((entry.height, position), (BlockHeight(823_226), Position::Side));
            assert_eq!(entry.header.prev_hash(), headers[sibling].prev_hash());
            accept(&mut chain, &headers[1..]);
            assert_eq!(chain.tip().hash.to_string(), LATE.last);
        }

        // Where it came first, the network's choice takes over with the next header.
        let mut chain = LATE.chain(headers[0]).expect("right");
        accept(&mut chain, &headers[1..sibling]);
        accept(&mut chain, &[stale]);
        assert_eq!(chain.tip().hash, stale.hash());
        let change = accept(&mut chain, &headers[sibling..]);
        let TipChange::Reorg { fork_point, disconnected, .. } = change else {
            panic!("no reorg: {change:?}");
        };
        assert_eq!(fork_point.hash, stale.prev_hash());
        assert_eq!(disconnected.headers(), [stale]);
        assert_eq!(chain.tip().hash.to_string(), LATE.last);
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn snapshots_of_real_headers_make_the_round_trip_in_44_bytes_a_header_and_42_packed() {
        for source in ALL {
            let chain = source.whole();
            let mut bytes = Vec::new();
            let written = snapshot::write(&chain, &mut bytes, |_| {}).unwrap();
            let mut copy = source.chain(source.headers()[0]).expect("right");
            let reader = SnapshotReader::open(&bytes[..], chain.params()).unwrap();
            let kept = |_: &HeaderChain, _: &_| Ok::<_, std::io::Error>(());
            let taken = snapshot::take_in(reader, &mut copy, NOW, kept, |_| {}).unwrap();
            assert_eq!((copy.tip(), taken.root), (chain.tip(), written.root));
            let all = chain.start_height()..chain.tip().height.next();
            assert!(copy.bodies(all.clone()).eq(chain.bodies(all)));
            #[allow(clippy::cast_precision_loss, reason = "sizes for people to read")]
            let each = |bytes: u64| bytes as f64 / source.count as f64;
            let (plain, packed) = (each(written.plain), each(written.bytes));
            println!("{}: {plain:.2} bytes a header, {packed:.2} packed", source.name);
            assert!(plain <= 44.0 && packed <= 42.0);
        }
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn each_byte_of_a_real_snapshot_counts() {
        let chain = SIGNET.whole();
        let mut bytes = Vec::new();
        snapshot::write(&chain, &mut bytes, |_| {}).unwrap();
        let outcome = |bytes: &[u8]| -> Result<(), snapshot::SnapshotFileError> {
            let mut reader = SnapshotReader::open(bytes, chain.params())?;
            while reader.frame()?.is_some() {}
            reader.trailer().map(drop)
        };
        outcome(&bytes).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1 << (at % 8);
            let place = outcome(&bytes).expect_err("a flipped bit").to_string();
            let names = ["head", "snapshot", "heights 0 to 2015", "height 0", "trailer"];
            assert!(names.iter().any(|name| place.contains(name)), "{at}: {place}");
            bytes[at] ^= 1 << (at % 8);
        }
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn batches_of_any_size_make_the_same_chain() {
        for source in ALL {
            let headers = source.headers();
            let expected = source.whole();
            for seed in 0..10 {
                let mut miner = Miner::new(seed);
                let mut chain = source.chain(headers[0]).expect("right");
                let mut rest = &headers[1..];
                while !rest.is_empty() {
                    let largest = if miner.random().is_multiple_of(4) { 2_000 } else { 40 };
                    let size = usize::try_from(miner.random() % largest).unwrap() + 1;
                    let (batch, later) = rest.split_at(size.min(rest.len()));
                    accept(&mut chain, batch);
                    rest = later;
                }
                assert_eq!(chain.tip(), expected.tip());
                assert_eq!(chain.locator(), expected.locator());
                assert_eq!(chain.median_time_past(), expected.median_time_past());
                let all = chain.start_height()..chain.tip().height.next();
                assert!(chain.bodies(all.clone()).eq(expected.bodies(all)));
            }
        }
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn real_headers_take_at_most_44_bytes_each_in_compact_form() {
        for source in ALL {
            let headers = source.headers();
            let chain = source.whole();
            let all = chain.start_height()..chain.tip().height.next();
            let bytes = encode(headers[0].prev_hash(), chain.bodies(all));
            assert_eq!(decode(&bytes, headers.len()).as_deref(), Ok(&headers[..]));
            let hundredths = bytes.len() * 100 / headers.len();
            println!(
                "{}: {}.{:02} bytes a header",
                source.name,
                hundredths / 100,
                hundredths % 100
            );
            assert!(hundredths <= 4_400, "{} bytes", bytes.len());
        }
    }
}
