//! What may be written down: judged event by event, before it is written.

use std::borrow::Cow;

use super::event::{Event, Value};
use super::kind::{EventKind, plain_name};

/// What a policy says of an event.
///
/// See [`Policy`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write it, as it is now.
    Write,
    /// Do not write it. A record of the kind `log_refused` stands in its place, with the kind and
    /// this reason.
    Refuse(&'static str),
}

/// Judges events in the writer's thread. It should take under 10 us.
///
/// ```
/// use ironlight_hardening::audit::{Event, EventKind, Policy, Verdict};
///
/// let policy = |event: &mut Event| match event.subject() {
///     "" => Verdict::Refuse("nobody"),
///     _ => Verdict::Write,
/// };
/// assert_eq!(policy.judge(&mut Event::new(EventKind::Ban)), Verdict::Refuse("nobody"));
/// assert_eq!(policy.judge(&mut Event::new(EventKind::Ban).on("192.0.2.7")), Verdict::Write);
/// ```
pub trait Policy: Send + Sync {
    /// Judges an event, and may change it: to take a secret out, say.
    fn judge(&self, event: &mut Event) -> Verdict;
}

impl<F: Fn(&mut Event) -> Verdict + Send + Sync> Policy for F {
    fn judge(&self, event: &mut Event) -> Verdict {
        self(event)
    }
}

/// A policy from simple rules.
///
/// ```
/// use ironlight_hardening::audit::{Event, EventKind, Policy, Rules, Verdict};
///
/// let rules = Rules::default()
///     .redact("token")
///     .require(EventKind::Ban, "reason")
///     .refuse(EventKind::other("debug"), "not for the record");
/// let mut event = Event::new(EventKind::AuthFailure).with("token", "secret");
/// assert_eq!(rules.judge(&mut event), Verdict::Write);
/// assert_eq!(event.value("token"), Some(&"[redacted]".into()));
/// assert_eq!(rules.judge(&mut Event::new(EventKind::Ban)), Verdict::Refuse("lacks a value"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    redacted: Vec<Cow<'static, str>>,
    required: Vec<(EventKind, Cow<'static, str>)>,
    refused: Vec<(EventKind, &'static str)>,
}

impl Rules {
    /// Values of this key are replaced by `[redacted]`.
    #[must_use]
    pub fn redact(mut self, key: &'static str) -> Self {
        self.redacted.push(plain_name(Cow::Borrowed(key)));
        self
    }

    /// Events of this kind must have a value for this key; others are refused: `lacks a value`.
    #[must_use]
    pub fn require(mut self, kind: EventKind, key: &'static str) -> Self {
        self.required.push((kind, plain_name(Cow::Borrowed(key))));
        self
    }

    /// Events of this kind are refused for this reason.
    #[must_use]
    pub fn refuse(mut self, kind: EventKind, reason: &'static str) -> Self {
        self.refused.push((kind, reason));
        self
    }
}

impl Policy for Rules {
    fn judge(&self, event: &mut Event) -> Verdict {
        if let Some((_, reason)) = self.refused.iter().find(|(kind, _)| *kind == event.kind) {
            return Verdict::Refuse(reason);
        }
        let lacks = |(kind, key): &(EventKind, Cow<'_, str>)| {
            *kind == event.kind && event.value(key).is_none()
        };
        if self.required.iter().any(lacks) {
            return Verdict::Refuse("lacks a value");
        }
        for (key, value) in &mut event.data {
            if self.redacted.iter().any(|redacted| key == redacted) {
                *value = Value::from("[redacted]");
            }
        }
        Verdict::Write
    }
}
