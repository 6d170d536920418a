//! State compression: small, self-contained forms of what was verified.

mod codec;
mod columns;
pub mod log;
pub mod snapshot;
pub mod state;

pub use codec::{CODEC_VERSION, CodecError, HeaderBody, decode, encode};
pub(crate) use codec::{Hashed, Unlinked};
pub use columns::{Columns, ColumnsError};
