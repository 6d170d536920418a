//! What kind of failure it is: the one question that every concern here asks of an error.
//!
//! Layers do not wrap each other's errors. Each takes an inner service whose error can also be a
//! [`Rejected`], and adds its own refusals as one; [`Error`] is such a type for any error of yours.

use core::fmt;
use core::time::Duration;

/// What kind of failure it is, and so what may follow from it.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ErrorClass;
///
/// let limited = ErrorClass::RateLimited { retry_after: Some(Duration::from_secs(3)) };
/// assert!(limited.is_retryable() && !limited.is_failure_of_the_other());
/// assert_eq!(limited.retry_after(), Some(Duration::from_secs(3)));
/// assert_eq!(ErrorClass::Permanent.name(), "permanent");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// It may work another time: a broken connection, a busy server.
    Temporary,
    /// It will fail again: bad input, a wrong key, something that is not there.
    Permanent,
    /// No answer in time. Whether it was done is not known.
    Timeout,
    /// A circuit breaker did not let it through.
    CircuitOpen,
    /// Over a limit, ours or theirs.
    RateLimited {
        /// When it may work again, from now, if that is known.
        retry_after: Option<Duration>,
    },
    /// There is more to do than can be done, here or there.
    Overloaded,
}

impl ErrorClass {
    /// Whether another attempt makes sense at all.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Permanent)
    }

    /// Whether it says something about the health of whoever was asked. What we refused ourselves
    /// does not, nor what will fail everywhere.
    #[must_use]
    pub const fn is_failure_of_the_other(self) -> bool {
        matches!(self, Self::Temporary | Self::Timeout | Self::Overloaded)
    }

    /// How long to wait at least, if the other side said so.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => retry_after,
            Self::Temporary
            | Self::Permanent
            | Self::Timeout
            | Self::CircuitOpen
            | Self::Overloaded => None,
        }
    }

    /// A short fixed name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Temporary => "temporary",
            Self::Permanent => "permanent",
            Self::Timeout => "timeout",
            Self::CircuitOpen => "circuit_open",
            Self::RateLimited { .. } => "rate_limited",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Says what kind of failure an error is.
///
/// ```
/// use ironlight_hardening::{Classify, ErrorClass};
///
/// struct NoSuchUser;
/// impl Classify for NoSuchUser {
///     fn class(&self) -> ErrorClass {
///         ErrorClass::Permanent
///     }
/// }
/// assert!(!NoSuchUser.class().is_retryable());
/// ```
pub trait Classify {
    /// What kind of failure it is.
    fn class(&self) -> ErrorClass;
}

impl Classify for std::io::Error {
    fn class(&self) -> ErrorClass {
        use std::io::ErrorKind as Kind;
        let kind = self.kind();
        let for_ever = [
            Kind::NotFound,
            Kind::PermissionDenied,
            Kind::AlreadyExists,
            Kind::InvalidInput,
            Kind::InvalidData,
            Kind::Unsupported,
        ];
        if kind == Kind::TimedOut {
            ErrorClass::Timeout
        } else if for_ever.contains(&kind) {
            ErrorClass::Permanent
        } else {
            // Kinds are many and grow; what is not known to be for ever may pass.
            ErrorClass::Temporary
        }
    }
}

impl Classify for core::convert::Infallible {
    fn class(&self) -> ErrorClass {
        match *self {}
    }
}

impl<E: Classify + ?Sized> Classify for Box<E> {
    fn class(&self) -> ErrorClass {
        (**self).class()
    }
}

/// An error with its class: for errors of others, which cannot [`Classify`] themselves.
///
/// ```
/// use ironlight_hardening::{Classified, Classify};
///
/// let parsed = "seven".parse::<u32>().map_err(Classified::permanent);
/// assert!(!parsed.unwrap_err().class().is_retryable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classified<E> {
    /// The error.
    pub error: E,
    /// What kind of failure it is.
    pub class: ErrorClass,
}

