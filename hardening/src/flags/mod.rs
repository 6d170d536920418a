//! Switches that an operator flips while the program runs: kill switches, boolean flags, shares of
//! all targets, weighted variants and texts, with rules for whom they hold.
//!
//! Purpose: turn a part of a running program off, or on for some, and know afterwards who did it.
//! Flags are declared in code, as a [`FlagSet`]; a name that is not declared is refused, and the
//! error says which there are. [`Flags`] holds what they are set to. Code that is to be switched
//! holds a [`Switch`], a [`Choice`] or a [`Config`]: it follows every flip at once, and asking a
//! switch without rules is one atomic load.
//!
//! Settings are kept in a [`FlagStore`], in the format below. A setting is saved before it holds,
//! with one exception: a kill switch goes off even where that cannot be saved. Every flip is shown
//! to the listeners of [`Flags::on_flip`], with who did it and the flip's number, so that it can be
//! audited.
//!
//! Who gets what is sticky: it follows from a hash of the flag's name and the target's key, the
//! same in every process and every version. A share that grows keeps those who are in. The hash
//! has no secret: who may choose a key may choose a side.
//!
//! What an attacker can grow: nothing; only whoever may flip flags can. For them the bounds are
//! [`MAX_FLAGS`] flags with settings of [`MAX_SETTING_BYTES`] each, and [`MAX_LISTENERS`]
//! listeners.
//!
//! ```
//! use ironlight_hardening::flags::{Flag, FlagSet, Flags, Setting, Target};
//!
//! let set = FlagSet::new([
//!     Flag::kill_switch("serving", "Answers to clients."),
//!     Flag::percentage("new_parser", "The new parser, for some.", 0),
//! ])?;
//! let flags = Flags::new(set);
//! let (serving, parser) = (flags.switch("serving")?, flags.switch("new_parser")?);
//! assert!(serving.is_on());
//!
//! flags.turn("serving", false, "operator")?;
//! flags.set("new_parser", Setting::percent(25), "operator")?;
//! assert!(!serving.is_on());
//! let chosen = (0..1000).filter(|id| parser.is_on_for(&Target::new(&id.to_string()))).count();
//! assert!((200..300).contains(&chosen));
//!
//! let error = flags.turn("servng", true, "operator").unwrap_err();
//! assert_eq!(error.to_string(), "no flag \"servng\": there are serving, new_parser");
//! # Ok::<(), ironlight_hardening::flags::FlagError>(())
//! ```
//!
//! # What a store keeps
//!
//! Numbers are little-endian. Only flags that are not as declared are there, in the order of their
//! names:
//!
//! ```text
//! settings  = version 0x01 | count u16 | entry ...
//! entry     = name length u8 | name | setting length u32 | setting
//! setting   = serve | rules u8 | rule ...
//! rule      = conditions u8 | condition ... | serve
//! condition = attribute text | test u8 | values u8 | text ...
//! test      = 0 one of, 1 none of, 2 starts with one of, 3 ends with one of
//! serve     = 0 off | 1 on | 2, share u16 of 10,000 | 3, variants u8, (text, weight u32) ... | 4, text
//! text      = length u16 | UTF-8
//! ```
//!
//! Settings of flags that are not declared stay in the store, for the version that declares them.

mod codec;
mod declare;
mod error;
mod handle;
#[cfg(test)]
mod model_tests;
mod registry;
mod setting;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use declare::{Flag, FlagKind, FlagSet};
pub use error::FlagError;
pub use handle::{Choice, Config, Switch};
pub use registry::{FlagStatus, Flags, Flip, FlipListener};
pub use setting::{Condition, Rule, Serve, Setting, Share, Target, Test, Variant};
pub use store::{FlagStore, MemoryFlagStore, StoreFailure};

/// Flags in a set, and settings in a store.
pub const MAX_FLAGS: usize = 256;
/// Bytes of a flag's name: lower-case letters, digits, `_`, `-` and `.`.
pub const MAX_NAME_BYTES: usize = 64;
/// Bytes of a setting, encoded.
pub const MAX_SETTING_BYTES: usize = 16 * 1024;
/// Rules, conditions of a rule, values of a condition, and variants.
pub const MAX_PARTS: usize = 32;
/// Listeners of one set of flags.
pub const MAX_LISTENERS: usize = 16;
