//! What can be written down: kinds of events and what they carry, each with a bound.

use core::fmt;
use std::borrow::Cow;

use super::hash::{decode_hex, push_hex};
use super::kind::{EventKind, plain_name};

/// The longest text of a value, in bytes; longer ones are cut and say by how much.
pub const MAX_TEXT: usize = 1_024;
/// The longest actor or subject, in bytes; longer ones are cut and say by how much.
pub const MAX_NAME_TEXT: usize = 256;
/// The most values that an event carries; the rest are counted in a last one, `left_out`.
pub const MAX_FIELDS: usize = 16;

/// The most that the note of a cut adds, in bytes.
pub(super) const CUT_NOTE: usize = 32;
const LEFT_OUT: &str = "left_out";

/// What belongs together: 16 bytes, as in a W3C trace context; shown in hexadecimal.
///
/// ```
/// use ironlight_hardening::audit::TraceId;
///
/// let trace = TraceId::from_hex(b"000102030405060708090a0b0c0d0e0f").unwrap();
/// assert_eq!(trace.to_string(), "000102030405060708090a0b0c0d0e0f");
/// assert_eq!(TraceId::from_hex(b"0001"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    /// Reads 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        decode_hex(text).map(Self)
    }

    pub(crate) fn push_hex(&self, out: &mut Vec<u8>) {
        push_hex(&self.0, out);
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A value that an event carries.
///
/// ```
/// use ironlight_hardening::audit::{Event, EventKind, Value};
///
/// let event = Event::new(EventKind::Ban).with("score", 100_u32).with("forever", true);
/// assert_eq!(event.value("score"), Some(&Value::Number(100)));
/// assert_eq!(event.value("forever"), Some(&Value::Flag(true)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, at most [`MAX_TEXT`] bytes and the note of a cut.
    Text(Cow<'static, str>),
    /// A whole number. Some readers of JSON lose digits beyond 2^53.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<u64> for Value {
    /// Numbers beyond `i64::MAX` become that.
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Something to be written down.
///
/// ```
/// use ironlight_hardening::audit::{Event, EventKind};
///
/// let event = Event::new(EventKind::Ban)
///     .by("peer policy")
///     .on("192.0.2.7:8333")
///     .with("reason", "invalid header")
///     .with("score", 100_u32);
/// assert_eq!(event.value("score"), Some(&100_u32.into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub(crate) kind: EventKind,
    pub(crate) by: Cow<'static, str>,
    pub(crate) on: Cow<'static, str>,
    pub(crate) trace: Option<TraceId>,
    pub(crate) data: Vec<(Cow<'static, str>, Value)>,
}

impl Event {
    /// An event without actor, subject, trace or values. A kind that only the log writes becomes
    /// the kind `claimed_by_caller`.
    #[must_use]
    pub fn new(kind: EventKind) -> Self {
        Self::of(kind).not_of_the_log()
    }

    /// Kinds that only the log writes are not taken from anyone else; one that was read from a log
    /// may be offered again.
    pub(super) fn not_of_the_log(mut self) -> Self {
        if matches!(self.kind, EventKind::Log(_)) {
            self.kind = EventKind::other("claimed_by_caller");
        }
        self
    }

    pub(crate) const fn of(kind: EventKind) -> Self {
        let nobody = Cow::Borrowed("");
        Self { kind, by: nobody, on: Cow::Borrowed(""), trace: None, data: Vec::new() }
    }

    /// Who did it.
    #[must_use]
    pub fn by(mut self, actor: impl Into<Cow<'static, str>>) -> Self {
        self.by = cut(actor.into(), MAX_NAME_TEXT);
        self
    }

    /// What or whom it was done to.
    #[must_use]
    pub fn on(mut self, subject: impl Into<Cow<'static, str>>) -> Self {
        self.on = cut(subject.into(), MAX_NAME_TEXT);
        self
    }

    /// What it belongs to.
    #[must_use]
    pub const fn in_trace(mut self, trace: TraceId) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Adds a value, or replaces that of the same key. In a key, what is not a lower-case letter,
    /// digit or `_` becomes `_`. Beyond [`MAX_FIELDS`] values are only counted.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        let key = plain_name(Cow::Borrowed(key));
        let value = match value.into() {
            Value::Text(text) => Value::Text(cut(text, MAX_TEXT)),
            other @ (Value::Number(_) | Value::Flag(_)) => other,
        };
        if let Some(old) = self.value_mut(&key) {
            *old = value;
        } else if self.data.len() < MAX_FIELDS {
            self.data.push((key, value));
        } else {
            self.count_left_out();
        }
        self
    }

    fn value_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.data.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    fn count_left_out(&mut self) {
        match self.value_mut(LEFT_OUT) {
            Some(Value::Number(count)) => *count = count.saturating_add(1),
            Some(other) => *other = Value::Number(1),
            None => self.data.push((Cow::Borrowed(LEFT_OUT), Value::Number(1))),
        }
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> &EventKind {
        &self.kind
    }

    /// Who did it; empty if nobody was named.
    #[must_use]
    pub fn actor(&self) -> &str {
        &self.by
    }

    /// What or whom it was done to; empty if nothing was named.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.on
    }

    /// What it belongs to.
    #[must_use]
    pub const fn trace(&self) -> Option<TraceId> {
        self.trace
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.data.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The values, in the order in which they were added.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.data.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// About the memory that it takes, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let values = self.data.iter().map(|(key, value)| {
            let text = if let Value::Text(text) = value { text.len() } else { 0 };
            size_of::<(Cow<'static, str>, Value)>() + key.len() + text
        });
        size_of::<Self>() + self.by.len() + self.on.len() + values.sum::<usize>()
    }
}

/// Cut at a character's border, with a note of how many bytes are missing.
fn cut(text: Cow<'static, str>, longest: usize) -> Cow<'static, str> {
    if text.len() <= longest {
        return text;
    }
    let end = text.floor_char_boundary(longest);
    let (kept, dropped) = text.split_at_checked(end).unwrap_or(("", &text));
    Cow::Owned(format!("{kept}[+{} bytes]", dropped.len()))
}
