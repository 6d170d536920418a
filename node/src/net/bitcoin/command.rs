//! The commands of the protocol, and what each may cost.

use core::fmt;

use crate::net::Purpose;
use crate::net::data::MAX_FILTER_HEADERS;

/// No message is longer (Bitcoin Core, `net.h`, `MAX_PROTOCOL_MESSAGE_LENGTH`).
pub const MAX_PAYLOAD: u32 = 4_000_000;
/// Headers in a message at most (Core, `net_processing.h`, `MAX_HEADERS_RESULTS`).
pub const MAX_HEADERS: u32 = 2000;
/// Entries of an inventory at most (Core, `net_processing.cpp`, `MAX_INV_SZ`).
pub const MAX_INVENTORY: u32 = 50_000;
/// Addresses in a message at most (Core, `MAX_ADDR_TO_SEND`; BIP155).
pub const MAX_ADDRESSES: u32 = 1000;
/// Hashes in a locator at most (Core, `MAX_LOCATOR_SZ`).
pub const MAX_LOCATOR: u32 = 101;
/// Bytes in a user agent at most (Core, `net.h`, `MAX_SUBVERSION_LENGTH`).
pub const MAX_USER_AGENT: u32 = 256;
/// Bytes in a filter at most. A block has room for 100,000 outputs (4,000,000 weight units, an output
/// with a script takes 40), inputs take more; an element takes 21.5 bits at most on average (20, and
/// M / 2^P ones: BIP158), so no filter is longer than 268,750 bytes.
pub const MAX_FILTER: u32 = 300_000;
/// Filter checkpoints in a message at most: enough for 20 million blocks.
pub const MAX_CHECKPOINTS: u32 = 20_000;

/// Bytes of the longest count that most limits above allow.
const COUNT: u32 = 3;
/// The same for a filter.
const LONG_COUNT: u32 = 5;
/// An `addrv2` entry with an address of the longest length that BIP155 allows, 512 bytes.
const MAX_ADDRV2_ENTRY: u32 = 4 + 9 + 1 + 3 + 512 + 2;

/// What to do with a message before its payload is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Read it and decode it.
    Decode,
    /// Read past it.
    Skip,
}

macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $handling:ident, $cap:expr;)+) => {
        /// A message's kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Command {
            $($(#[$doc])* $variant,)+
            /// A name that this node does not know, as its 12 bytes: zeros at the end.
            Unknown([u8; Command::SIZE]),
        }

        impl Command {
            /// Those with a name of their own.
            pub const KNOWN: &[Self] = &[$(Self::$variant),+];

            /// The name; empty for an unknown command.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Unknown(_) => "",
                }
            }

            /// Whether its payload is of use to this node.
            #[must_use]
            pub const fn handling(self) -> Handling {
                match self {
                    $(Self::$variant => Handling::$handling,)+
                    Self::Unknown(_) => Handling::Skip,
                }
            }

            /// The longest payload accepted.
            #[must_use]
            pub const fn cap(self) -> u32 {
                match self {
                    $(Self::$variant => $cap,)+
                    Self::Unknown(_) => MAX_PAYLOAD,
                }
            }
        }
    };
}

commands! {
    /// Opens a connection. Its fields take up to 344 bytes, and later ones may follow.
    Version = "version", Decode, 1024;
    /// Ends the handshake.
    Verack = "verack", Decode, 32;
    /// BIP339.
    WtxidRelay = "wtxidrelay", Decode, 32;
    /// BIP155.
    SendAddrV2 = "sendaddrv2", Decode, 32;
    /// BIP130.
    SendHeaders = "sendheaders", Decode, 32;
    /// BIP31.
    Ping = "ping", Decode, 8;
    /// BIP31.
    Pong = "pong", Decode, 8;
    /// The answer to `getheaders`, or an announcement: each header with a count of 0.
    Headers = "headers", Decode, COUNT + MAX_HEADERS * 81;
    /// An announcement.
    Inv = "inv", Decode, COUNT + MAX_INVENTORY * 36;
    /// Addresses.
    Addr = "addr", Decode, COUNT + MAX_ADDRESSES * 30;
    /// Addresses, BIP155.
    AddrV2 = "addrv2", Decode, COUNT + MAX_ADDRESSES * MAX_ADDRV2_ENTRY;
    /// A request for headers.
    GetHeaders = "getheaders", Decode, 4 + COUNT + MAX_LOCATOR * 32 + 32;
    /// Asks for addresses: this node has none to give.
    GetAddr = "getaddr", Skip, 32;
    /// What was asked for is not there.
    NotFound = "notfound", Decode, COUNT + MAX_INVENTORY * 36;
    /// Asks for blocks or transactions.
    GetData = "getdata", Decode, COUNT + MAX_INVENTORY * 36;
    /// Asks for an inventory of blocks.
    GetBlocks = "getblocks", Skip, 4 + COUNT + MAX_LOCATOR * 32 + 32;
    /// Asks for the memory pool (BIP35).
    MemPool = "mempool", Skip, 32;
    /// A transaction.
    Tx = "tx", Decode, MAX_PAYLOAD;
    /// A block.
    Block = "block", Decode, MAX_PAYLOAD;
    /// BIP133.
    FeeFilter = "feefilter", Decode, 8;
    /// BIP152.
    SendCmpct = "sendcmpct", Skip, 32;
    /// BIP152.
    CmpctBlock = "cmpctblock", Skip, MAX_PAYLOAD;
    /// BIP152.
    GetBlockTxn = "getblocktxn", Skip, MAX_PAYLOAD;
    /// BIP152.
    BlockTxn = "blocktxn", Skip, MAX_PAYLOAD;
    /// BIP330.
    SendTxRcncl = "sendtxrcncl", Skip, 32;
    /// BIP37.
    MerkleBlock = "merkleblock", Skip, MAX_PAYLOAD;
    /// BIP37.
    FilterLoad = "filterload", Skip, MAX_PAYLOAD;
    /// BIP37.
    FilterAdd = "filteradd", Skip, MAX_PAYLOAD;
    /// BIP37.
    FilterClear = "filterclear", Skip, 32;
    /// BIP157.
    GetCFilters = "getcfilters", Skip, 64;
    /// BIP157.
    CFilter = "cfilter", Decode, 1 + 32 + LONG_COUNT + MAX_FILTER;
    /// BIP157.
    GetCFHeaders = "getcfheaders", Skip, 64;
    /// BIP157.
    CFHeaders = "cfheaders", Decode, 1 + 32 + 32 + COUNT + MAX_FILTER_HEADERS * 32;
    /// BIP157.
    GetCFCheckpt = "getcfcheckpt", Skip, 64;
    /// BIP157.
    CFCheckpt = "cfcheckpt", Decode, 1 + 32 + COUNT + MAX_CHECKPOINTS * 32;
    /// BIP61, withdrawn.
    Reject = "reject", Skip, MAX_PAYLOAD;
    /// Retired.
    Alert = "alert", Skip, MAX_PAYLOAD;
}

