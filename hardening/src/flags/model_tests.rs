//! All flags against a table of settings that is asked the slow way, on random operations.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::{
    Choice, Condition, Config, Flag, FlagError, FlagKind, FlagSet, FlagStore, Flags, Flip,
    MemoryFlagStore, Rule, Serve, Setting, Share, StoreFailure, Switch, Target, Test, Variant,
};
use crate::testing::Numbers;

const SWITCHES: [&str; 3] = ["kill", "bool", "share"];
const NAMES: [&str; 5] = ["kill", "bool", "share", "choice", "text"];
const VARIANTS: [&str; 3] = ["red", "green", "blue"];
const WORDS: [&str; 4] = ["", "a", "ab", "ba"];

/// Fails when told to.
#[derive(Default)]
struct Fragile {
    inner: MemoryFlagStore,
    broken: AtomicBool,
}

impl FlagStore for Fragile {
    fn load(&self) -> Result<Option<Vec<u8>>, StoreFailure> {
        self.inner.load()
    }

    fn save(&self, settings: &[u8]) -> Result<(), StoreFailure> {
        if self.broken.load(Ordering::Relaxed) {
            return Err("the disk is full".into());
        }
        self.inner.save(settings)
    }
}

fn declared() -> FlagSet {
    FlagSet::new([
        Flag::kill_switch("kill", ""),
        Flag::boolean("bool", "", false),
        Flag::percentage("share", "", 50),
        Flag::variants("choice", "", &[("red", 1), ("green", 1), ("blue", 0)]),
        Flag::config("text", "", "a"),
    ])
    .unwrap()
}

/// What should be: settings that hold, and those that a restart would find.
struct Model {
    now: BTreeMap<&'static str, Setting>,
    saved: BTreeMap<&'static str, Setting>,
    flips: Vec<(String, Setting, Setting)>,
}

impl Model {
    fn new() -> Self {
        let now: BTreeMap<_, _> =
            declared().iter().map(|flag| (flag.name(), flag.default_setting().clone())).collect();
        Self { saved: now.clone(), now, flips: Vec::new() }
    }

    fn set(&mut self, name: &'static str, setting: &Setting, works: bool) -> bool {
        let kills = name == "kill" && setting.otherwise == Serve::Switch(false);
        let is_new = self.now[name] != *setting;
        if is_new && (works || kills) {
            let before = self.now.insert(name, setting.clone()).unwrap();
            self.flips.push((name.to_owned(), before, setting.clone()));
        }
        if works {
            self.saved = self.now.clone();
        }
        is_new
    }

    /// The bits of a place, computed one byte after the other.
    fn place(name: &str, purpose: char, key: &str) -> u128 {
        let mut hash: u64 = 0xcbf29ce484222325;
        for byte in format!("{name}\0{purpose}{key}").into_bytes() {
            hash ^= u64::from(byte);
            hash = hash.wrapping_mul(1_099_511_628_211);
        }
        for (shift, factor) in [(30, 0xbf58476d1ce4e5b9_u64), (27, 0x94d049bb133111eb), (31, 1)] {
            hash = (hash ^ (hash >> shift)).wrapping_mul(factor);
        }
        u128::from(hash)
    }

    fn serve(&self, name: &str, target: &Target<'_>) -> &Serve {
        let setting = &self.now[name];
        for rule in &setting.rules {
            let mut met = 0;
            for Condition { attribute, test, values } in &rule.conditions {
                let found = match attribute.as_str() {
                    "key" => Some(target.key),
                    "team" => target.attributes.first().map(|(_, value)| *value),
                    _ => None,
                };
                let any = |compare: fn(&str, &str) -> bool| {
                    found.is_some_and(|found| values.iter().any(|value| compare(found, value)))
                };
                met += usize::from(match test {
                    Test::OneOf => any(|found, value| found == value),
                    Test::NoneOf => !any(|found, value| found == value),
                    Test::StartsWith => any(|found, value| found.find(value) == Some(0)),
                    Test::EndsWith => any(|found, value| found.strip_suffix(value).is_some()),
                });
            }
            if met == rule.conditions.len() {
                return &rule.serve;
            }
        }
        &setting.otherwise
    }

    fn is_on(&self, name: &str, target: &Target<'_>) -> bool {
        match self.serve(name, target) {
            Serve::Switch(on) => *on,
            Serve::Share(share) => {
                let place = Self::place(name, '%', target.key);
                place * 10_000 < u128::from(share.parts()) << 64
            }
            Serve::Variants(_) | Serve::Text(_) => panic!("no switch"),
        }
    }

    fn variant(&self, target: &Target<'_>) -> String {
        let Serve::Variants(variants) = self.serve("choice", target) else { panic!("variants") };
        let total: u128 = variants.iter().map(|variant| u128::from(variant.weight)).sum();
        let place = Self::place("choice", 'v', target.key);
        let mut sum = 0;
        for Variant { name, weight } in variants {
            sum += u128::from(*weight);
            if place * total < sum << 64 {
                return name.clone();
            }
        }
        panic!("no variant")
    }
}

fn pick<T: Copy>(numbers: &mut Numbers, from: &[T]) -> T {
    from[usize::try_from(numbers.below(from.len() as u64)).unwrap()]
}

fn random_serve(numbers: &mut Numbers, name: &str) -> Serve {
    match name {
        "share" if numbers.below(3) > 0 => {
            Serve::Share(Share::of_10_000(u16::try_from(numbers.below(10_001)).unwrap()))
        }
        "kill" | "bool" | "share" => Serve::Switch(numbers.below(2) == 0),
        "choice" => {
            let weight = |name: &&str| Variant {
                name: (*name).to_owned(),
                weight: u32::try_from(numbers.below(5)).unwrap() * 800_000_000,
            };
            let mut variants: Vec<Variant> = VARIANTS.iter().map(weight).collect();
            variants[0].weight += 1;
            Serve::Variants(variants)
        }
        _ => Serve::Text(pick(numbers, &WORDS).into()),
    }
}

