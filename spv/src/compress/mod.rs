//! State compression: small, self-contained forms of what was verified.

mod codec;
pub mod log;

pub use codec::{CODEC_VERSION, CodecError, HeaderBody, decode, encode};
