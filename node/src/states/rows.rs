//! The rows of a collection, byte by byte as docs/STORE_FORMAT.md has them.
//!
//! Invariant: each row has one form, and is sealed for its place by the store's checksum. Nothing
//! here grows: a head has at most 170 bytes, a block's fields before its changes 70.

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::Salt;

use super::error::{Fault, Row, StatesError};
use super::{Claim, MAX_NAME_BYTES, MAX_NOTE_BYTES};
use crate::store::{Table, WriteBatch, checksum};

const HEAD_VERSION: u8 = 1;
const BLOCK_VERSION: u8 = 1;
const BASE: u8 = b'B';
const CHANGES: u8 = b'C';
const HEAD: u8 = b'H';

/// The keys of one collection.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    name: String,
    /// The name behind its length, so that no name's keys begin with those of another.
    prefix: Vec<u8>,
}

impl Keys {
    /// # Errors
    /// [`StatesError::Name`]
    pub(super) fn new(name: &str) -> Result<Self, StatesError> {
        let bytes = name.len();
        let length = u8::try_from(bytes).ok().filter(|_| (1..=MAX_NAME_BYTES).contains(&bytes));
        let length = length.ok_or(StatesError::Name { bytes })?;
        let prefix = [&[length], name.as_bytes()].concat();
        Ok(Self { name: name.to_owned(), prefix })
    }

    /// Those of the collection that a key is of; none where it is of no form.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        let (length, rest) = key.split_first()?;
        let (name, _) = rest.split_at_checked(usize::from(*length))?;
        Self::new(std::str::from_utf8(name).ok()?).ok()
    }

    /// Behind all keys of the collection: each has a letter after the name.
    pub(super) fn end(&self) -> Vec<u8> {
        [self.prefix.as_slice(), &[0xff]].concat()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn key(&self, row: Row) -> Vec<u8> {
        let mut key = self.prefix.clone();
        match row {
            Row::Head => key.push(HEAD),
            Row::Base { generation, piece } => {
                key.push(BASE);
                key.extend(generation.to_be_bytes());
                key.extend(piece.to_be_bytes());
            }
            Row::Changes { height } => {
                key.push(CHANGES);
                key.extend(height.0.to_be_bytes());
            }
        }
        key
    }

    /// Which row has this key; none where it is of another collection, or of no form.
    pub(super) fn row(&self, key: &[u8]) -> Option<Row> {
        match key.strip_prefix(self.prefix.as_slice())? {
            [HEAD] => Some(Row::Head),
            [BASE, rest @ ..] => {
                let (generation, piece) = rest.split_first_chunk()?;
                let generation = u64::from_be_bytes(*generation);
                let piece = u32::from_be_bytes(piece.try_into().ok()?);
                Some(Row::Base { generation, piece })
            }
            [CHANGES, height @ ..] => {
                let height = BlockHeight(u32::from_be_bytes(height.try_into().ok()?));
                Some(Row::Changes { height })
            }
            _ => None,
        }
    }

    /// Adds to a batch what sets a row.
    pub(super) fn put(&self, batch: &mut WriteBatch, row: Row, payload: &[u8]) {
        let key = self.key(row);
        let sealed = checksum::seal(Table::States, &key, payload);
        batch.put(Table::States, key, sealed);
    }

    pub(super) fn delete(&self, batch: &mut WriteBatch, row: Row) {
        batch.delete(Table::States, self.key(row));
    }
}

/// What a collection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) salt: Salt,
    /// Which writing of the base counts. Rows of others are left over.
    pub(super) generation: u64,
    /// None before anything is sealed.
    pub(super) base: Option<Base>,
    pub(super) claim: Option<Claim>,
}

/// Which heights there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) pieces: u32,
    pub(super) oldest: BlockHeight,
    pub(super) newest: BlockHeight,
    /// Of the oldest height. The others have theirs beside their changes.
    pub(super) note: Vec<u8>,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![HEAD_VERSION, self.kind];
        match self.salt {
            Salt::None => bytes.extend([0; 33]),
            Salt::Bytes(salt) => {
                bytes.push(1);
                bytes.extend(salt);
            }
        }
        bytes.extend(self.generation.to_le_bytes());
        bytes.push(u8::from(self.base.is_some()));
        if let Some(base) = &self.base {
            bytes.extend(base.pieces.to_le_bytes());
            bytes.extend(base.oldest.0.to_le_bytes());
            bytes.extend(base.newest.0.to_le_bytes());
            push_note(&mut bytes, &base.note);
        }
        bytes.push(u8::from(self.claim.is_some()));
        if let Some(claim) = &self.claim {
            bytes.extend(claim.height.0.to_le_bytes());
            bytes.extend(claim.root);
        }
        bytes
    }

    /// None where the bytes are of no such form.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let [HEAD_VERSION, kind] = fields.take()? else { return None };
        let salt = match (fields.take()?, fields.take()?) {
            ([0], salt) if salt == [0; 32] => Salt::None,
            ([1], salt) => Salt::Bytes(salt),
            _ => return None,
        };
        let generation = u64::from_le_bytes(fields.take()?);
        let base = if fields.flag()? {
            let pieces = fields.number()?;
            let (oldest, newest) = (BlockHeight(fields.number()?), BlockHeight(fields.number()?));
            Some(Base { pieces, oldest, newest, note: fields.note()? })
        } else {
            None
        };
        let claim = if fields.flag()? {
            Some(Claim { height: BlockHeight(fields.number()?), root: fields.take()? })
        } else {
            None
        };
        let ordered = base.as_ref().is_none_or(|base| base.oldest <= base.newest);
        (fields.0.is_empty() && ordered).then_some(Self { kind, salt, generation, base, claim })
    }
}

