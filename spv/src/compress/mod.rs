//! State compression: small, self-contained forms of what was verified.

mod codec;
pub mod state;

pub use codec::{CODEC_VERSION, CodecError, HeaderBody, decode, encode};
