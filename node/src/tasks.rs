//! What every task of the node needs: work off the async threads, and waiting for what may never come.

use std::future::{Future, pending};

use tokio::task::JoinError;
use tokio::time::Instant;

/// Does what blocks or takes long off the async threads.
///
/// # Panics
/// As the work does.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    joined(tokio::task::spawn_blocking(work)).await
}

/// What a task came to. Where the runtime is shutting down it never comes: whoever waits goes with it.
///
/// # Panics
/// As the task did: what panics must not pass for done.
pub(crate) async fn joined<T>(task: impl Future<Output = Result<T, JoinError>>) -> T {
    match task.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => pending().await,
        },
    }
}

/// Sleeps until a moment, or for ever where nothing is due.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
