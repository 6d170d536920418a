//! Where another answer comes from.

use core::fmt;
use core::future::{Future, Ready, ready};
use std::sync::Arc;

/// Makes another answer of what was kept of the request and of the error. Any
/// `Fn(Kept, E) -> impl Future<Output = Result<T, E>>` does.
///
/// ```
/// use ironlight_hardening::fallback::{Answer, AtOnce};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let later = async |kept: u32, error: &'static str| if kept > 0 { Ok(kept) } else { Err(error) };
/// assert_eq!(later.answer(7, "down").await, Ok(7));
/// assert_eq!(AtOnce::new(|_: &str| Ok(0)).answer((), "down").await, Ok(0));
/// # }
/// ```
pub trait Answer<K, T, E> {
    /// Ends with the answer.
    type Future: Future<Output = Result<T, E>>;

    /// The answer, or an error, the same or another.
    fn answer(&self, kept: K, error: E) -> Self::Future;
}

impl<A, F, K, T, E> Answer<K, T, E> for A
where
    A: Fn(K, E) -> F,
    F: Future<Output = Result<T, E>>,
{
    type Future = F;

    fn answer(&self, kept: K, error: E) -> F {
        self(kept, error)
    }
}

/// An answer that is there at once and needs nothing of the request: a `Fn(E) -> Result<T, E>`.
/// Clones share it. See [`Answer`] for an example.
pub struct AtOnce<A>(Arc<A>);

impl<A> AtOnce<A> {
    /// Of this function.
    pub fn new(answer: A) -> Self {
        Self(Arc::new(answer))
    }
}

impl<A, T, E> Answer<(), T, E> for AtOnce<A>
where
    A: Fn(E) -> Result<T, E>,
{
    type Future = Ready<Result<T, E>>;

    fn answer(&self, (): (), error: E) -> Self::Future {
        ready((self.0)(error))
    }
}

impl<A> Clone for AtOnce<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for AtOnce<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtOnce")
    }
}

/// There is no other answer: the error stays.
///
/// ```
/// use ironlight_hardening::fallback::{Answer, NoAnswer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer: Result<u32, &str> = NoAnswer.answer((), "down").await;
/// assert_eq!(answer, Err("down"));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAnswer;

impl<K, T, E> Answer<K, T, E> for NoAnswer {
    type Future = Ready<Result<T, E>>;

    fn answer(&self, _: K, error: E) -> Self::Future {
        ready(Err(error))
    }
}
