//! Bitcoin's header rules written out as plainly as they go, to compare the crate with: no code
//! of the crate is used, everything is found by walking back, and numbers are rows of bytes.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

pub(crate) type Raw = [u8; 80];
pub(crate) type Hash = [u8; 32];

/// A number of 40 bytes, the most significant first, so that comparing rows compares numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number([u8; 40]);

impl Number {
    pub(crate) const ZERO: Self = Self([0; 40]);

    /// The target that bits stand for; none where they are negative, zero or too large.
    pub(crate) fn of_bits(bits: u32) -> Option<Self> {
        let [size, high, middle, low] = bits.to_be_bytes();
        let mut number = Self::ZERO;
        for (place, byte) in [high & 0x7f, middle, low].into_iter().enumerate() {
            let power = i32::from(size) - 1 - i32::try_from(place).unwrap();
            match usize::try_from(power) {
                Ok(power) if power < 32 => number.0[39 - power] = byte,
                Ok(_) if byte != 0 => return None,
                Ok(_) | Err(_) => {}
            }
        }
        let negative = high & 0x80 != 0;
        (number != Self::ZERO && !negative).then_some(number)
    }

    /// The compact form, what does not fit cut off.
    pub(crate) fn to_bits(self) -> u32 {
        let Some(first) = self.0.iter().position(|byte| *byte != 0) else { return 0 };
        let digit = |place: usize| self.0.get(place).copied().unwrap_or(0);
        let size = u8::try_from(40 - first).unwrap();
        if digit(first) & 0x80 == 0 {
            u32::from_be_bytes([size, digit(first), digit(first + 1), digit(first + 2)])
        } else {
            u32::from_be_bytes([size + 1, 0, digit(first), digit(first + 1)])
        }
    }

    fn times(mut self, factor: u32) -> Self {
        let mut carry = 0;
        for byte in self.0.iter_mut().rev() {
            carry += u64::from(*byte) * u64::from(factor);
            *byte = u8::try_from(carry % 256).unwrap();
            carry /= 256;
        }
        assert_eq!(carry, 0, "40 bytes are enough");
        self
    }

    fn divided_by(mut self, divisor: u32) -> Self {
        let mut rest = 0;
        for byte in &mut self.0 {
            rest = rest * 256 + u64::from(*byte);
            *byte = u8::try_from(rest / u64::from(divisor)).unwrap();
            rest %= u64::from(divisor);
        }
        self
    }

    pub(crate) fn plus(mut self, other: Self) -> Self {
        let mut carry = 0;
        for (byte, more) in self.0.iter_mut().zip(other.0).rev() {
            carry += u16::from(*byte) + u16::from(more);
            *byte = u8::try_from(carry % 256).unwrap();
            carry /= 256;
        }
        self
    }

    fn minus(mut self, other: Self) -> Self {
        let mut borrow = 0;
        for (byte, less) in self.0.iter_mut().zip(other.0).rev() {
            let difference = 256 + u16::from(*byte) - u16::from(less) - borrow;
            *byte = u8::try_from(difference % 256).unwrap();
            borrow = 1 - difference / 256;
        }
        self
    }

    fn one() -> Self {
        let mut one = Self::ZERO;
        one.0[39] = 1;
        one
    }

    /// 2^256 divided by the target plus one, digit by binary digit.
    pub(crate) fn work_of_target(target: Self) -> Self {
        let divisor = target.plus(Self::one());
        let (mut quotient, mut rest) = (Self::ZERO, Self::one());
        for _ in 0..256 {
            rest = rest.plus(rest);
            quotient = quotient.plus(quotient);
            if rest >= divisor {
                rest = rest.minus(divisor);
                quotient = quotient.plus(Self::one());
            }
        }
        quotient
    }

    /// The number that 32 little-endian bytes stand for.
    pub(crate) fn of_hash(hash: &Hash) -> Self {
        let mut number = Self::ZERO;
        for (place, byte) in number.0.iter_mut().rev().zip(hash) {
            *place = *byte;
        }
        number
    }

    pub(crate) fn low_32_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&self.0[8..]);
        bytes
    }
}

pub(crate) fn hash_of(raw: &Raw) -> Hash {
    Sha256::digest(Sha256::digest(raw)).into()
}

fn number_at(raw: &Raw, at: usize) -> u32 {
    u32::from_le_bytes(raw[at..at + 4].try_into().unwrap())
}

