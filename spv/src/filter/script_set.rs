//! The scripts that somebody watches, laid out once for the lanes that hash them for every filter.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;
use core::ops::ControlFlow;

use bitcoin::Script;

use crate::lanes::siphash::{self, LANES, Row};

/// Groups that are hashed before their hashes are looked at: 4 KiB of them, which stay in the nearest cache.
const BATCH: usize = 64;

/// Scripts to look for in filters. Those of one length in 8-byte blocks lie together, eight side by side.
///
/// A script's place is how many were put in before it. Equal scripts may be put in more than once. An empty script
/// takes a place and never matches, since filters leave it out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ScriptSet {
    /// By number of blocks.
    classes: Vec<Class>,
    len: usize,
}

/// The scripts of one number of blocks.
#[derive(Clone, PartialEq, Eq)]
struct Class {
    blocks: NonZeroUsize,
    /// Group after group, `blocks` rows each. Lanes without a script repeat the group's first one.
    rows: Vec<Row>,
    /// Each script's place in the set.
    places: Vec<usize>,
}

impl ScriptSet {
    /// A set without scripts.
    #[must_use]
    pub const fn new() -> Self {
        Self { classes: Vec::new(), len: 0 }
    }

    /// How many scripts were put in.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none was put in.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a script in, and says its place.
    pub fn push(&mut self, script: &Script) -> usize {
        let place = self.len;
        self.len += 1;
        if !script.is_empty() {
            let at = self.class_at(siphash::blocks_in(script.as_bytes()));
            if let Some(class) = self.classes.get_mut(at) {
                class.push(script.as_bytes(), place);
            }
        }
        place
    }

    fn class_at(&mut self, blocks: NonZeroUsize) -> usize {
        self.classes.binary_search_by_key(&blocks, |class| class.blocks).unwrap_or_else(|at| {
            self.classes.insert(at, Class { blocks, rows: Vec::new(), places: Vec::new() });
            at
        })
    }

    /// How many scripts can match.
    pub(super) fn searched(&self) -> usize {
        self.classes.iter().map(|class| class.places.len()).sum()
    }

    /// Hashes all scripts and shows them batch by batch: the places, and as many hashes or, where lanes were left over,
    /// a few more, which are repeated ones.
    pub(super) fn hash<B>(
        &self,
        key: siphash::Key,
        mut visit: impl FnMut(&[usize], &[u64]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut hashes = [[0; LANES]; BATCH];
        for class in &self.classes {
            let batches = class.rows.chunks(class.blocks.get().saturating_mul(BATCH));
            for (rows, places) in batches.zip(class.places.chunks(BATCH * LANES)) {
                let groups = places.len().div_ceil(LANES);
                let out = hashes.get_mut(..groups).unwrap_or_default();
                siphash::hash_groups(key, rows, class.blocks, out);
                visit(places, out.as_flattened())?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Class {
    fn push(&mut self, script: &[u8], place: usize) {
        let lane = self.places.len() % LANES;
        self.places.push(place);
        if lane == 0 {
            self.rows.extend(siphash::blocks(script).map(|block| [block; LANES]));
            return;
        }
        let group = self.rows.len() - self.blocks.get();
        let rows = self.rows.get_mut(group..).unwrap_or_default();
        for (row, block) in rows.iter_mut().zip(siphash::blocks(script)) {
            if let Some(to) = row.get_mut(lane) {
                *to = block;
            }
        }
    }
}

impl<S: AsRef<Script>> Extend<S> for ScriptSet {
    fn extend<I: IntoIterator<Item = S>>(&mut self, scripts: I) {
        for script in scripts {
            self.push(script.as_ref());
        }
    }
}

impl<S: AsRef<Script>> FromIterator<S> for ScriptSet {
    fn from_iter<I: IntoIterator<Item = S>>(scripts: I) -> Self {
        let mut set = Self::new();
        set.extend(scripts);
        set
    }
}

impl fmt::Debug for ScriptSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What somebody watches is nobody's business, and ten thousand scripts tell a reader nothing.
        f.debug_struct("ScriptSet").field("len", &self.len).finish_non_exhaustive()
    }
}