/// What stands in a row of changes before the changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// The sealed height before, so that a missing row shows even where it changed nothing.
    pub(super) previous: BlockHeight,
    pub(super) note: &'a [u8],
    pub(super) changes: &'a [u8],
}

impl<'a> Block<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![BLOCK_VERSION];
        bytes.extend(self.previous.0.to_le_bytes());
        push_note(&mut bytes, self.note);
        bytes.extend(self.changes);
        bytes
    }

    /// # Errors
    /// [`Fault::Form`]
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let read = || {
            let mut fields = Fields(bytes);
            let [BLOCK_VERSION] = fields.take()? else { return None };
            let previous = BlockHeight(fields.number()?);
            let [length] = fields.take()?;
            let note = fields.bytes(length)?;
            Some(Self { previous, note, changes: fields.0 })
        };
        read().ok_or(Fault::Form { bytes: bytes.len() })
    }
}

/// A note was checked to have at most 64 bytes before it came here.
fn push_note(bytes: &mut Vec<u8>, note: &[u8]) {
    bytes.push(u8::try_from(note.len()).unwrap_or(u8::MAX));
    bytes.extend(note);
}

/// What is not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            [_] => None,
        }
    }

    fn bytes(&mut self, length: u8) -> Option<&'a [u8]> {
        let length = usize::from(length);
        let (bytes, rest) = self.0.split_at_checked(length).filter(|_| length <= MAX_NOTE_BYTES)?;
        self.0 = rest;
        Some(bytes)
    }

    fn note(&mut self) -> Option<Vec<u8>> {
        let [length] = self.take()?;
        self.bytes(length).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn head() -> Head {
        Head {
            kind: 1,
            salt: Salt::Bytes([7; 32]),
            generation: 3,
            base: Some(Base {
                pieces: 2,
                oldest: BlockHeight(100),
                newest: BlockHeight(105),
                note: vec![0xaa, 0xbb],
            }),
            claim: Some(Claim { height: BlockHeight(90), root: [9; 32] }),
        }
    }

    #[test]
    fn every_form_is_read_as_it_was_written() {
        let whole = head();
        let forms = [
            Head { base: None, claim: None, salt: Salt::None, ..whole.clone() },
            Head { claim: None, ..whole.clone() },
            Head { base: None, ..whole.clone() },
            whole,
        ];
        for head in forms {
            let bytes = head.encode();
            assert_eq!(Head::decode(&bytes), Some(head));
            for end in 0..bytes.len() {
                assert_eq!(Head::decode(&bytes[..end]), None, "cut at {end}");
            }
            assert_eq!(Head::decode(&[&bytes[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn names_of_any_other_length_than_1_to_32_are_refused() {
        assert!(matches!(Keys::new(""), Err(StatesError::Name { bytes: 0 })));
        assert!(matches!(Keys::new(&"a".repeat(33)), Err(StatesError::Name { bytes: 33 })));
        assert!(Keys::new(&"a".repeat(32)).is_ok());
    }

    #[test]
    fn no_name_begins_another_ones_keys() {
        let (short, long) = (Keys::new("a").unwrap(), Keys::new("aH").unwrap());
        assert_eq!(short.row(&long.key(Row::Head)), None);
        assert_eq!(long.row(&short.key(Row::Head)), None);
        for row in [
            Row::Head,
            Row::Base { generation: 1, piece: 2 },
            Row::Changes { height: BlockHeight(7) },
        ] {
            assert_eq!(long.row(&long.key(row)), Some(row));
            assert_eq!(long.row(&[&long.key(row)[..], &[0]].concat()), None);
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_rows_are_the_documented_ones() {
        // The test vectors of docs/STORE_FORMAT.md.
        let keys = Keys::new("acc").unwrap();
        assert_eq!(hex(&keys.key(Row::Head)), "0361636348");
        let base = Row::Base { generation: 3, piece: 1 };
        assert_eq!(hex(&keys.key(base)), "0361636342000000000000000300000001");
        let changes = Row::Changes { height: BlockHeight(105) };
        assert_eq!(hex(&keys.key(changes)), "036163634300000069");
        let expected = [
            "0101",
            "01",
            &"07".repeat(32),
            "0300000000000000",
            "01",
            "020000006400000069000000",
            "02aabb",
            "01",
            "5a000000",
            &"09".repeat(32),
        ];
        assert_eq!(hex(&head().encode()), expected.concat());
        let block = Block { previous: BlockHeight(104), note: &[0xcc], changes: &[0x21, 1] };
        assert_eq!(hex(&block.encode()), "016800000001cc2101");
        assert_eq!(Block::decode(&block.encode()), Ok(block));
    }

    #[test]
    fn rows_are_sealed_for_their_place() {
        use crate::store::Store as _;
        let (store, keys, mut batch) =
            (MemoryStore::new(), Keys::new("acc").unwrap(), WriteBatch::new());
        keys.put(&mut batch, Row::Head, b"payload");
        store.commit(batch).unwrap();
        let stored = store.get(Table::States, &keys.key(Row::Head)).unwrap().unwrap();
        let payload = checksum::open(Table::States, &keys.key(Row::Head), &stored);
        assert_eq!(payload, Ok(&b"payload"[..]));
    }
}
