//! The front door: headers in, verdicts on transactions out.

use bitcoin::Txid;
use ironlight_spv::compress::HeaderBody;
use ironlight_spv::generate::Miner;
use ironlight_spv::proof::{DecodeError, MerkleTree, ProofError};
use ironlight_spv::{
    BlockHeight, Header, HeaderChain, Network, Params, SpvClient, TipChange, TrustedStart,
    UnixTime, Verdict, Violation, Work,
};

use crate::support::{merkle_block, random_txids, tree_of};

const LATER: UnixTime = UnixTime(4_000_000_000);

/// A header on a parent, over a tree.
fn block_over(tree: &MerkleTree, parent: &Header) -> Header {
    let body = HeaderBody {
        version: 4,
        merkle_root: tree.root(),
        time: parent.time().plus_seconds(600),
        bits: parent.compact_target(),
        nonce: 0,
    };
    Miner::new(0).grind(body, parent.hash())
}

/// A client with five blocks, the transactions' block, and so many above it; and that block.
fn client_with(tree: &MerkleTree, above: usize) -> (SpvClient, Header) {
    let params = Params::new(Network::Regtest);
    let mut headers = Miner::new(1).run(&params.genesis, 5, 600);
    let header = block_over(tree, &headers[4]);
    headers.push(header);
    headers.extend(Miner::new(2).run(&header, above, 600));
    let mut client = SpvClient::new(params);
    client.add_headers(&headers, LATER).unwrap();
    (client, header)
}

#[test]
fn a_transaction_is_confirmed_once_in_the_tip_and_once_more_with_each_block() {
    let (tree, _) = tree_of(10, 1);
    let txid = tree.txids()[7];
    let height = BlockHeight(6);
    for above in 0..4 {
        let (client, header) = client_with(&tree, above);
        let proof = tree.prove(&header, 7).unwrap();
        let confirmations = u32::try_from(above).unwrap() + 1;
        for wanted in 0..=6 {
            let expected = if wanted <= confirmations {
                Verdict::Confirmed { txid, height, confirmations }
            } else {
                Verdict::InsufficientConfirmations { txid, height, confirmations, wanted }
            };
            assert_eq!(client.verify_transaction(&proof, wanted), expected);
            assert_eq!(client.verify_encoded(&proof.encode(), wanted), expected);
            let block = merkle_block(&tree, &header, &[2, 7]);
            assert_eq!(client.verify_in_merkle_block(&block, txid, wanted), expected);
            let of_one = client.verify_transactions(std::slice::from_ref(&proof), wanted);
            assert_eq!(of_one, std::slice::from_ref(&expected));
            assert_eq!(client.locate(&proof.verify().unwrap(), wanted), expected);
            assert!(expected.to_string().contains(&txid.to_string()));
        }
    }
}

#[test]
fn a_reorg_takes_the_confirmation_and_another_gives_it_back() {
    let (tree, _) = tree_of(10, 1);
    let (mut client, header) = client_with(&tree, 1);
    let proof = tree.prove(&header, 7).unwrap();
    let parent = client.chain().get(BlockHeight(5)).unwrap().header;
    let change = client.add_headers(&Miner::new(3).run(&parent, 3, 600), LATER).unwrap();
    assert!(matches!(change, TipChange::Reorg { .. }));
    let verdict = client.verify_transaction(&proof, 1);
    let (txid, block, height) = (proof.txid(), header.hash(), BlockHeight(6));
    assert_eq!(verdict, Verdict::OnFork { txid, block, height });

    client.add_headers(&Miner::new(4).run(&header, 4, 600), LATER).unwrap();
    let verdict = client.verify_transaction(&proof, 5);
    assert_eq!(verdict, Verdict::Confirmed { txid, height, confirmations: 5 });
}

#[test]
fn a_proof_against_a_header_without_a_chain_confirms_nothing() {
    let (tree, header) = tree_of(10, 1);
    let client = SpvClient::new(Params::new(Network::Regtest));
    let proof = tree.prove(&header, 3).unwrap();
    let (txid, block) = (tree.txids()[3], header.hash());
    assert_eq!(client.verify_transaction(&proof, 0), Verdict::UnknownHeader { txid, block });
}

#[test]
fn what_lies_below_a_trusted_start_is_unknown() {
    let (tree, _) = tree_of(10, 1);
    let (client, header) = client_with(&tree, 3);
    let entry = client.chain().get(BlockHeight(7)).unwrap();
    let start = TrustedStart::bare(entry.height, entry.header, entry.work);
    let late = SpvClient::from_start(Params::new(Network::Regtest), start).unwrap();
    let verdict = late.verify_transaction(&tree.prove(&header, 0).unwrap(), 1);
    assert!(matches!(verdict, Verdict::UnknownHeader { .. }), "{verdict}");
    let wrong = TrustedStart::bare(BlockHeight(0), entry.header, Work::from_be_bytes([0; 32]));
    assert!(SpvClient::from_start(Params::new(Network::Regtest), wrong).is_err());
}

#[test]
fn a_wrong_proof_is_invalid_and_bytes_that_are_none_are_malformed() {
    let (tree, _) = tree_of(10, 1);
    let (client, header) = client_with(&tree, 1);
    let other = MerkleTree::new(&random_txids(10, 9)).unwrap();
    let block = merkle_block(&tree, &header, &[1]);
    let txid: Txid = other.txids()[1];
    assert_eq!(
        client.verify_in_merkle_block(&block, txid, 1),
        Verdict::Invalid(ProofError::NotMatched { txid })
    );
    let mut bytes = tree.prove(&header, 1).unwrap().encode();
    bytes[130] ^= 1;
    let verdict = client.verify_encoded(&bytes, 1);
    assert!(matches!(verdict, Verdict::Invalid(ProofError::WrongRoot { .. })), "{verdict}");
    bytes.pop();
    let verdict = client.verify_encoded(&bytes, 1);
    assert!(matches!(verdict, Verdict::Malformed(DecodeError::Truncated { .. })), "{verdict}");
}

#[test]
fn the_headers_before_a_bad_one_are_taken_in() {
    let params = Params::new(Network::Regtest);
    let mut headers = Miner::new(1).run(&params.genesis, 6, 600);
    let mut bytes = *headers[4].as_bytes();
    bytes[75] = 0x1d; // another target
    headers[4] = Header::from_bytes(bytes);
    let mut client = SpvClient::new(params);
    let refused = client.add_headers(&headers, LATER).expect_err("the fifth is bad");
    assert_eq!(refused.error.index, 4);
    assert!(matches!(refused.error.violation, Violation::HashAboveTarget { .. }));
    assert!(matches!(*refused.applied, TipChange::Extended { connected } if connected.len() == 4));
    assert_eq!(client.tip().hash, headers[3].hash());
    let refused = client.add_headers(&headers[5..], LATER).expect_err("its parent is not known");
    assert_eq!(*refused.applied, TipChange::Unchanged);
    assert_eq!(client.add_headers(&headers[..4], LATER).unwrap(), TipChange::Unchanged);
}

#[test]
fn a_verified_chain_becomes_a_client() {
    let chain = HeaderChain::new(Params::new(Network::Mainnet));
    let tip = chain.tip();
    assert_eq!(SpvClient::from(chain).tip(), tip);
}
