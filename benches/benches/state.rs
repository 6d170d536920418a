//! States of 100,000 accounts: building, sealing a block that changes one account in a hundred,
//! proofs, and look-ups at any height; beside `jmt` and `sparse-merkle-tree`. One core.
//!
//! All three hold the same accounts, and all are read back and compared before anything is
//! measured. Ours keeps whole accounts and all heights; so does `jmt`, whose nodes and values go to
//! hash maps here, the quickest store that it can have, and whose hash is `sha2`'s SHA-256.
//! `sparse-merkle-tree` keeps one height, and of an account a hash only; it is given `sha2`'s
//! SHA-256 in place of its own. A sealed block counts as a whole: from the changed accounts to the
//! new root with everything stored. The builds are timed once, because that of
//! `sparse-merkle-tree` takes most of a minute.
//!
//! The goal for a sealed block is a fifth of the time that `jmt` takes in the same run.
//!
//! A block changes balance and nonce of 1,000 accounts, and the storage root of every tenth.

#![allow(clippy::panic, clippy::print_stdout, reason = "figures are what a bench is for")]

mod accounts;
#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::time::Instant;

use accounts::{ACCOUNTS, Accounts, CHANGED};
use criterion::{Criterion, criterion_group, criterion_main};
use figures::{Figures, config, scattered};
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Account, Salt, StateCompressor, StateProof, StateValue, Verdict,
};
use ironlight_spv::lanes;
use jmt::proof::SparseMerkleProof;
use jmt::storage::{LeafNode, NodeBatch, NodeKey, TreeReader, TreeUpdateBatch};
use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, RootHash, SimpleHasher};
use sha2::{Digest as _, Sha256};
use sparse_merkle_tree::default_store::DefaultStore;
use sparse_merkle_tree::traits::Hasher;
use sparse_merkle_tree::{H256, MerkleProof, SparseMerkleTree};

/// Heights before anything is measured.
const HEIGHTS: u32 = 20;
const SALT: Salt = Salt::Bytes([7; 32]);

fn must<T, E: core::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error:?}"))
}

fn encoded(account: &Account) -> Vec<u8> {
    let mut bytes = Vec::new();
    account.encode(&mut bytes);
    bytes
}

/// SHA-256 for `jmt`.
#[derive(Debug)]
struct JmtSha(Sha256);

impl SimpleHasher for JmtSha {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

type JmtTree<'a> = JellyfishMerkleTree<'a, Store, JmtSha>;

/// Nodes and values of `jmt` in memory.
#[derive(Default)]
struct Store {
    nodes: HashMap<NodeKey, jmt::storage::Node>,
    values: HashMap<KeyHash, BTreeMap<u64, Option<OwnedValue>>>,
}

impl TreeReader for Store {
    fn get_node_option(&self, key: &NodeKey) -> Result<Option<jmt::storage::Node>, anyhow::Error> {
        Ok(self.nodes.get(key).cloned())
    }

    fn get_value_option(
        &self,
        version: u64,
        key: KeyHash,
    ) -> Result<Option<OwnedValue>, anyhow::Error> {
        let versions = self.values.get(&key);
        let value = versions.and_then(|versions| versions.range(..=version).next_back());
        Ok(value.and_then(|(_, value)| value.clone()))
    }

    fn get_rightmost_leaf(&self) -> Result<Option<(NodeKey, LeafNode)>, anyhow::Error> {
        Ok(None)
    }
}

impl Store {
    fn write(&mut self, batch: &NodeBatch) {
        for (key, node) in batch.nodes() {
            self.nodes.insert(key.clone(), node.clone());
        }
        for ((version, key), value) in batch.values() {
            self.values.entry(*key).or_default().insert(*version, value.clone());
        }
    }

    fn updates(&self, block: &[Account], version: u64) -> (RootHash, TreeUpdateBatch) {
        let values =
            block.iter().map(|account| (KeyHash(SALT.place(&account.key)), Some(encoded(account))));
        must(JmtTree::new(self).put_value_set(values, version))
    }

    fn seal(&mut self, block: &[Account], version: u64) -> RootHash {
        let (root, batch) = self.updates(block, version);
        self.write(&batch.node_batch);
        root
    }
}

/// SHA-256 for `sparse-merkle-tree`.
#[derive(Default)]
struct Sha(Sha256);

impl Hasher for Sha {
    fn write_h256(&mut self, hash: &H256) {
        self.0.update(hash.as_slice());
    }

