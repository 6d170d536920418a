//! Proofs beside a real Bitcoin Core's: the same bytes, each accepts the other's, and the chain that
//! Core mined confirms them.

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
    use bitcoin::transaction::Version;
    use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid};
    use ironlight_spv::proof::{
        LeafEvidence, MerkleBlock, MerkleTree, ProofError, Witness, verify_block,
    };
    use ironlight_spv::{BlockHeight, Header, Network, Params, SpvClient, UnixTime, Verdict};
    use ironlight_tests::BitcoinCore;
    use serde_json::{Value, json};

    const BLOCKS: u32 = 200;
    /// A coinbase can be spent so many blocks later.
    const MATURITY: u32 = 100;
    /// An output that anyone can spend, as the support mines to it.
    const ANYONE: &str = "raw(51)#8lvh9jxk";

    fn block_at(core: &BitcoinCore, height: u32) -> Block {
        let hex = core.ask("getblock", json!([core.hash_at(height), 0]));
        deserialize_hex(hex.as_str().unwrap()).unwrap()
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
        core.mine(MATURITY + 10);
        for number in 0..BLOCKS {
            let coinbase = block_at(core, number + 1).txdata.remove(0);
            let transactions = chain_of(&coinbase, number % 41);
            let hex: Vec<String> = transactions.iter().map(serialize_hex).collect();
            let _ = core.ask("generateblock", json!([ANYONE, hex]));
        }
    }

    fn proofs_of(core: &BitcoinCore, block: &Block, sets: &[Vec<Txid>]) -> Vec<Vec<u8>> {
        let hash = block.block_hash();
        let answers = core.ask_all("gettxoutproof", sets.iter().map(|set| json!([set, hash])));
        let bytes = |hex: &Value| {
            let (digits, _) = hex.as_str().unwrap().as_bytes().as_chunks::<2>();
            let byte = |pair: &[u8; 2]| {
                u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()
            };
            digits.iter().map(byte).collect()
        };
        answers.iter().map(bytes).collect()
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
        let blocks: Vec<Block> =
            (1..=core.height()).map(|height| block_at(&core, height)).collect();
        let headers: Vec<Header> = blocks.iter().map(|block| block.header.into()).collect();
        client.add_headers(&headers, UnixTime::MAX).unwrap();
        assert_eq!(client.tip().hash.to_string(), core.tip());

        let mut compared = 0;
        let first = MATURITY + 11;
        for (block, height) in blocks.iter().zip(1..).filter(|(_, height)| *height >= first) {
            let header = Header::from(block.header);
            let verified = verify_block(&header, &block.txdata).unwrap();
            assert_eq!(verified.witness(), Witness::Committed);
            let tree = MerkleTree::new(verified.txids()).unwrap();
            let sets = sets_of(verified.txids());
            let theirs = proofs_of(&core, block, &sets);
            let mut ours = Vec::new();
            for (set, theirs) in sets.iter().zip(&theirs) {
                let proof = tree.merkle_block(&header, |txid| set.contains(txid)).unwrap();
                assert_eq!(&proof.encode(), theirs, "{set:?} at {height}");
                let found = MerkleBlock::decode(theirs).unwrap().verify().unwrap();
                assert!(found.iter().map(|found| found.txid()).eq(set.iter().copied()));
                compared += 1;
                ours.push(json!([theirs.iter().map(|b| format!("{b:02x}")).collect::<String>()]));
            }
            for (set, answer) in sets.iter().zip(core.ask_all("verifytxoutproof", ours.into_iter()))
            {
                assert_eq!(answer, json!(set));
            }
            let height = BlockHeight(height);
            let confirmations = client.tip().height.0 - height.0 + 1;
            for (index, txid) in (0..).zip(verified.txids().iter().copied()) {
                let proof = tree.prove(&header, index).unwrap();
                let confirmed = Verdict::Confirmed { txid, height, confirmations };
                assert_eq!(client.verify_encoded(&proof.encode(), confirmations), confirmed);
            }
        }
        assert_eq!(blocks.len(), usize::try_from(MATURITY + 10 + BLOCKS).unwrap());
        println!("{compared} proofs of {BLOCKS} blocks equal Bitcoin Core's");
    }

    #[test]
    #[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
    fn a_transaction_of_64_bytes_that_core_has_mined_is_believed_with_the_coinbase_only() {
        let mut core = BitcoinCore::start(&[]);
        core.mine(MATURITY + 1);
        let coinbase = block_at(&core, 1).txdata.remove(0);
        let transactions = chain_of(&coinbase, 5);
        let hex: Vec<String> = transactions.iter().map(serialize_hex).collect();
        let _ = core.ask("generateblock", json!([ANYONE, hex]));
        let block = block_at(&core, core.height());
        let small = &block.txdata[2];
        assert_eq!(small.base_size(), 64);
        let txid = small.compute_txid();
        let set = [vec![block.txdata[0].compute_txid(), txid]];
        let proof = MerkleBlock::decode(&proofs_of(&core, &block, &set)[0]).unwrap();
        let found = proof.verify().unwrap();
        assert_eq!(found[1].with_transaction(small), Err(ProofError::TransactionLikeNode { txid }));
        let sure = found[1].with_coinbase(&found[0], &block.txdata[0]).unwrap();
        assert_eq!((sure.txid(), sure.evidence()), (txid, LeafEvidence::Coinbase));
    }
}
