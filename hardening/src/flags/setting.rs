//! What a flag is set to, and whom it is asked for.

use std::sync::Arc;

/// Whom a flag is asked for: a key that stays the same, and what rules may ask about.
///
/// ```
/// use ironlight_hardening::flags::Target;
///
/// let target = Target { key: "client 7", attributes: &[("country", "CH")] };
/// assert_eq!(target.attribute("country"), Some("CH"));
/// assert_eq!(target.attribute("key"), Some("client 7"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Decides which side it gets where a flag has several. Rules see it as the attribute `key`.
    pub key: &'a str,
    /// Names and values.
    pub attributes: &'a [(&'a str, &'a str)],
}

impl<'a> Target<'a> {
    /// A target without attributes.
    #[must_use]
    pub const fn new(key: &'a str) -> Self {
        Self { key, attributes: &[] }
    }

    /// An attribute's value; the first one where there are several of the name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        if name == "key" {
            return Some(self.key);
        }
        self.attributes.iter().find(|(its, _)| *its == name).map(|(_, value)| *value)
    }
}

/// A share of all targets, in parts of 10,000.
///
/// ```
/// use ironlight_hardening::flags::Share;
///
/// assert_eq!(Share::percent(25), Share::of_10_000(2_500));
/// assert_eq!(Share::ALL.parts(), 10_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// Everybody.
    pub const ALL: Self = Self(10_000);

    /// So many percent; more than 100 are 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        Self::of_10_000(100 * if percent > 100 { 100 } else { percent as u16 })
    }

    /// So many of 10,000; more are all.
    #[must_use]
    pub const fn of_10_000(parts: u16) -> Self {
        if parts > Self::ALL.0 { Self::ALL } else { Self(parts) }
    }

    /// How many of 10,000.
    #[must_use]
    pub const fn parts(self) -> u16 {
        self.0
    }
}

/// One of several ways, and how often it is taken: its weight of the sum of all.
///
/// ```
/// use ironlight_hardening::flags::{Serve, Setting, Variant};
///
/// let red = Variant { name: "red".into(), weight: 1 };
/// assert_eq!(Setting::variants(&[("red", 1)]), Setting::all(Serve::Variants(vec![red])));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name; the flag's declaration has it.
    pub name: String,
    /// Its weight; 0 for never.
    pub weight: u32,
}

/// What a flag gives.
///
/// See [`Rule`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serve {
    /// On or off: kill switches, boolean flags and percentages.
    Switch(bool),
    /// On for a share of all targets: percentages.
    Share(Share),
    /// One of several.
    Variants(Vec<Variant>),
    /// A text.
    Text(Arc<str>),
}

/// How an attribute is compared with the values of a condition.
///
/// See [`Rule`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is one of them.
    OneOf,
    /// It is none of them; a target without the attribute passes.
    NoneOf,
    /// It starts with one of them.
    StartsWith,
    /// It ends with one of them.
    EndsWith,
}

/// What a rule asks of a target.
///
/// See [`Rule`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The attribute's name; `key` for the target's key.
    pub attribute: String,
    /// How it is compared.
    pub test: Test,
    /// With what.
    pub values: Vec<String>,
}

/// Gives something of its own to targets that meet all its conditions.
///
/// ```
/// use ironlight_hardening::flags::{
///     Condition, Flag, FlagSet, Flags, Rule, Serve, Setting, Target, Test,
/// };
///
/// let flags = Flags::new(FlagSet::new([Flag::boolean("beta", "New things.", false)]).unwrap());
/// let ours = Condition {
///     attribute: "mail".into(),
///     test: Test::EndsWith,
///     values: vec!["@example.com".into()],
/// };
/// let rules = vec![Rule { conditions: vec![ours], serve: Serve::Switch(true) }];
/// let setting = Setting { rules, otherwise: Serve::Switch(false) };
/// flags.set("beta", setting, "operator").unwrap();
/// let alice = Target { key: "alice", attributes: &[("mail", "alice@example.com")] };
/// let beta = flags.switch("beta").unwrap();
/// assert!(beta.is_on_for(&alice) && !beta.is_on_for(&Target::new("bob")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All have to be met; without any, everybody meets them.
    pub conditions: Vec<Condition>,
    /// What those get.
    pub serve: Serve,
}

/// What a flag is set to: the first rule that fits a target counts, else what is given to all.
///
/// ```
/// use ironlight_hardening::flags::{Condition, Rule, Serve, Setting, Test};
///
/// let condition = Condition {
///     attribute: "country".to_owned(),
///     test: Test::OneOf,
///     values: vec!["CH".to_owned()],
/// };
/// // On in Switzerland, and for ten percent of all others.
/// let rule = Rule { conditions: vec![condition], serve: Serve::Switch(true) };
/// let setting = Setting { rules: vec![rule], ..Setting::percent(10) };
/// assert_eq!(setting.to_string(), "10.00 % of all, 1 rules");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Asked in this order.
    pub rules: Vec<Rule>,
    /// For all whom no rule fits.
    pub otherwise: Serve,
}

impl Setting {
    /// The same for all.
    #[must_use]
    pub const fn all(otherwise: Serve) -> Self {
        Self { rules: Vec::new(), otherwise }
    }

    /// On or off for all.
    #[must_use]
    pub const fn switch(on: bool) -> Self {
        Self::all(Serve::Switch(on))
    }

    /// On for so many percent of all; more than 100 are 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        Self::all(Serve::Share(Share::percent(percent)))
    }

    /// Variants with their weights, for all.
    #[must_use]
    pub fn variants(weights: &[(&str, u32)]) -> Self {
        let variant = |&(name, weight): &(&str, u32)| Variant { name: name.to_owned(), weight };
        Self::all(Serve::Variants(weights.iter().map(variant).collect()))
    }

    /// A text, for all.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::all(Serve::Text(text.into()))
    }

    /// Everything that it may give.
    pub(super) fn serves(&self) -> impl Iterator<Item = &Serve> {
        self.rules.iter().map(|rule| &rule.serve).chain([&self.otherwise])
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.otherwise {
            Serve::Switch(on) => f.write_str(if *on { "on" } else { "off" })?,
            Serve::Share(share) => {
                write!(f, "{}.{:02} % of all", share.0 / 100, share.0 % 100)?;
            }
            Serve::Variants(variants) => {
                for (place, Variant { name, weight }) in variants.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{name} {weight}")?;
                }
            }
            Serve::Text(text) => write!(f, "{text:?}")?,
        }
        match self.rules.len() {
            0 => Ok(()),
            rules => write!(f, ", {rules} rules"),
        }
    }
}
