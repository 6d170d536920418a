use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use super::*;
use crate::testing::Numbers;

fn set() -> FlagSet {
    FlagSet::new([
        Flag::kill_switch("kill", "Kills."),
        Flag::percentage("share", "Shares.", 10),
        Flag::variants("choice", "Chooses.", &[("red", 1), ("green", 1)]),
        Flag::config("text", "Says.", "hello"),
    ])
    .unwrap()
}

fn stored() -> (Flags, Arc<MemoryFlagStore>) {
    let store = Arc::new(MemoryFlagStore::default());
    (Flags::open(set(), Arc::<MemoryFlagStore>::clone(&store)).unwrap(), store)
}

fn rule(values: usize) -> Rule {
    let condition = Condition {
        attribute: "key".to_owned(),
        test: Test::OneOf,
        values: vec!["x".repeat(100); values],
    };
    Rule { conditions: vec![condition], serve: Serve::Switch(true) }
}

#[test]
fn names_and_settings_that_make_no_sense_are_refused() {
    for name in ["", "Upper", "with space", "\u{e9}t\u{e9}", &*"x".repeat(65).leak()] {
        let name: &'static str = name.to_owned().leak();
        let refused = FlagSet::new([Flag::boolean(name, "", true)]);
        assert!(matches!(refused, Err(FlagError::Name { .. })), "{name:?}");
    }
    let twice = FlagSet::new([Flag::boolean("a", "", true), Flag::kill_switch("a", "")]);
    assert!(matches!(twice, Err(FlagError::Name { .. })));
    let many =
        (0..=MAX_FLAGS).map(|number| Flag::boolean(format!("flag-{number}").leak(), "", true));
    assert!(matches!(FlagSet::new(many), Err(FlagError::TooMany { flags: 257 })));
    assert!(matches!(
        FlagSet::new([Flag::variants("empty", "", &[])]),
        Err(FlagError::Setting { .. })
    ));

    let (flags, store) = stored();
    let with_rules = |rules| Setting { rules, ..Setting::switch(true) };
    let refused = [
        ("kill", Setting::percent(10)),
        ("kill", with_rules(vec![rule(1)])),
        ("share", Setting::text("x")),
        ("share", with_rules(vec![rule(1); MAX_PARTS + 1])),
        ("share", with_rules(vec![rule(0)])),
        ("share", with_rules(vec![rule(MAX_PARTS + 1)])),
        ("share", with_rules(vec![rule(MAX_PARTS); 6])),
        ("choice", Setting::variants(&[("blue", 1)])),
        ("choice", Setting::variants(&[("red", 0)])),
        ("text", Setting::text(&"x".repeat(MAX_SETTING_BYTES))),
        ("text", Setting::text(&"x".repeat(70_000))),
    ];
    for (name, setting) in refused {
        let before = flags.status(name).unwrap().setting;
        let error = flags.set(name, setting.clone(), "test").unwrap_err();
        assert!(
            matches!(error, FlagError::Kind { .. } | FlagError::Setting { .. }),
            "{name}: {setting}: {error}"
        );
        assert_eq!(flags.status(name).unwrap().setting, before);
    }
    assert!(matches!(flags.switch("text"), Err(FlagError::Kind { .. })));
    assert!(matches!(flags.choice("nothing"), Err(FlagError::Unknown { .. })));
    assert_eq!(store.load().unwrap(), None, "nothing was saved");
    flags.set("share", with_rules(vec![rule(MAX_PARTS); 5]), "test").unwrap();
    flags.set("text", Setting::text(&"x".repeat(MAX_SETTING_BYTES - 4)), "test").unwrap();
    Flags::open(set(), store).unwrap();
}

#[test]
fn every_cut_and_every_changed_byte_is_refused_or_is_a_setting() {
    let (flags, store) = stored();
    let otherwise = Serve::Share(Share::percent(7));
    flags.set("share", Setting { rules: vec![rule(2)], otherwise }, "test").unwrap();
    flags.set("choice", Setting::variants(&[("green", 5), ("red", 2)]), "test").unwrap();
    flags.set("text", Setting::text("bye"), "test").unwrap();
    flags.turn("kill", false, "test").unwrap();
    let bytes = store.load().unwrap().unwrap();
    assert_eq!(codec::encode(&codec::decode(&bytes).unwrap()), bytes);
    for cut in 0..bytes.len() {
        assert!(codec::decode(&bytes[..cut]).is_err(), "{cut}");
    }
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << bit;
            if let Ok(settings) = codec::decode(&bytes) {
                assert_eq!(codec::encode(&settings), bytes, "only one form of anything");
            }
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(
        matches!(codec::decode(&longer), Err(FlagError::Unreadable { at }) if at == bytes.len())
    );
}

#[test]
fn random_bytes_are_never_more_than_refused() {
    let mut numbers = Numbers(3);
    for _ in 0..20_000 {
        let mut bytes = vec![1, 1, 0, 1, b'a'];
        bytes.extend((0..numbers.below(40)).map(|_| u8::try_from(numbers.below(6)).unwrap()));
        if let Ok(settings) = codec::decode(&bytes) {
            assert_eq!(codec::encode(&settings), bytes);
        }
    }
}

