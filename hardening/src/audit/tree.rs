//! The Merkle tree of RFC 6962 (Certificate Transparency), section 2.1: one root stands for a whole
//! log, with short proofs that a record is in it and that a later log only added to an earlier one.
//!
//! A writer needs only a [`Frontier`], at most 64 hashes. Proofs are made from a [`Tree`], which
//! keeps 64 bytes a record; only whoever proves something builds one.

use super::hash::Hash;

/// The hash of a leaf: `SHA-256(0x00 || data)`.
///
/// ```
/// use ironlight_hardening::audit::{Tree, leaf_hash, node_hash};
///
/// let mut tree = Tree::default();
/// tree.push(b"one");
/// tree.push(b"two");
/// let root = node_hash(&leaf_hash(b"one"), &leaf_hash(b"two"));
/// assert_eq!(tree.root_at(2), Some(root));
/// ```
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash::of(&[&[0], data])
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
///
/// See [`leaf_hash`] for an example.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[&[1], &left.0, &right.0])
}

/// The roots of a growing tree's perfect subtrees: enough to add leaves and to know the root.
///
/// ```
/// use ironlight_hardening::audit::{Frontier, Tree};
///
/// let (mut frontier, mut tree) = (Frontier::default(), Tree::default());
/// for leaf in [b"one".as_slice(), b"two", b"three"] {
///     frontier.push(leaf);
///     tree.push(leaf);
/// }
/// assert_eq!(Some(frontier.root()), tree.root_at(3));
/// let kept = Frontier::from_roots(frontier.size(), frontier.roots().to_vec()).unwrap();
/// assert_eq!(kept.root(), frontier.root());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Largest first, one for each bit that is set in the size.
    roots: Vec<Hash>,
}

impl Frontier {
    /// That of a tree of `size` leaves; none if the number of roots does not fit the size.
    #[must_use]
    pub fn from_roots(size: u64, roots: Vec<Hash>) -> Option<Self> {
        let fits = u64::from(size.count_ones()) == roots.len() as u64;
        fits.then_some(Self { size, roots })
    }

    /// Adds a leaf.
    pub fn push(&mut self, data: &[u8]) {
        let mut node = leaf_hash(data);
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.roots.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    #[must_use]
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// The root of the whole tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let joined =
            self.roots.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(|| Hash::of(&[]))
    }
}