    fn write_byte(&mut self, byte: u8) {
        self.0.update([byte]);
    }

    fn finish(self) -> H256 {
        <[u8; 32]>::from(self.0.finalize()).into()
    }
}

type Sparse = SparseMerkleTree<Sha, H256, DefaultStore<H256>>;

/// What `sparse-merkle-tree` keeps of an account.
fn leaf(account: &Account) -> (H256, H256) {
    (SALT.place(&account.key).into(), <[u8; 32]>::from(Sha256::digest(encoded(account))).into())
}

fn seal_sparse(sparse: &mut Sparse, block: &[Account]) -> H256 {
    *must(sparse.update_all(block.iter().map(leaf).collect()))
}

fn seal(ours: &mut StateCompressor<Account>, block: &[Account]) -> [u8; 32] {
    block.iter().for_each(|account| ours.put(account.clone()));
    let height = ours.newest().map_or(0, |newest| newest.0 + 1);
    must(ours.seal(BlockHeight(height))).root
}

/// The same accounts in all three.
struct Trees {
    accounts: Accounts,
    /// Plain copies of every height.
    copies: Vec<Vec<Account>>,
    ours: StateCompressor<Account>,
    jmt: Store,
    version: u64,
    sparse: Sparse,
}

fn once<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    println!("{what:<52} {:>9.1} ms, once", start.elapsed().as_secs_f64() * 1e3);
    done
}

fn trees() -> Trees {
    let accounts = Accounts::new(ACCOUNTS, 1);
    let mut ours = StateCompressor::new(SALT);
    let (mut jmt, mut sparse) = (Store::default(), Sparse::default());
    once("build 100,000: ironlight", || seal(&mut ours, &accounts.all));
    once("build 100,000: jmt", || jmt.seal(&accounts.all, 0));
    once("build 100,000: sparse-merkle-tree", || seal_sparse(&mut sparse, &accounts.all));
    let copies = vec![accounts.all.clone()];
    let mut trees = Trees { accounts, copies, ours, jmt, version: 0, sparse };
    for _ in 1..HEIGHTS {
        let block = trees.accounts.change(CHANGED);
        seal(&mut trees.ours, &block);
        trees.version += 1;
        trees.jmt.seal(&block, trees.version);
        seal_sparse(&mut trees.sparse, &block);
        trees.copies.push(trees.accounts.all.clone());
    }
    trees
}

impl Trees {
    fn account(&self, number: u64) -> &Account {
        let at = usize::try_from(scattered(number)).unwrap_or_default() % self.accounts.all.len();
        let Some(account) = self.accounts.all.get(at) else { panic!("an account") };
        account
    }

    /// Every account at every height, as far as each keeps them; and proofs that hold.
    fn assert_equal_contents(&self) {
        let jmt = JmtTree::new(&self.jmt);
        for (height, copies) in (0..HEIGHTS).zip(&self.copies) {
            for account in copies {
                let got = must(self.ours.get(&account.key, BlockHeight(height)));
                assert_eq!(got.as_ref(), Some(account));
                let key = KeyHash(SALT.place(&account.key));
                let got = must(jmt.get(key, u64::from(height)));
                assert_eq!(got, Some(encoded(account)));
            }
        }
        for account in &self.accounts.all {
            let (key, value) = leaf(account);
            assert_eq!(must(self.sparse.get(&key)), value);
        }
        for number in 0..100 {
            let account = self.account(number);
            let (ours, jmt, sparse) =
                (self.prove(account), self.prove_jmt(account), self.prove_sparse(account));
            assert!(self.verify(account, &ours));
            assert!(self.verify_jmt(account, &jmt));
            assert!(self.verify_sparse(account, sparse));
        }
    }

    const fn height(&self) -> BlockHeight {
        BlockHeight(HEIGHTS - 1)
    }

    fn prove(&self, account: &Account) -> StateProof<Account> {
        must(self.ours.prove(&account.key, self.height()))
    }

