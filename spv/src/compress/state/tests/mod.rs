//! Tests of the compressed state.
