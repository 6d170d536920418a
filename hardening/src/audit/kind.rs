//! Kinds of events, and the names that kinds and keys can have.

use std::borrow::Cow;

/// The longest key or kind, in bytes.
pub const MAX_KEY: usize = 32;

/// What happened.
///
/// ```
/// use ironlight_hardening::audit::EventKind;
///
/// assert_eq!(EventKind::FlagFlip.name(), "flag_flip");
/// assert_eq!(EventKind::from_name("ban"), Some(EventKind::Ban));
/// assert!(EventKind::Ban.is_reserved() && !EventKind::other("login").is_reserved());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A service started.
    Start,
    /// A service stopped.
    Stop,
    /// Someone could not prove who they are.
    AuthFailure,
    /// Someone asked for what they may not have.
    AccessDenied,
    /// Someone was shut out.
    Ban,
    /// Someone is let in again.
    Unban,
    /// Something damaged was repaired.
    Repair,
    /// A setting changed.
    ConfigChange,
    /// A feature flag changed.
    FlagFlip,
    /// The best chain grew.
    TipChange,
    /// The best chain was replaced by a better one.
    Reorg,
    /// Someone sent what breaks a rule.
    InvalidData,
    /// Something was published in the user's name.
    Broadcast,
    /// Something failed.
    Failure,
    /// Any other kind; made by [`EventKind::other`].
    Other(KindName),
    /// What the log says of itself. Only the log writes these.
    Log(LogKind),
}

/// The name of a kind that is not listed: lower-case letters, digits and `_`.
///
/// See [`EventKind`] for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KindName(Cow<'static, str>);

/// What the log says of itself.
///
/// See [`EventKind`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogKind {
    /// The first record of a segment: the size so far and the roots of the tree's perfect parts.
    Segment,
    /// Events were lost here: how many.
    Gap,
    /// A last record without an end was found and set aside.
    Torn,
    /// An earlier segment was compressed: the hash of its file.
    Sealed,
    /// This log goes on where another could not.
    Fallback,
    /// The policy refused an event; this stands in its place.
    Refused,
    /// An observer failed.
    Observer,
    /// What was wrong was cut off on command and set aside.
    Repaired,
}

const LISTED: [EventKind; 22] = [
    EventKind::Start,
    EventKind::Stop,
    EventKind::AuthFailure,
    EventKind::AccessDenied,
    EventKind::Ban,
    EventKind::Unban,
    EventKind::Repair,
    EventKind::ConfigChange,
    EventKind::FlagFlip,
    EventKind::TipChange,
    EventKind::Reorg,
    EventKind::InvalidData,
    EventKind::Broadcast,
    EventKind::Failure,
    EventKind::Log(LogKind::Segment),
    EventKind::Log(LogKind::Gap),
    EventKind::Log(LogKind::Torn),
    EventKind::Log(LogKind::Sealed),
    EventKind::Log(LogKind::Fallback),
    EventKind::Log(LogKind::Refused),
    EventKind::Log(LogKind::Observer),
    EventKind::Log(LogKind::Repaired),
];

impl EventKind {
    /// A kind of your own. What is not a lower-case letter, digit or `_` becomes `_`, and what
    /// begins like the log's own kinds (`log_`) gets an `x_` before it. The name of a listed kind
    /// gives that kind.
    #[must_use]
    pub fn other(name: &'static str) -> Self {
        let name = plain_name(Cow::Borrowed(name));
        let name = if name.starts_with("log_") {
            plain_name(Cow::Owned(format!("x_{name}")))
        } else {
            name
        };
        Self::from_name(&name).unwrap_or(Self::Other(KindName(name)))
    }

    /// The kind of that name, as it stands in a record; none if it cannot be one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(kind) = LISTED.iter().find(|kind| kind.name() == name) {
            return Some(kind.clone());
        }
        let possible = is_plain(name) && !name.starts_with("log_");
        possible.then(|| Self::Other(KindName(Cow::Owned(name.to_owned()))))
    }

    /// The name that stands in a record.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Other(KindName(name)) => name,
            Self::Start => "start",
            Self::Stop => "stop",
            Self::AuthFailure => "auth_failure",
            Self::AccessDenied => "access_denied",
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Repair => "repair",
            Self::ConfigChange => "config_change",
            Self::FlagFlip => "flag_flip",
            Self::TipChange => "tip_change",
            Self::Reorg => "reorg",
            Self::InvalidData => "invalid_data",
            Self::Broadcast => "broadcast",
            Self::Failure => "failure",
            Self::Log(LogKind::Segment) => "log_segment",
            Self::Log(LogKind::Gap) => "log_gap",
            Self::Log(LogKind::Torn) => "log_torn",
            Self::Log(LogKind::Sealed) => "log_sealed",
            Self::Log(LogKind::Fallback) => "log_fallback",
            Self::Log(LogKind::Refused) => "log_refused",
            Self::Log(LogKind::Observer) => "log_observer",
            Self::Log(LogKind::Repaired) => "log_repaired",
        }
    }

    /// Whether places in the queue are reserved for it: bans, repairs and failed authentication.
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        matches!(self, Self::Ban | Self::Repair | Self::AuthFailure)
    }
}

pub(super) fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=MAX_KEY).contains(&name.len()) && name.bytes().all(plain)
}

pub(super) fn plain_name(name: Cow<'static, str>) -> Cow<'static, str> {
    if is_plain(&name) {
        return name;
    }
    if name.is_empty() {
        return Cow::Borrowed("_");
    }
    let plain = |c: char| if matches!(c, 'a'..='z' | '0'..='9' | '_') { c } else { '_' };
    Cow::Owned(name.chars().take(MAX_KEY).map(plain).collect())
}