pub(crate) fn parent_of(raw: &Raw) -> Hash {
    raw[4..36].try_into().unwrap()
}

pub(crate) fn time_of(raw: &Raw) -> u32 {
    number_at(raw, 68)
}

pub(crate) fn bits_of(raw: &Raw) -> u32 {
    number_at(raw, 72)
}

/// How a header's bits were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Branch {
    /// Not at a boundary, and the network has no minimum-difficulty blocks.
    SameAsParent,
    /// More than twenty minutes after the parent.
    MinimumDifficulty,
    /// The parent is no minimum-difficulty block.
    ParentIsOrdinary,
    /// Walked back over minimum-difficulty blocks to an ordinary one.
    WalkedBack,
    /// Walked back over minimum-difficulty blocks to the period's first.
    WalkedToStart,
    /// At a boundary of a network without retargeting.
    NoRetargeting,
    /// At a boundary.
    Retarget { span: Span, capped: bool },
}

/// What became of a period's actual span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Span {
    RaisedToQuarter,
    Shorter,
    Longer,
    LoweredToFourfold,
}

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) limit: u32,
    pub(crate) period: u32,
    pub(crate) timespan: u32,
    pub(crate) spacing: u32,
    pub(crate) no_retargeting: bool,
    pub(crate) minimum_difficulty: bool,
    pub(crate) bip94: bool,
    /// From a height on, the least version.
    pub(crate) versions: [(u32, i32); 3],
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) raw: Raw,
    pub(crate) height: u32,
    pub(crate) work: Number,
    /// The parent's place among the entries.
    parent: Option<usize>,
}

/// Every header ever accepted, and which one is the tip.
pub(crate) struct Plain {
    rules: Rules,
    entries: Vec<Entry>,
    places: HashMap<Hash, usize>,
    works: HashMap<u32, Number>,
    pub(crate) tip: Hash,
    /// Headers that broke a rule although they had work.
    pub(crate) invalid: Vec<Hash>,
}

impl Plain {
    pub(crate) fn new(rules: Rules, genesis: Raw) -> Self {
        let tip = hash_of(&genesis);
        let mut plain = Self {
            rules,
            entries: Vec::new(),
            places: HashMap::from([(tip, 0)]),
            works: HashMap::new(),
            tip,
            invalid: Vec::new(),
        };
        let work = plain.work(bits_of(&genesis));
        plain.entries.push(Entry { raw: genesis, height: 0, work, parent: None });
        plain
    }

    fn work(&mut self, bits: u32) -> Number {
        let target = Number::of_bits(bits).expect("checked before");
        *self.works.entry(bits).or_insert_with(|| Number::work_of_target(target))
    }

    pub(crate) fn entry(&self, hash: &Hash) -> Option<&Entry> {
        self.places.get(hash).map(|place| &self.entries[*place])
    }

    pub(crate) fn hashes(&self) -> impl Iterator<Item = &Hash> {
        self.places.keys()
    }

    fn parent(&self, entry: &Entry) -> Option<&Entry> {
        entry.parent.map(|place| &self.entries[place])
    }

    /// From a header down to genesis.
    pub(crate) fn path_down(&self, hash: &Hash) -> Vec<Hash> {
        let mut path = Vec::new();
        let mut next = *hash;
        while let Some(entry) = self.entry(&next) {
            path.push(next);
            next = parent_of(&entry.raw);
        }
        path
    }

    /// The bits of a header that follows `parent` at a time (`pow.cpp`, `GetNextWorkRequired`).
    pub(crate) fn required(&self, parent: &Hash, time: u32) -> (u32, Branch) {
        let parent = self.entry(parent).expect("known");
        if (parent.height + 1).is_multiple_of(self.rules.period) {
            return self.retarget(parent);
        }
        if !self.rules.minimum_difficulty {
            return (bits_of(&parent.raw), Branch::SameAsParent);
        }
        if u64::from(time) > u64::from(time_of(&parent.raw)) + 2 * u64::from(self.rules.spacing) {
            return (self.rules.limit, Branch::MinimumDifficulty);
        }
        let mut walk = parent;
        let mut branch = Branch::ParentIsOrdinary;
        while !walk.height.is_multiple_of(self.rules.period)
            && bits_of(&walk.raw) == self.rules.limit
        {
            walk = self.parent(walk).unwrap();
            branch = if walk.height.is_multiple_of(self.rules.period) {
                Branch::WalkedToStart
            } else {
                Branch::WalkedBack
            };
        }
        (bits_of(&walk.raw), branch)
    }

