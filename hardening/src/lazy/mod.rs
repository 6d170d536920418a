//! Values made when they are first needed, and made anew after a reset.
//!
//! [`Lazy`] blocks the threads that need a value that another thread is making; [`AsyncLazy`] lets
//! tasks wait. Both give out `Arc`s: who holds one keeps the old value through a reset.
//!
//! A reset while a value is being made is not lost: what was being made is given to those who
//! waited for it before, but not kept. A maker that panics or fails leaves nothing behind; the next
//! who asks tries again.
//!
//! What an attacker can grow: nothing; one value is kept.
//!
//! ```
//! use ironlight_hardening::lazy::Lazy;
//!
//! static NAME: Lazy<String> = Lazy::new();
//! assert_eq!(*NAME.get_or_init(|| "first".into()), "first");
//! assert_eq!(*NAME.get_or_init(|| "not made".into()), "first");
//! NAME.reset();
//! assert_eq!(*NAME.get_or_init(|| "second".into()), "second");
//! ```

mod asynchronous;
mod sync;

#[cfg(test)]
mod tests;

pub use asynchronous::AsyncLazy;
pub use sync::Lazy;
