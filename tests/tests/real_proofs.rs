//! Real blocks of mainnet, and what Bitcoin Core's `gettxoutproof` said about one of them, against
//! the real headers.
//!
//! The folder is named by `IRONLIGHT_TEST_DATA`, else it is `../shared/data` beside the workspace.

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use bitcoin::hashes::Hash as _;
    use bitcoin::{Block, Transaction};
    use ironlight_spv::proof::{
        BlockError, LeafEvidence, MerkleBlock, MerkleProof, MerkleTree, Witness, merkle_root,
        verify_batch, verify_block,
    };
    use ironlight_spv::{
        BlockHeight, Header, Network, Params, SpvClient, TrustedStart, UnixTime, Verdict,
        parse_work,
    };
    use ironlight_tests::real_data;

    const BLOCKS: [(u32, &str); 2] = [
        (830_000, "000000000000000000011d55599ed27d7efca05f5849b755319c89eb2cffbc1f"),
        (866_342, "000000000000000000014ce9ba7c6760053c3c82ce6ab43d60afb101d3c8f1f1"),
    ];
    /// Of block 830000.
    const PROVEN: [usize; 3] = [0, 10, 1_850];

    fn read(name: &str) -> Vec<u8> {
        let path = real_data(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn block(height: u32) -> Block {
        let packed = read(&format!("mainnet-block-{height}.bin.zst"));
        let mut bytes = Vec::new();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(&packed[..]).expect("zstd");
        decoder.read_to_end(&mut bytes).expect("the block is whole");
        bitcoin::consensus::deserialize(&bytes).expect("a block")
    }

    /// A client with the headers from 822528 to 830592.
    fn client() -> SpvClient {
        let bytes = read("mainnet-headers-822528-830592.bin");
        let headers: Vec<_> =
            bytes.as_chunks().0.iter().map(|bytes| Header::from_bytes(*bytes)).collect();
        let work = parse_work("624c5a3c876e3e6fffd9c800").expect("a number");
        let start = TrustedStart::bare(BlockHeight(822_528), headers[0], work);
        let mut client = SpvClient::from_start(Params::new(Network::Mainnet), start).unwrap();
        client.add_headers(&headers[1..], UnixTime(1_750_000_000)).unwrap();
        client
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn real_blocks_give_their_headers_roots_and_are_verified() {
        for (height, hash) in BLOCKS {
            let block = block(height);
            let header = Header::from(block.header);
            assert_eq!(header.hash().to_string(), hash);
            let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
            assert_eq!(merkle_root(&txids), Some(header.merkle_root()));
            let verified = verify_block(&header, &block.txdata).unwrap();
            assert_eq!((verified.txids(), verified.witness()), (&txids[..], Witness::Committed));
            println!("{height}: {} transactions", txids.len());
        }
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn a_real_block_with_anything_changed_is_refused_by_name() {
        let right = block(830_000);
        let header = Header::from(right.header);
        let refused = |change: &dyn Fn(&mut Vec<Transaction>)| {
            let mut transactions = right.txdata.clone();
            change(&mut transactions);
            verify_block(&header, &transactions).expect_err("it is another block")
        };
        let with_witness = right.txdata.iter().rposition(|transaction| {
            transaction.input.iter().any(|input| !input.witness.is_empty())
        });
        let place = with_witness.expect("most have one");
        let error = refused(&|all| all[place].input[0].witness.push([1]));
        assert!(matches!(error, BlockError::WrongCommitment { .. }), "{error}");
        let error = refused(&|all| all[place].input[0].witness.clear());
        assert!(matches!(error, BlockError::WrongCommitment { .. }), "{error}");
        let error = refused(&|all| all[0].input[0].witness.clear());
        assert_eq!(error, BlockError::WrongReservedValue { values: 0 });
        let error = refused(&|all| all.swap(1, 2));
        assert!(matches!(error, BlockError::WrongRoot { .. }), "{error}");
        let error = refused(&|all| drop(all.pop()));
        assert!(matches!(error, BlockError::WrongRoot { .. }), "{error}");
        assert_eq!(refused(&|all| drop(all.remove(0))), BlockError::NoCoinbase);
        let mut stripped = right.txdata.clone();
        for input in stripped.iter_mut().flat_map(|transaction| &mut transaction.input) {
            input.witness.clear();
        }
        assert_eq!(verify_block(&header, &stripped).unwrap().witness(), Witness::Stripped);
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn real_proofs_are_confirmed_by_the_real_chain_and_are_the_ones_that_we_make() {
        let client = client();
        let block = block(830_000);
        let header = Header::from(block.header);
        let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
        let tree = MerkleTree::new(&txids).unwrap();
        let height = BlockHeight(830_000);
        let confirmations = client.tip().height.0 - height.0 + 1;
        let bytes = read("mainnet-txoutproof-830000-0.bin");
        let first = MerkleBlock::decode(&bytes).unwrap().verify_one(txids[0]).unwrap();
        for index in PROVEN {
            let txid = txids[index];
            let bytes = read(&format!("mainnet-txoutproof-830000-{index}.bin"));
            let theirs = MerkleBlock::decode(&bytes).unwrap();
            let ours = tree.merkle_block(&header, |other| *other == txid).unwrap();
            assert_eq!(theirs, ours);
            assert_eq!(ours.encode(), bytes);
            let confirmed = Verdict::Confirmed { txid, height, confirmations };
            assert_eq!(client.verify_in_merkle_block(&theirs, txid, confirmations), confirmed);

            let single = tree.prove(&header, u32::try_from(index).unwrap()).unwrap();
            let found = theirs.verify_one(txid).unwrap();
            assert_eq!(single.verify(), Ok(found));
            assert_eq!(client.verify_encoded(&single.encode(), confirmations), confirmed);
            let sure = found.with_transaction(&block.txdata[index]).unwrap();
            assert_eq!(sure.evidence(), LeafEvidence::Transaction);
            let sure = found.with_coinbase(&first, &block.txdata[0]).unwrap();
            assert_eq!(sure.evidence(), LeafEvidence::Coinbase);
        }
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn any_changed_bit_of_a_real_proof_proves_nothing_false() {
        let client = client();
        let block = block(830_000);
        let header = Header::from(block.header);
        let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
        for index in PROVEN {
            let bytes = read(&format!("mainnet-txoutproof-830000-{index}.bin"));
            let hashes = 85..85 + 32 * usize::from(bytes[84]);
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let Ok(changed) = MerkleBlock::decode(&bytes) else { continue };
                for found in changed.verify().into_iter().flatten() {
                    assert!(!hashes.contains(&(bit / 8)), "bit {bit} of a hash");
                    let verdict = client.locate(&found, 1);
                    if bit < 80 * 8 {
                        assert!(matches!(verdict, Verdict::UnknownHeader { .. }), "bit {bit}");
                    } else {
                        assert!(txids.contains(&found.txid()), "bit {bit}");
                        assert_eq!(found.header(), &header);
                    }
                }
            }
        }
    }

    #[test]
    #[ignore = "needs the test data folder (IRONLIGHT_TEST_DATA)"]
    fn every_transaction_of_a_real_block_is_proven_in_one_batch() {
        for (height, _) in BLOCKS {
            let block = block(height);
            let header = Header::from(block.header);
            let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
            let tree = MerkleTree::new(&txids).unwrap();
            let indexes = 0..u32::try_from(txids.len()).unwrap();
            let proofs: Vec<MerkleProof> =
                indexes.map(|index| tree.prove(&header, index).unwrap()).collect();
            let verdicts = verify_batch(&proofs);
            assert!(verdicts.iter().zip(&txids).all(|(verdict, txid)| {
                verdict.is_ok_and(|found| found.txid() == *txid && found.header() == &header)
            }));
            assert_eq!(tree.root().to_byte_array(), header.merkle_root().to_byte_array());
        }
    }
}