impl<E> Classified<E> {
    /// It may work another time.
    pub const fn temporary(error: E) -> Self {
        Self { error, class: ErrorClass::Temporary }
    }

    /// It will fail again.
    pub const fn permanent(error: E) -> Self {
        Self { error, class: ErrorClass::Permanent }
    }
}

impl<E> Classify for Classified<E> {
    fn class(&self) -> ErrorClass {
        self.class
    }
}

impl<E: fmt::Display> fmt::Display for Classified<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E: core::error::Error> core::error::Error for Classified<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}

/// A refusal of ours: the request was not carried out, or nobody waited for its end.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::{Classify, ErrorClass, Rejected};
///
/// let rejected = Rejected::CircuitOpen { retry_after: Duration::from_secs(60) };
/// assert_eq!(rejected.class(), ErrorClass::CircuitOpen);
/// assert_eq!(rejected.to_string(), "the circuit breaker is open, retry after 60s");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// No answer in time.
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The circuit breaker is open, or lets no more probes through.
    CircuitOpen {
        /// When it lets the next probe through.
        retry_after: Duration,
    },
    /// Over the limit.
    RateLimited {
        /// When it is granted; [`Duration::MAX`] for never.
        retry_after: Duration,
    },
    /// No room: so many are being done, or waiting, already.
    Overloaded {
        /// The limit that was reached.
        limit: u32,
    },
}

impl Classify for Rejected {
    fn class(&self) -> ErrorClass {
        match *self {
            Self::Timeout { .. } => ErrorClass::Timeout,
            Self::CircuitOpen { .. } => ErrorClass::CircuitOpen,
            Self::RateLimited { retry_after } => {
                ErrorClass::RateLimited { retry_after: Some(retry_after) }
            }
            Self::Overloaded { .. } => ErrorClass::Overloaded,
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Timeout { after } => write!(f, "no answer after {after:?}"),
            Self::CircuitOpen { retry_after } => {
                write!(f, "the circuit breaker is open, retry after {retry_after:?}")
            }
            Self::RateLimited { retry_after: Duration::MAX } => {
                f.write_str("more than the limit ever allows at once")
            }
            Self::RateLimited { retry_after } => {
                write!(f, "over the limit, retry after {retry_after:?}")
            }
            Self::Overloaded { limit } => write!(f, "no room: {limit} are there already"),
        }
    }
}

impl core::error::Error for Rejected {}

/// An error of yours, or a refusal of ours.
///
/// ```
/// use ironlight_hardening::{Classify, Error, ErrorClass, Rejected};
///
/// let ours: Error<std::io::Error> = Rejected::Overloaded { limit: 10 }.into();
/// assert_eq!(ours.class(), ErrorClass::Overloaded);
/// let theirs = Error::Inner(std::io::Error::from(std::io::ErrorKind::NotFound));
/// assert_eq!(theirs.class(), ErrorClass::Permanent);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The service's own error.
    Inner(E),
    /// A layer refused.
    Rejected(Rejected),
}

impl<E> From<Rejected> for Error<E> {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl<E: Classify> Classify for Error<E> {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Inner(error) => error.class(),
            Self::Rejected(rejected) => rejected.class(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(error) => error.fmt(f),
            Self::Rejected(rejected) => rejected.fmt(f),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Inner(error) => error.source(),
            Self::Rejected(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_fail_again_is_not_retried_and_what_we_refused_blames_nobody() {
        let wait = Duration::from_secs(3);
        let limited = Error::<std::io::Error>::from(Rejected::RateLimited { retry_after: wait });
        assert_eq!(limited.class().retry_after(), Some(wait));
        assert!(!limited.class().is_failure_of_the_other());
        let denied = Error::Inner(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert!(!denied.class().is_retryable());
        let broken = Error::Inner(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(broken.class().is_retryable() && broken.class().is_failure_of_the_other());
        let late = Error::<std::io::Error>::from(Rejected::Timeout { after: wait });
        assert!(late.class().is_failure_of_the_other());
    }
}
