//! A digest of all that happened, in order.

use std::time::Duration;

use ironlight_spv::BlockHash;

use super::event::{Event, Message};

/// FNV-1a over what happened: two runs with the same digest went the same way. It is no defence
/// against anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace(u64);

impl Trace {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) const fn digest(self) -> u64 {
        self.0
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn at(&mut self, at: Duration) {
        self.bytes(&at.as_nanos().to_le_bytes());
    }

    pub(super) fn timer(&mut self, node: u32) {
        self.bytes(b"timer");
        self.number(u64::from(node));
    }

    pub(super) fn tip(&mut self, tip: &BlockHash) {
        self.bytes(tip.as_ref());
    }

    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Deliver { link, to, message } => {
                self.bytes(b"deliver");
                self.number(link.0);
                self.number(u64::from(to.0));
                self.message(message);
            }
            Event::Dialled { from, to, life } => {
                self.bytes(b"dialled");
                self.number(u64::from(from.0));
                self.bytes(to.to_string().as_bytes());
                self.number(u64::from(*life));
            }
            Event::Closed { link, to, .. } => {
                self.bytes(b"closed");
                self.number(link.0);
                self.number(u64::from(to.0));
            }
            Event::Silent { link } => {
                self.bytes(b"silent");
                self.number(link.0);
            }
            Event::Started { node } => {
                self.bytes(b"started");
                self.number(u64::from(node.0));
            }
            Event::Tick { node } => {
                self.bytes(b"tick");
                self.number(u64::from(node.0));
            }
        }
    }

    fn message(&mut self, message: &Message) {
        match message {
            Message::GetHeaders { locator, .. } => {
                self.bytes(b"getheaders");
                self.count(locator.len());
                locator.iter().for_each(|hash| self.bytes(hash.as_ref()));
            }
            Message::Headers(headers) => {
                self.bytes(b"headers");
                self.count(headers.len());
                // The last one names all before it.
                headers.last().into_iter().for_each(|last| self.bytes(last.as_bytes()));
            }
            Message::Inv(hashes) => {
                self.bytes(b"inv");
                hashes.iter().for_each(|hash| self.bytes(hash.as_ref()));
            }
            Message::Tip(header) => {
                self.bytes(b"tip");
                self.bytes(header.as_bytes());
            }
        }
    }
}
