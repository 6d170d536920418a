//! Stands for both kinds of lanes where they cannot exist: another processor, or no run-time detection without `std`.
//!
//! No value of these types can be made, so the dispatch needs no conditional compilation of its own.

use super::{Key, Row};
use core::num::NonZeroUsize;

/// The lanes of AVX2, never there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Avx2 {}

impl Avx2 {
    pub(super) fn hash(self, _: Key, _: &[Row], _: NonZeroUsize, _: &mut [Row]) {
        match self {}
    }
}

/// The lanes of AVX-512, never there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Avx512 {}

impl Avx512 {
    pub(super) fn hash(self, _: Key, _: &[Row], _: NonZeroUsize, _: &mut [Row]) {
        match self {}
    }
}
