//! Which deadline holds.

use core::time::Duration;

/// The earlier of a request's deadline and the end of an attempt that begins now; none if neither
/// is set.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::deadline::tightened;
///
/// let second = Duration::from_secs(1);
/// assert_eq!(tightened(Some(9 * second), Some(2 * second), 5 * second), Some(7 * second));
/// assert_eq!(tightened(Some(6 * second), Some(2 * second), 5 * second), Some(6 * second));
/// ```
#[must_use]
pub fn tightened(
    deadline: Option<Duration>,
    attempt_timeout: Option<Duration>,
    now: Duration,
) -> Option<Duration> {
    let attempt_ends = attempt_timeout.map(|timeout| now.saturating_add(timeout));
    match (deadline, attempt_ends) {
        (Some(deadline), Some(ends)) => Some(deadline.min(ends)),
        (deadline, ends) => deadline.or(ends),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    #[test]
    fn it_is_the_least_of_those_that_there_are() {
        let mut numbers = Numbers(1);
        for _ in 0..100_000 {
            let mut maybe = |end: u64| {
                let time = Duration::from_nanos(numbers.below(end));
                (numbers.below(3) > 0).then_some(time)
            };
            let (deadline, attempt) = (maybe(1000), maybe(1000));
            let now = maybe(1000).unwrap_or(Duration::MAX);
            let mut all = Vec::new();
            all.extend(deadline);
            all.extend(attempt.map(|attempt| now.checked_add(attempt).unwrap_or(Duration::MAX)));
            assert_eq!(tightened(deadline, attempt, now), all.into_iter().min());
        }
    }
}
