//! Stands for both kinds of lanes where they cannot exist: another processor, or no run-time detection without `std`.
//!
//! No value of these types can be made, so the dispatch needs no conditional compilation of its own.

/// Sixteen lanes, never there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wide {}

impl Wide {
    pub(super) const fn detect() -> Option<Self> {
        None
    }

    pub(super) fn hash_headers(self, _: &[&[u8; 80]; 16], _: &mut [[u8; 32]; 16]) {
        match self {}
    }

    pub(super) fn hash_nodes(self, _: &[&[u8; 64]; 16], _: &mut [[u8; 32]; 16]) {
        match self {}
    }
}

/// Two lanes, never there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pair {}

impl Pair {
    pub(super) const fn detect() -> Option<Self> {
        None
    }

    pub(super) fn hash_headers<const N: usize>(self, _: [&[u8; 80]; N]) -> [[u8; 32]; N] {
        match self {}
    }

    pub(super) fn hash_nodes<const N: usize>(self, _: [&[u8; 64]; N]) -> [[u8; 32]; N] {
        match self {}
    }

    pub(super) fn hash_padded<const BYTES: usize>(self, _: [&[u8; BYTES]; 2]) -> [[u8; 32]; 2] {
        match self {}
    }
}