fn random_setting(numbers: &mut Numbers, name: &str) -> Setting {
    let rules = if name == "kill" { 0 } else { numbers.below(3) };
    let rule = |numbers: &mut Numbers| {
        let condition = |numbers: &mut Numbers| Condition {
            attribute: pick(numbers, &["key", "team", "none"]).to_owned(),
            test: pick(numbers, &[Test::OneOf, Test::NoneOf, Test::StartsWith, Test::EndsWith]),
            values: (0..=numbers.below(2)).map(|_| pick(numbers, &WORDS).to_owned()).collect(),
        };
        let conditions = (0..numbers.below(3)).map(|_| condition(numbers)).collect();
        Rule { conditions, serve: random_serve(numbers, name) }
    };
    let rules = (0..rules).map(|_| rule(numbers)).collect();
    Setting { rules, otherwise: random_serve(numbers, name) }
}

struct Run {
    store: Arc<Fragile>,
    flags: Flags,
    switches: Vec<Switch>,
    choice: Choice,
    text: Config,
    heard: Arc<Mutex<Vec<Flip>>>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let store = Arc::new(Fragile::default());
        let flags = Flags::open(declared(), Arc::<Fragile>::clone(&store)).unwrap();
        let heard = Arc::default();
        let mut run = Self {
            switches: Vec::new(),
            choice: flags.choice("choice").unwrap(),
            text: flags.config("text").unwrap(),
            store,
            flags,
            heard,
            model: Model::new(),
        };
        run.restart();
        run
    }

    fn restart(&mut self) {
        self.flags = Flags::open(declared(), Arc::<Fragile>::clone(&self.store)).unwrap();
        self.switches = SWITCHES.map(|name| self.flags.switch(name).unwrap()).to_vec();
        self.choice = self.flags.choice("choice").unwrap();
        self.text = self.flags.config("text").unwrap();
        self.model.now = self.model.saved.clone();
        let heard = Arc::clone(&self.heard);
        let listener = move |flip: &Flip| heard.lock().unwrap().push(flip.clone());
        self.flags.on_flip(Arc::new(listener)).unwrap();
    }

    fn set(&mut self, numbers: &mut Numbers) {
        let name = pick(numbers, &NAMES);
        let default = || declared().iter().find(|flag| flag.name() == name).unwrap().clone();
        let (setting, done) = if numbers.below(5) == 0 {
            (default().default_setting().clone(), self.flags.reset(name, "model"))
        } else {
            let setting = random_setting(numbers, name);
            (setting.clone(), self.flags.set(name, setting, "model"))
        };
        let works = !self.store.broken.load(Ordering::Relaxed);
        let is_new = self.model.set(name, &setting, works);
        match done {
            Ok(changed) => assert_eq!(changed, is_new),
            Err(FlagError::NotSaved { in_force, .. }) => {
                assert!(!works);
                assert_eq!(in_force, name == "kill" && setting == Setting::switch(false));
            }
            Err(other) => panic!("{other}"),
        }
        let flips = self.heard.lock().unwrap();
        assert_eq!(flips.len(), self.model.flips.len());
        if let (Some(flip), Some((name, before, after))) = (flips.last(), self.model.flips.last()) {
            assert_eq!((flip.name, &*flip.before, &*flip.after), (name.as_str(), before, after));
        }
    }

    fn ask(&self, numbers: &mut Numbers) {
        let key = format!("{}{}", pick(numbers, &WORDS), numbers.below(50));
        let key = if numbers.below(4) == 0 { pick(numbers, &WORDS) } else { key.as_str() };
        let attributes = [("team", pick(numbers, &WORDS))];
        let known = usize::try_from(numbers.below(2)).unwrap();
        let target = Target { key, attributes: &attributes[..known] };
        for (name, switch) in SWITCHES.iter().zip(&self.switches) {
            assert_eq!(switch.is_on_for(&target), self.model.is_on(name, &target), "{name}");
            let Setting { rules, otherwise } = &self.model.now[name];
            let for_all =
                *otherwise == Serve::Switch(true) || *otherwise == Serve::Share(Share::ALL);
            assert_eq!(switch.is_on(), for_all && rules.is_empty(), "{name}");
        }
        assert_eq!(self.choice.variant_for(&target), self.model.variant(&target));
        let Serve::Text(text) = self.model.serve("text", &target) else { panic!("a text") };
        assert_eq!(self.text.text_for(&target), *text);
    }
}

#[test]
fn flags_do_as_the_model_does() {
    let mut operations = 0;
    for seed in 0..100 {
        let mut numbers = Numbers(seed);
        let mut run = Run::new();
        for _ in 0..1100 {
            match numbers.below(100) {
                0 => run.restart(),
                1..=3 => {
                    run.store.broken.fetch_xor(true, Ordering::Relaxed);
                }
                4..=40 => run.set(&mut numbers),
                _ => run.ask(&mut numbers),
            }
            operations += 1;
        }
    }
    assert!(operations >= 100_000);
}

#[test]
fn every_kind_of_flag_is_in_the_model() {
    let kinds: Vec<FlagKind> = declared().iter().map(Flag::kind).collect();
    let all = [
        FlagKind::KillSwitch,
        FlagKind::Boolean,
        FlagKind::Percentage,
        FlagKind::Variant,
        FlagKind::Config,
    ];
    assert_eq!(kinds, all);
}