#[test]
fn what_is_stored_for_flags_of_another_version_stays() {
    let (flags, store) = stored();
    flags.turn("kill", false, "test").unwrap();
    let older = FlagSet::new([Flag::config("text", "", "hello")]).unwrap();
    let older = Flags::open(older, Arc::<MemoryFlagStore>::clone(&store)).unwrap();
    older.set("text", Setting::text("bye"), "test").unwrap();
    let again = Flags::open(set(), Arc::<MemoryFlagStore>::clone(&store)).unwrap();
    assert!(!again.switch("kill").unwrap().is_on());
    assert_eq!(&*again.config("text").unwrap().text(), "bye");
    // Where a flag has become another kind, what is stored for it means nothing.
    let other = FlagSet::new([Flag::config("kill", "", "hello")]).unwrap();
    let other = Flags::open(other, store).unwrap();
    assert_eq!(&*other.config("kill").unwrap().text(), "hello");
}

#[test]
fn what_another_process_saved_is_taken_over_live() {
    let (one, store) = stored();
    let other = Flags::open(set(), store).unwrap();
    let held = other.switch("kill").unwrap();
    one.turn("kill", false, "one").unwrap();
    assert!(held.is_on());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    other.on_flip(Arc::new(move |flip| hears.lock().unwrap().push(flip.clone()))).unwrap();
    assert_eq!(other.reload("file watcher").unwrap(), 1);
    assert_eq!(other.reload("file watcher").unwrap(), 0);
    assert!(!held.is_on());
    let flips = heard.lock().unwrap();
    assert_eq!((flips[0].name, flips[0].by.as_str(), flips[0].number), ("kill", "file watcher", 1));
}

#[test]
fn a_listener_may_panic_and_may_flip_and_there_are_so_many() {
    let (flags, _store) = stored();
    flags.on_flip(Arc::new(|_| panic!("a listener's own trouble"))).unwrap();
    let own = flags.clone();
    let follow = move |flip: &Flip| {
        if flip.name == "kill" {
            own.set("text", Setting::text("killed"), "listener").unwrap();
        }
    };
    flags.on_flip(Arc::new(follow)).unwrap();
    assert!(flags.turn("kill", false, &"x".repeat(1000)).unwrap());
    assert_eq!(&*flags.config("text").unwrap().text(), "killed");
    assert_eq!(flags.listener_panics(), 2);
    for _ in 2..MAX_LISTENERS {
        flags.on_flip(Arc::new(|flip| assert!(flip.by.len() <= 128))).unwrap();
    }
    assert!(matches!(flags.on_flip(Arc::new(|_| ())), Err(FlagError::Listeners)));
    flags.turn("kill", true, &"x".repeat(1000)).unwrap();
    // Two flips more, and only the first listener panics.
    assert_eq!(flags.listener_panics(), 3);
}

#[test]
fn flips_from_many_threads_are_numbered_and_the_last_one_is_what_is_saved() {
    let (flags, store) = stored();
    let (flips, sum) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counts, sums) = (Arc::clone(&flips), Arc::clone(&sum));
    let listener = move |flip: &Flip| {
        counts.fetch_add(1, Ordering::Relaxed);
        sums.fetch_add(flip.number, Ordering::Relaxed);
    };
    flags.on_flip(Arc::new(listener)).unwrap();
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (flags, barrier) = (&flags, &barrier);
            scope.spawn(move || {
                let mut numbers = Numbers(thread);
                barrier.wait();
                for _ in 0..200 {
                    flags.turn("kill", numbers.below(2) == 0, "test").unwrap();
                }
            });
        }
    });
    let count = flips.load(Ordering::Relaxed);
    assert!(count > 0 && sum.load(Ordering::Relaxed) == count * (count + 1) / 2);
    let again = Flags::open(set(), store).unwrap();
    let is_on = flags.switch("kill").unwrap().is_on();
    assert_eq!(again.switch("kill").unwrap().is_on(), is_on);
}

#[test]
fn what_cannot_be_read_is_an_error_and_is_replaced_when_one_goes_on_without() {
    let store = Arc::new(MemoryFlagStore::default());
    store.save(b"\x02\0\0").unwrap();
    let kept = || Arc::<MemoryFlagStore>::clone(&store);
    assert!(matches!(Flags::open(set(), kept()), Err(FlagError::Unreadable { .. })));
    let flags = Flags::unread(set(), kept());
    assert!(!flags.turn("kill", true, "test").unwrap(), "it is on as declared");
    Flags::open(set(), kept()).unwrap();
}

#[test]
fn only_what_differs_from_its_declaration_is_stored() {
    let (flags, store) = stored();
    flags.turn("kill", false, "test").unwrap();
    assert_eq!(store.load().unwrap().unwrap(), b"\x01\x01\0\x04kill\x02\0\0\0\0\0");
    flags.reset("kill", "test").unwrap();
    assert_eq!(store.load().unwrap().unwrap(), b"\x01\0\0");
}

#[test]
fn a_name_that_is_there_twice_and_parts_over_the_bound_are_unreadable() {
    let twice = b"\x01\x02\0\x01a\x02\0\0\0\0\0\x01a\x02\0\0\0\0\0";
    assert!(codec::decode(twice).is_err());
    let in_order = b"\x01\x02\0\x01a\x02\0\0\0\0\0\x01b\x02\0\0\0\0\0";
    assert_eq!(codec::decode(in_order).unwrap().len(), 2);
    // Rules without conditions that serve "off": two bytes each.
    let with_rules = |rules: u8| {
        let setting = [&[0, rules][..], &[0; 2].repeat(rules.into())].concat();
        let length = u32::try_from(setting.len()).unwrap().to_le_bytes();
        [b"\x01\x01\0\x01a", &length[..], &setting].concat()
    };
    assert!(codec::decode(&with_rules(32)).is_ok());
    assert!(codec::decode(&with_rules(33)).is_err());
}
