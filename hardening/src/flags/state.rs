//! Who gets what: pure, and the same wherever it is asked.

use super::setting::{Condition, Rule, Serve, Setting, Share, Target, Test, Variant};

/// What the hash is drawn for, so that one draw says nothing about another.
const FOR_SHARE: u8 = b'%';
const FOR_VARIANT: u8 = b'v';

/// Where a target lies among all targets of a flag: FNV-1a of flag, 0, purpose and key, mixed as
/// SplitMix64 does.
fn place(flag: &str, purpose: u8, key: &str) -> u64 {
    let bytes = flag.bytes().chain([0, purpose]).chain(key.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A place as a number below `end`, evenly.
fn scaled(place: u64, end: u64) -> u64 {
    u64::try_from((u128::from(place) * u128::from(end)) >> 64).unwrap_or(u64::MAX)
}

/// Whether a target is in the share of a flag.
pub(super) fn is_in(flag: &str, share: Share, target: &Target<'_>) -> bool {
    scaled(place(flag, FOR_SHARE, target.key), Share::ALL.parts().into()) < share.parts().into()
}

/// The variant of a target; none where all weights are 0.
pub(super) fn pick<'s>(
    flag: &str,
    variants: &'s [Variant],
    target: &Target<'_>,
) -> Option<&'s Variant> {
    let total: u64 = variants.iter().map(|variant| u64::from(variant.weight)).sum();
    let mut left = scaled(place(flag, FOR_VARIANT, target.key), total);
    variants.iter().find(|variant| {
        let weight = u64::from(variant.weight);
        let found = left < weight;
        left = left.saturating_sub(weight);
        found
    })
}

/// What a setting gives to a target.
pub(super) fn served<'s>(setting: &'s Setting, target: &Target<'_>) -> &'s Serve {
    let rule = setting.rules.iter().find(|rule| fits(rule, target));
    rule.map_or(&setting.otherwise, |rule| &rule.serve)
}

/// Whether a switch is on for a target.
pub(super) fn is_on(flag: &str, setting: &Setting, target: &Target<'_>) -> bool {
    match served(setting, target) {
        Serve::Switch(on) => *on,
        Serve::Share(share) => is_in(flag, *share, target),
        Serve::Variants(_) | Serve::Text(_) => false,
    }
}

fn fits(rule: &Rule, target: &Target<'_>) -> bool {
    rule.conditions.iter().all(|condition| meets(condition, target))
}

fn meets(condition: &Condition, target: &Target<'_>) -> bool {
    let Condition { attribute, test, values } = condition;
    let Some(found) = target.attribute(attribute) else { return *test == Test::NoneOf };
    let mut values = values.iter().map(String::as_str);
    match test {
        Test::OneOf => values.any(|value| found == value),
        Test::NoneOf => values.all(|value| found != value),
        Test::StartsWith => values.any(|value| found.starts_with(value)),
        Test::EndsWith => values.any(|value| found.ends_with(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_for_ever() {
        // Computed from the definition by another program.
        assert_eq!(place("serving", FOR_SHARE, "client 7"), 0x0b1d_2604_7e61_0322);
        assert_ne!(place("serving", FOR_SHARE, "7"), place("serving", FOR_VARIANT, "7"));
        assert_ne!(place("a", FOR_SHARE, "b"), place("b", FOR_SHARE, "a"));
    }

    /// Of 100,000 targets each per mille of a share holds about as many.
    #[test]
    fn shares_are_even_grow_without_losing_anyone_and_differ_between_flags() {
        let keys: Vec<String> = (0..100_000).map(|key| format!("client {key}")).collect();
        let chosen = |flag: &str, parts: u16| -> Vec<bool> {
            let share = Share::of_10_000(parts);
            keys.iter().map(|key| is_in(flag, share, &Target::new(key))).collect()
        };
        let count = |chosen: &[bool]| chosen.iter().filter(|chosen| **chosen).count();
        let mut before = chosen("flag", 0);
        assert_eq!(count(&before), 0);
        for parts in [1, 500, 2500, 5000, 9999, 10_000] {
            let now = chosen("flag", parts);
            assert!(before.iter().zip(&now).all(|(before, now)| *now || !before));
            let expected = usize::from(parts) * 10;
            let error = count(&now).abs_diff(expected);
            // Five standard deviations of a binomial distribution, at their largest.
            assert!(error < 800, "{parts}: {error}");
            before = now;
        }
        assert_eq!(count(&before), 100_000);
        let (one, other) = (chosen("one", 5000), chosen("other", 5000));
        let both = one.iter().zip(&other).filter(|(one, other)| **one && **other).count();
        assert!(both.abs_diff(25_000) < 800, "{both}");
    }

    #[test]
    fn variants_come_as_often_as_they_weigh() {
        let setting = Setting::variants(&[("a", 1), ("b", 0), ("c", 3)]);
        let Serve::Variants(variants) = setting.otherwise else { panic!("variants") };
        let mut counts = [0_usize; 3];
        for key in 0..40_000 {
            let key = key.to_string();
            let picked = pick("flag", &variants, &Target::new(&key)).unwrap();
            let place = variants.iter().position(|variant| variant == picked).unwrap();
            counts[place] += 1;
        }
        assert!(counts[0].abs_diff(10_000) < 450 && counts[1] == 0, "{counts:?}");
        assert!(pick("flag", &[], &Target::new("x")).is_none());
    }
}