    fn verify(&self, account: &Account, proof: &StateProof<Account>) -> bool {
        let root = must(self.ours.root(self.height()));
        let verdict = must(proof.verify(&root, &account.key, &SALT));
        matches!(verdict, Verdict::Included(value) if value == *account)
    }

    fn prove_jmt(&self, account: &Account) -> SparseMerkleProof<JmtSha> {
        let key = KeyHash(SALT.place(&account.key));
        let (value, proof) = must(JmtTree::new(&self.jmt).get_with_proof(key, self.version));
        black_box(value);
        proof
    }

    fn verify_jmt(&self, account: &Account, proof: &SparseMerkleProof<JmtSha>) -> bool {
        let key = KeyHash(SALT.place(&account.key));
        let root = must(JmtTree::new(&self.jmt).get_root_hash(self.version));
        proof.verify_existence(root, key, encoded(account)).is_ok()
    }

    fn prove_sparse(&self, account: &Account) -> MerkleProof {
        let (key, _) = leaf(account);
        black_box(must(self.sparse.get(&key)));
        must(self.sparse.merkle_proof(vec![key]))
    }

    fn verify_sparse(&self, account: &Account, proof: MerkleProof) -> bool {
        must(proof.verify::<Sha>(self.sparse.root(), vec![leaf(account)]))
    }
}

fn reads(trees: &Trees, figures: &mut Figures<'_>) {
    let height = |number: u64| u32::try_from(scattered(number) >> 32).unwrap_or(0) % HEIGHTS;
    figures.section("an account and its proof, newest height");
    figures.time("get and prove: ironlight", |number| {
        let account = trees.account(number);
        (trees.ours.get(&account.key, trees.height()), trees.prove(account))
    });
    figures.time("get and prove: jmt", |number| trees.prove_jmt(trees.account(number)));
    figures.time("get and prove: sparse-merkle-tree, a hash", |number| {
        trees.prove_sparse(trees.account(number))
    });

    let account = trees.account(77);
    let (ours, jmt) = (trees.prove(account), trees.prove_jmt(account));
    let sparse = trees.prove_sparse(account);
    figures.section("a proof verified");
    figures.time("verify: ironlight", |_| trees.verify(account, black_box(&ours)));
    figures.time("verify: jmt", |_| trees.verify_jmt(account, black_box(&jmt)));
    figures.time("verify: sparse-merkle-tree", |_| {
        trees.verify_sparse(account, black_box(sparse.clone()))
    });

    figures.section("an account at a random height");
    figures.time("get: ironlight", |number| {
        trees.ours.get(&trees.account(number).key, BlockHeight(height(number)))
    });
    figures.goal(5_000.0);
    figures.time("get: jmt, values without the tree", |number| {
        let key = KeyHash(SALT.place(&trees.account(number).key));
        JmtTree::new(&trees.jmt).get(key, u64::from(height(number)))
    });
}

/// Blocks are made outside of what is timed; each is sealed on the one before.
fn seals(trees: Trees, figures: &mut Figures<'_>) {
    let Trees { mut accounts, mut ours, mut jmt, mut version, mut sparse, .. } = trees;
    let block = RefCell::new(accounts.change(CHANGED));
    let mut next = || *block.borrow_mut() = accounts.change(CHANGED);
    figures.section("1,000 changes sealed");
    figures.bursts("seal: ironlight", 1, |_| seal(&mut ours, &block.borrow()), &mut next);
    figures.bursts(
        "seal: jmt, nothing stored",
        1,
        |_| jmt.updates(&block.borrow(), version + 1),
        || (),
    );
    figures.bursts(
        "seal: jmt",
        1,
        |_| {
            version += 1;
            jmt.seal(&block.borrow(), version)
        },
        &mut next,
    );
    figures.bursts(
        "seal: sparse-merkle-tree, hashes",
        1,
        |_| seal_sparse(&mut sparse, &block.borrow()),
        &mut next,
    );
}

fn state(criterion: &mut Criterion) {
    println!("{}", lanes::report());
    let trees = trees();
    trees.assert_equal_contents();
    let mut figures = Figures::new(criterion, "state");
    reads(&trees, &mut figures);
    seals(trees, &mut figures);
    figures.finish();
}

criterion_group! {
    name = benches;
    config = config().sample_size(10);
    targets = state
}
criterion_main!(benches);
