//! Proofs beside a real Bitcoin Core's: the same bytes, each accepts the other's, and the chain that
//! Core mined confirms them.

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use bitcoin::absolute::LockTime;
    use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
    use bitcoin::transaction::Version;
    use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid};
    use ironlight_spv::proof::{LeafEvidence, MerkleTree, ProofError, Witness, verify_block};
    use ironlight_spv::{BlockHeight, Header, Network, Params, SpvClient, UnixTime, Verdict};
    use ironlight_tests::BitcoinCore;
    use serde_json::json;

    const BLOCKS: u32 = 200;
    /// A coinbase can be spent so many blocks later.
    const MATURITY: u32 = 100;
    /// An output that anyone can spend, as the support mines to it.
    const ANYONE: &str = "raw(51)#8lvh9jxk";

    /// The blocks at some heights. All of Core's answers come in few requests: it takes its time
    /// with each connection.
    fn blocks_at(core: &BitcoinCore, heights: RangeInclusive<u32>) -> Vec<Block> {
        let hashes = core.ask_all("getblockhash", heights.map(|height| json!([height])));
        let blocks = core.ask_all("getblock", hashes.iter().map(|hash| json!([hash, 0])));
        blocks.iter().map(|hex| deserialize_hex(hex.as_str().unwrap()).unwrap()).collect()
    }

    /// Transactions that spend one another, the first one a coinbase; every third is of 64 bytes.
    fn chain_of(coinbase: &Transaction, count: u32) -> Vec<Transaction> {
        let mut outpoint = OutPoint::new(coinbase.compute_txid(), 0);
        let mut value = coinbase.output[0].value;
        let mut made = Vec::new();
        for number in 0..count {
            value -= Amount::from_sat(1_000);
            let script = if number % 3 == 1 { vec![0x51; 4] } else { vec![0x51] };
            let transaction = Transaction {
                version: Version::TWO,
                lock_time: LockTime::ZERO,
                input: vec![TxIn {
                    previous_output: outpoint,
                    script_sig: ScriptBuf::new(),
                    sequence: Sequence::MAX,
                    witness: bitcoin::Witness::new(),
                }],
                output: vec![TxOut { value, script_pubkey: ScriptBuf::from_bytes(script) }],
            };
            outpoint = OutPoint::new(transaction.compute_txid(), 0);
            made.push(transaction);
        }
        made
    }

    /// Two hundred blocks of 1 to 41 transactions on a mature chain.
    fn mine(core: &mut BitcoinCore) {
        core.mine(MATURITY + BLOCKS);
        let calls = (0..).zip(blocks_at(core, 1..=BLOCKS)).map(|(number, block)| {
            let transactions = chain_of(&block.txdata[0], number % 41);
            json!([ANYONE, transactions.iter().map(serialize_hex).collect::<Vec<_>>()])
        });
        let _ = core.ask_all("generateblock", calls);
    }

    fn names(txids: &[Txid]) -> Vec<String> {
        txids.iter().map(Txid::to_string).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Each transaction alone, the first and the last, every third, and all.
    fn sets_of(txids: &[Txid]) -> Vec<Vec<Txid>> {
        let ends = txids.iter().take(1).chain(txids.iter().skip(1).last()).copied().collect();
        let thirds = txids.iter().step_by(3).copied().collect();
        let alone = txids.iter().map(|txid| vec![*txid]);
        alone.chain([ends, thirds, txids.to_vec()]).collect()
    }

    #[test]
    #[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
    fn our_proofs_of_two_hundred_blocks_are_bitcoin_cores_and_are_confirmed() {
        let mut core = BitcoinCore::start(&[]);
        mine(&mut core);
        let mut client = SpvClient::new(Params::new(Network::Regtest));
        let blocks = blocks_at(&core, 1..=core.height());
        let headers: Vec<Header> = blocks.iter().map(|block| block.header.into()).collect();
        client.add_headers(&headers, UnixTime::MAX).unwrap();
        assert_eq!(client.tip().hash.to_string(), core.tip());
        let first = usize::try_from(MATURITY + BLOCKS).unwrap();
        let (mut calls, mut ours) = (Vec::new(), Vec::new());
        for (block, height) in blocks.iter().zip(1..).skip(first) {
            let header = Header::from(block.header);
            let verified = verify_block(&header, &block.txdata).unwrap();
            assert_eq!(verified.witness(), Witness::Committed);
            let tree = MerkleTree::new(verified.txids()).unwrap();
            for set in sets_of(verified.txids()) {
                calls.push(json!([names(&set), header.hash().to_string()]));
                let proof = tree.merkle_block(&header, |txid| set.contains(txid)).unwrap();
                let found = proof.verify().unwrap();
                assert!(found.iter().map(|found| found.txid()).eq(set));
                ours.push(hex(&proof.encode()));
            }
            confirmed_by_the_chain(&client, &tree, &header, BlockHeight(height));
        }
        assert_eq!(blocks.len() - first, usize::try_from(BLOCKS).unwrap());
        let theirs = core.ask_all("gettxoutproof", calls.iter().cloned());
        assert_eq!(ours, theirs);
        let proven = core.ask_all("verifytxoutproof", ours.iter().map(|hex| json!([hex])));
        assert!(proven.iter().zip(&calls).all(|(txids, call)| *txids == call[0]));
        println!("{} proofs of {BLOCKS} blocks equal Bitcoin Core's", ours.len());
    }

    fn confirmed_by_the_chain(
        client: &SpvClient,
        tree: &MerkleTree,
        header: &Header,
        height: BlockHeight,
    ) {
        let confirmations = client.tip().height.0 - height.0 + 1;
        for (index, txid) in (0..).zip(tree.txids().iter().copied()) {
            let proof = tree.prove(header, index).unwrap();
            let confirmed = Verdict::Confirmed { txid, height, confirmations };
            assert_eq!(client.verify_encoded(&proof.encode(), confirmations), confirmed);
        }
    }

    #[test]
    #[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
    fn a_transaction_of_64_bytes_that_core_has_mined_is_believed_with_the_coinbase_only() {
        let mut core = BitcoinCore::start(&[]);
        core.mine(MATURITY + 1);
        let transactions = chain_of(&blocks_at(&core, 1..=1)[0].txdata[0], 5);
        let mined: Vec<String> = transactions.iter().map(serialize_hex).collect();
        let _ = core.ask("generateblock", json!([ANYONE, mined]));
        let height = core.height();
        let block = blocks_at(&core, height..=height).remove(0);
        let (coinbase, small) = (&block.txdata[0], &block.txdata[2]);
        assert_eq!(small.base_size(), 64);
        let txid = small.compute_txid();
        let set = [coinbase.compute_txid(), txid];
        let proof = core.ask("gettxoutproof", json!([names(&set), core.tip()]));
        let tree = MerkleTree::new(
            &block.txdata.iter().map(Transaction::compute_txid).collect::<Vec<_>>(),
        );
        let ours =
            tree.unwrap().merkle_block(&block.header.into(), |txid| set.contains(txid)).unwrap();
        assert_eq!(proof, hex(&ours.encode()));
        let found = ours.verify().unwrap();
        assert_eq!(found[1].with_transaction(small), Err(ProofError::TransactionLikeNode { txid }));
        let sure = found[1].with_coinbase(&found[0], coinbase).unwrap();
        assert_eq!((sure.txid(), sure.evidence()), (txid, LeafEvidence::Coinbase));
    }
}
