//! The way from a node up to the root: on which side of it each hash of a path stands.
//!
//! Written once: paths are measured by it, and proofs are verified by it. Proofs are made by RFC
//! 6962's own recursion instead, and tests compare.

/// Where a path's hash stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A node's place on its level, beside the place of the level's last node.
///
/// It takes as many steps as the path has hashes: at most 32.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    node: u32,
    last: u32,
}

impl Walk {
    /// From a leaf up (RFC 9162, section 2.1.3.2, step 2). `index` is less than `size`.
    pub(super) const fn from_leaf(index: u32, size: u32) -> Self {
        Self { node: index, last: size - 1 }
    }

    /// From the last full tree of the old log up (RFC 9162, section 2.1.4.2, steps 3 and 4). `old`
    /// is not 0 and at most `new`.
    pub(super) const fn from_old_end(old: u32, new: u32) -> Self {
        let (node, last) = (old - 1, new - 1);
        let level = node.trailing_ones();
        Self { node: node >> level, last: last >> level }
    }
}

impl Iterator for Walk {
    type Item = Side;

    /// Step 4 of section 2.1.3.2, and step 6 of section 2.1.4.2, which are the same.
    fn next(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // A last node without neighbour is its own parent, up to where it has one on the left.
            let alone = self.node.trailing_zeros();
            self.node >>= alone;
            self.last >>= alone;
            Side::Left
        } else {
            Side::Right
        };
        self.node >>= 1;
        self.last >>= 1;
        Some(side)
    }
}