/// A tree that proofs can be made from; it keeps 64 bytes a leaf.
///
/// ```
/// use ironlight_hardening::audit::{Tree, verify_consistency, verify_inclusion};
///
/// let mut tree = Tree::default();
/// for leaf in [b"a", b"b", b"c"] {
///     tree.push(leaf);
/// }
/// let (earlier, root) = (tree.root_at(2).unwrap(), tree.root_at(3).unwrap());
/// let path = tree.inclusion_proof(1, 3).unwrap();
/// assert!(verify_inclusion(b"b", 1, 3, &path, root));
/// let path = tree.consistency_proof(2, 3).unwrap();
/// assert!(verify_consistency((2, earlier), (3, root), &path));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `levels[h][i]`: the root of the perfect subtree of `2^h` leaves that begins at `i * 2^h`.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Adds a leaf.
    pub fn push(&mut self, data: &[u8]) {
        let mut node = leaf_hash(data);
        let mut height = 0;
        loop {
            if self.levels.len() == height {
                self.levels.push(Vec::new());
            }
            let Some(level) = self.levels.get_mut(height) else { return };
            let left = level.last().copied();
            level.push(node);
            if level.len() % 2 == 1 {
                return;
            }
            let Some(left) = left else { return };
            node = node_hash(&left, &node);
            height += 1;
        }
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root of the first `size` leaves; none if there are not so many.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        if size == 0 {
            return Some(Hash::of(&[]));
        }
        self.subtree(0, size)
    }

    /// Why leaf `index` is in the tree of the first `size` leaves; none if it is not.
    #[must_use]
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        let (mut start, mut end) = (0, size);
        if index >= size || size > self.size() {
            return None;
        }
        let mut path = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.subtree(middle, end)?);
                end = middle;
            } else {
                path.push(self.subtree(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// Why the tree of the first `size` leaves begins with that of the first `earlier`; none if
    /// there are not so many leaves, or `earlier` is larger. Empty when either is the empty tree or
    /// both are the same.
    #[must_use]
    pub fn consistency_proof(&self, earlier: u64, size: u64) -> Option<Vec<Hash>> {
        if earlier > size || size > self.size() {
            return None;
        }
        if earlier == 0 || earlier == size {
            return Some(Vec::new());
        }
        let (mut start, mut end) = (0, size);
        let mut path = Vec::new();
        while end != earlier {
            let middle = start + split(end - start);
            if earlier <= middle {
                path.push(self.subtree(middle, end)?);
                end = middle;
            } else {
                path.push(self.subtree(start, middle)?);
                start = middle;
            }
        }
        // Where the earlier tree is this whole part from the left, its root is known already.
        if start > 0 {
            path.push(self.subtree(start, end)?);
        }
        path.reverse();
        Some(path)
    }

    /// The root of the leaves from `start` to `end`, where `start` is a multiple of the smallest
    /// power of two that is not below their number.
    fn subtree(&self, start: u64, end: u64) -> Option<Hash> {
        let (mut start, mut parts) = (start, Vec::new());
        while start < end {
            let height = (end - start).ilog2();
            let level = self.levels.get(usize::try_from(height).ok()?)?;
            parts.push(*level.get(usize::try_from(start >> height).ok()?)?);
            start += 1 << height;
        }
        parts.into_iter().rev().reduce(|right, left| node_hash(&left, &right))
    }
}

/// The largest power of two below a number of at least two.
const fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Whether `data` is leaf `index` of the tree with `size` leaves and that root (RFC 9162, section
/// 2.1.3.2, which gives the same proofs as RFC 6962).
///
/// ```
/// use ironlight_hardening::audit::{Tree, verify_inclusion};
///
/// let mut tree = Tree::default();
/// for leaf in [b"one".as_slice(), b"two", b"three"] {
///     tree.push(leaf);
/// }
/// let (root, path) = (tree.root_at(3).unwrap(), tree.inclusion_proof(1, 3).unwrap());
/// assert!(verify_inclusion(b"two", 1, 3, &path, root));
/// assert!(!verify_inclusion(b"four", 1, 3, &path, root));
/// ```
#[must_use]
pub fn verify_inclusion(data: &[u8], index: u64, size: u64, path: &[Hash], root: Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut node) = (index, size - 1, leaf_hash(data));
    for part in path {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            node = node_hash(part, &node);
            while at.is_multiple_of(2) && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(&node, part);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && node == root
}

/// Whether the later tree (size and root) begins with the earlier one (RFC 9162, section 2.1.4.2).
/// Every tree begins with the empty one.
///
/// ```
/// use ironlight_hardening::audit::{Hash, Tree, verify_consistency};
///
/// let mut tree = Tree::default();
/// for leaf in [b"one".as_slice(), b"two", b"three"] {
///     tree.push(leaf);
/// }
/// let at = |size| (size, tree.root_at(size).unwrap());
/// let path = tree.consistency_proof(2, 3).unwrap();
/// assert!(verify_consistency(at(2), at(3), &path));
/// assert!(!verify_consistency((2, Hash::ZERO), at(3), &path), "another history");
/// ```
#[must_use]
pub fn verify_consistency(earlier: (u64, Hash), later: (u64, Hash), path: &[Hash]) -> bool {
    let ((size, earlier_root), (later_size, later_root)) = (earlier, later);
    if size == 0 || size == later_size {
        let same = if size == 0 { Hash::of(&[]) } else { later_root };
        return path.is_empty() && size <= later_size && earlier_root == same;
    }
    if size > later_size {
        return false;
    }
    let (mut at, mut last) = (size - 1, later_size - 1);
    let from_left = at.trailing_ones();
    at >>= from_left;
    last >>= from_left;
    let mut parts = path.iter();
    // A perfect earlier tree is its own first part.
    let first = if size.is_power_of_two() { Some(&earlier_root) } else { parts.next() };
    let Some(first) = first else { return false };
    let (mut old, mut new) = (*first, *first);
    for part in parts {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            old = node_hash(part, &old);
            new = node_hash(part, &new);
            while at.is_multiple_of(2) && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, part);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old == earlier_root && new == later_root
}
