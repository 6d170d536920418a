//! What the machine remembers of a peer.

use crate::header::BlockHeight;

/// What is known of a peer before it has said anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterPeerTraits {
    /// The height that it says it has. It is not asked for blocks above that until it is told that it
    /// has them, or until a new block has had time to reach it.
    pub height: BlockHeight,
    /// It called us: such peers are asked for filters last, since anybody can call.
    pub called: bool,
    /// It passes on what others told it, as light nodes do, instead of making filters from blocks. A
    /// header of its that turns out false is then no lie of its: it is taken back without blame.
    pub relays: bool,
}
