//! Keeps a panic of a database crate inside the call that met it.
//!
//! sled panics on many kinds of damaged files (its asserts and unwraps stand on bytes it has just
//! read), and redb may. A node must name the damage and go on, so each call into a backend is made
//! in here. That needs unwinding: with `panic = "abort"` a damaged file ends the process.
//!
//! The panic hook stays as the program set it, so Rust's own prints one line, "thread .. panicked
//! at sled..": it is evidence, and a library that swaps the process-wide hook for the length of a
//! call would race with every other thread. A program that wants this quiet installs a hook of its
//! own once, at its start, and asks [`panic_is_contained`] in it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether a panic on this thread, now, will be caught and reported as an error of the store. For
/// panic hooks.
#[must_use]
pub fn panic_is_contained() -> bool {
    // A thread that is ending has no cell left, and no store call on its stack.
    DEPTH.try_with(|depth| depth.get() > 0).unwrap_or(false)
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get().saturating_add(1)));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

/// Makes the call; a panic in it comes back as its message.
///
/// The state that the call worked on may be torn afterwards: the caller must not use it again.
pub(crate) fn contain<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let inside = Inside::enter();
    let outcome = catch_unwind(AssertUnwindSafe(call));
    drop(inside);
    outcome.map_err(|payload| message(payload.as_ref()))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    // One line, and not a page of it: assert_eq prints both sides.
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("it panicked: {}", line.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_comes_back_as_its_message() {
        let outcome = contain(|| -> u32 { panic!("bad\n page {}", 7) });
        assert_eq!(outcome, Err("it panicked: bad page 7".to_owned()));
        assert!(!panic_is_contained());
    }

    #[test]
    fn hook_can_tell_contained_panics() {
        assert_eq!(contain(panic_is_contained), Ok(true));
    }
}