    /// The bits of a period's first header (`pow.cpp`, `CalculateNextWorkRequired`).
    fn retarget(&self, last: &Entry) -> (u32, Branch) {
        if self.rules.no_retargeting {
            return (bits_of(&last.raw), Branch::NoRetargeting);
        }
        let mut first = last;
        for _ in 1..self.rules.period {
            first = self.parent(first).unwrap();
        }
        let intended = i64::from(self.rules.timespan);
        let actual = i64::from(time_of(&last.raw)) - i64::from(time_of(&first.raw));
        let (used, span) = match actual {
            _ if actual < intended / 4 => (intended / 4, Span::RaisedToQuarter),
            _ if actual < intended => (actual, Span::Shorter),
            _ if actual <= intended * 4 => (actual, Span::Longer),
            _ => (intended * 4, Span::LoweredToFourfold),
        };
        let old = bits_of(if self.rules.bip94 { &first.raw } else { &last.raw });
        let limit = Number::of_bits(self.rules.limit).unwrap();
        let new = Number::of_bits(old)
            .unwrap()
            .times(u32::try_from(used).unwrap())
            .divided_by(self.rules.timespan);
        (new.min(limit).to_bits(), Branch::Retarget { span, capped: new > limit })
    }

    /// The middle one of the eleven times up to `parent`, or of as many as there are.
    pub(crate) fn median(&self, parent: &Hash) -> u32 {
        let path = self.path_of(parent, 11);
        let mut times: Vec<u32> = path.iter().map(|entry| time_of(&entry.raw)).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    fn path_of(&self, hash: &Hash, length: usize) -> Vec<Entry> {
        let mut path = Vec::new();
        let mut next = self.entry(hash);
        while let Some(entry) = next
            && path.len() < length
        {
            path.push(*entry);
            next = self.parent(entry);
        }
        path
    }

    /// The rule that a header breaks by itself, by the name that the crate gives it.
    pub(crate) fn broken_alone(&self, raw: &Raw) -> Option<&'static str> {
        let Some(target) = Number::of_bits(bits_of(raw)) else { return Some("invalid-bits") };
        if target > Number::of_bits(self.rules.limit).unwrap() {
            return Some("target-above-limit");
        }
        (Number::of_hash(&hash_of(raw)) > target).then_some("proof-of-work")
    }

    /// The rule that a header breaks as a child of its parent, which is known.
    pub(crate) fn broken_in_context(&self, raw: &Raw, now: u32) -> Option<&'static str> {
        let parent_hash = parent_of(raw);
        let parent = self.entry(&parent_hash).expect("known");
        let height = parent.height + 1;
        let time = time_of(raw);
        let version = i32::from_le_bytes(raw[..4].try_into().unwrap());
        let early = i64::from(time_of(&parent.raw)) - i64::from(time);
        let outdated =
            self.rules.versions.iter().any(|(from, least)| height >= *from && version < *least);
        if bits_of(raw) != self.required(&parent_hash, time).0 {
            Some("difficulty")
        } else if time <= self.median(&parent_hash) {
            Some("median-time-past")
        } else if self.rules.bip94 && height.is_multiple_of(self.rules.period) && early > 600 {
            Some("timewarp")
        } else if u64::from(time) > u64::from(now) + 7_200 {
            Some("time-too-new")
        } else {
            outdated.then_some("version")
        }
    }

    /// Takes in a header that keeps every rule.
    pub(crate) fn insert(&mut self, raw: &Raw) {
        let place = self.places[&parent_of(raw)];
        let parent = self.entries[place];
        let work = parent.work.plus(self.work(bits_of(raw)));
        let hash = hash_of(raw);
        assert_eq!(self.places.insert(hash, self.entries.len()), None, "inserted twice");
        let height = parent.height + 1;
        self.entries.push(Entry { raw: *raw, height, work, parent: Some(place) });
        if work > self.entry(&self.tip).expect("known").work {
            self.tip = hash;
        }
    }

    /// Takes the newest headers out again: they were only there to be built on.
    pub(crate) fn forget(&mut self, newest: &[Hash], tip: Hash) {
        for hash in newest {
            self.places.remove(hash);
        }
        self.entries.truncate(self.places.len());
        self.tip = tip;
    }
}