impl Command {
    /// Bytes of a name in a frame.
    pub const SIZE: usize = 12;

    /// Reads a name: printable ASCII, then zeros (Core, `protocol.cpp`, `IsMessageTypeValid`).
    #[must_use]
    pub fn from_wire(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(Self::SIZE);
        let (name, zeros) = bytes.split_at(end);
        let printable = name.iter().all(|byte| (0x20..=0x7e).contains(byte));
        if !printable || zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        let known = Self::KNOWN.iter().find(|known| known.name().as_bytes() == name);
        Some(known.copied().unwrap_or(Self::Unknown(bytes)))
    }

    /// Whether it may take longer to come than a peer may be silent.
    #[must_use]
    pub const fn takes_long(self) -> bool {
        matches!(self, Self::Block | Self::CFilter | Self::CFHeaders | Self::CFCheckpt)
    }

    /// What its bytes count for, as far as its name says.
    #[must_use]
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Headers
            | Self::GetHeaders
            | Self::SendHeaders
            | Self::GetBlocks
            | Self::Inv
            | Self::SendCmpct
            | Self::CmpctBlock => Purpose::Headers,
            Self::GetCFHeaders | Self::CFHeaders | Self::GetCFCheckpt | Self::CFCheckpt => {
                Purpose::FilterHeaders
            }
            Self::GetCFilters | Self::CFilter => Purpose::Filters,
            Self::Block | Self::GetBlockTxn | Self::BlockTxn => Purpose::Blocks,
            Self::MerkleBlock => Purpose::Proofs,
            Self::Tx | Self::MemPool | Self::FeeFilter | Self::SendTxRcncl => Purpose::Transactions,
            // What these ask for or lack, their entries say.
            Self::GetData | Self::NotFound => Purpose::Other,
            Self::Version
            | Self::Verack
            | Self::WtxidRelay
            | Self::SendAddrV2
            | Self::Ping
            | Self::Pong
            | Self::Addr
            | Self::AddrV2
            | Self::GetAddr
            | Self::FilterLoad
            | Self::FilterAdd
            | Self::FilterClear
            | Self::Reject
            | Self::Alert
            | Self::Unknown(_) => Purpose::Other,
        }
    }

    /// The name as it stands in a frame.
    #[must_use]
    pub fn to_wire(self) -> [u8; Self::SIZE] {
        if let Self::Unknown(bytes) = self {
            return bytes;
        }
        let mut bytes = [0; Self::SIZE];
        for (to, from) in bytes.iter_mut().zip(self.name().bytes()) {
            *to = from;
        }
        bytes
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Unknown(bytes) = self else {
            return f.write_str(self.name());
        };
        let name = bytes.iter().take_while(|byte| **byte != 0);
        name.map(|byte| char::from(*byte)).try_for_each(|letter| fmt::Write::write_char(f, letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for command in Command::KNOWN {
            assert_eq!(Command::from_wire(command.to_wire()), Some(*command), "{command}");
            assert!(command.cap() <= MAX_PAYLOAD);
        }
        let unknown = Command::from_wire(*b"fizzbuzz\0\0\0\0").unwrap();
        assert_eq!(unknown.to_string(), "fizzbuzz");
        assert_eq!(unknown.handling(), Handling::Skip);
    }

    #[test]
    fn a_name_is_printable_and_padded_with_zeros() {
        assert_eq!(Command::from_wire(*b"ping\0\0\0\0pong"), None);
        assert_eq!(Command::from_wire(*b"pi\x07g\0\0\0\0\0\0\0\0"), None);
        assert_eq!(Command::from_wire([0xff; 12]), None);
    }
}
