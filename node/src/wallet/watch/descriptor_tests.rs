use super::*;
use crate::wallet::testing::{NETWORK, TPUB};
use crate::wallet::watch::{TargetView, WatchTarget};

/// BIP84's test vector: account 0.
const XPUB_84: &str = "xpub6CatWdiZiodmUeTDp8LT5or8nmbKNcuyvz7WyksVFkKB4RHwCD3XyuvPEbvqAQY3rAPshWcMLoP2fMFMKHPJ4ZeZXYVUhLv1VMrjPC7PW6V";
/// BIP32's first test vector.
const XPRV: &str = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
const WIF: &str = "L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ";

fn refused(text: &str) -> WatchError {
    WatchTarget::descriptor(text, NETWORK).unwrap_err()
}

#[test]
fn a_range_derives_what_its_bip_says() {
    let text = format!("wpkh([73c5da0a/84h/0h/0h]{XPUB_84}/<0;1>/*)");
    let descriptor = WatchedDescriptor::parse(&text, Network::Mainnet).unwrap();
    assert!(descriptor.is_ranged());
    assert_eq!(descriptor.keychains(), 2);
    let address = |keychain, index| {
        let scripts = descriptor.derive(keychain, index, index + 1).unwrap();
        bitcoin::Address::from_script(&scripts[0], bitcoin::Network::Bitcoin).unwrap().to_string()
    };
    // BIP84, "Test vectors".
    assert_eq!(address(0, 0), "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu");
    assert_eq!(address(0, 1), "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g");
    assert_eq!(address(1, 0), "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el");
    let last = 0x7fff_ffff;
    assert_eq!(descriptor.derive(0, last, last + 1).unwrap().len(), 1);
}

#[test]
fn one_that_is_not_ranged_has_one_script() {
    let text = format!("wpkh({TPUB}/0/7)");
    let descriptor = WatchedDescriptor::parse(&text, NETWORK).unwrap();
    assert!(!descriptor.is_ranged());
    assert_eq!(descriptor.derive(0, 0, 50).unwrap().len(), 1);
    let key = "02e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13";
    for text in [format!("pkh({key})"), format!("tr({})", key.split_at(2).1), format!("pk({key})")]
    {
        assert_eq!(
            WatchedDescriptor::parse(&text, NETWORK).unwrap().derive(0, 0, 1).unwrap().len(),
            1
        );
    }
}

#[test]
fn the_checksum_is_checked_where_there_is_one() {
    let bare = format!("wpkh({TPUB}/0/*)");
    let target = WatchTarget::descriptor(&bare, NETWORK).unwrap();
    let TargetView::Descriptor { text, ranged: true } = target.view() else { panic!("{target:?}") };
    let checksum = text.split_once('#').unwrap().1;
    assert_eq!(WatchTarget::descriptor(text, NETWORK).unwrap(), target);
    let mistyped = text.replace("/0/*", "/1/*");
    let refusal = refused(&mistyped);
    assert!(
        matches!(&refusal, WatchError::Checksum { found, expected } if found == checksum && expected != found),
        "{refusal}"
    );
    assert!(matches!(refused(&format!("{bare}#")), WatchError::Checksum { .. }));
    assert!(matches!(refused(&format!("{bare}#\u{e9}")), WatchError::Descriptor { .. }));
}

#[test]
fn private_keys_are_refused_and_never_repeated() {
    let tprv = XPRV.replace("xprv", "tprv");
    let mistyped = WIF.replace("ENZ", "ENY");
    let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                 abandon about";
    for (text, secret) in [
        (format!("wpkh({XPRV}/84h/0h/0h/0/*)"), XPRV),
        (format!("wpkh({tprv}/*)"), tprv.as_str()),
        (format!("wpkh({})", XPRV.to_uppercase()), &XPRV.to_uppercase()),
        (format!("wpkh({WIF})"), WIF),
        (format!("wpkh({mistyped})"), mistyped.as_str()),
        (format!("wsh(multi(1,{TPUB},{WIF}))"), WIF),
        (XPRV.to_owned(), XPRV),
        (words.to_owned(), "abandon"),
    ] {
        let refusal = refused(&text);
        assert_eq!(refusal, WatchError::PrivateKey, "{text}");
        let said = format!("{refusal} {refusal:?}");
        assert!(!said.contains(secret.split_at(7).0), "{said}");
        assert!(said.contains("private key"));
    }
}

#[test]
fn no_message_repeats_a_long_word() {
    // A private key that does not look like one, because something is glued to it.
    for text in [format!("wpkh(q{WIF}q)"), format!("q{WIF}()"), format!("wpkh(#{WIF})")] {
        let refusal = refused(&text);
        let said = format!("{refusal} {refusal:?}");
        assert!(!said.contains(WIF.split_at(9).0.split_at(1).1), "{said}");
    }
}

#[test]
fn keys_of_another_network_are_refused() {
    let text = format!("wpkh({XPUB_84}/0/*)");
    let refusal = refused(&text);
    assert!(matches!(refusal, WatchError::DescriptorNetwork { network: NETWORK, .. }));
    assert_eq!(
        refusal.to_string(),
        "the descriptor has keys of mainnet (xpub), regtest needs those of test networks (tpub)"
    );
    let mixed = format!("wsh(multi(1,{TPUB}/*,{XPUB_84}/*))");
    assert!(matches!(refused(&mixed), WatchError::DescriptorNetwork { .. }));
    assert!(WatchTarget::descriptor(&mixed, Network::Mainnet).is_err());
}

#[test]
fn hardened_steps_behind_a_public_key_are_refused() {
    for (text, at) in [
        (format!("wpkh({TPUB}/0h/*)"), "its path"),
        (format!("wpkh({TPUB}/0/*h)"), "its `*`"),
        (format!("wpkh({TPUB}/<0;1h>/*)"), "its path"),
    ] {
        assert_eq!(refused(&text), WatchError::Hardened { at }, "{text}");
    }
}

#[test]
fn a_key_at_the_deepest_level_does_not_panic() {
    let mut key: Xpub = TPUB.parse().unwrap();
    for (depth, fits) in [(252, true), (253, true), (254, false), (255, false)] {
        key.depth = depth;
        let outcome = WatchTarget::descriptor(&format!("wpkh({key}/0)"), NETWORK);
        assert_eq!(outcome.is_ok(), fits, "{depth}");
    }
}

#[test]
fn what_is_no_descriptor_is_refused() {
    let many = (0..17).map(|n: i32| n.to_string()).collect::<Vec<_>>().join(";");
    for text in [
        String::new(),
        "hello".to_owned(),
        "wpkh()".to_owned(),
        format!("wpkh({TPUB}/0/*"),
        format!("foo({TPUB})"),
        // One keychain more than the other.
        format!("wsh(multi(1,{TPUB}/<0;1>/*,{TPUB}/<0;1;2>/*))"),
        // Anybody could spend it.
        "wsh(or_i(1,0))".to_owned(),
    ] {
        let refusal = refused(&text);
        assert!(matches!(refusal, WatchError::Descriptor { .. }), "{text}: {refusal}");
    }
    assert_eq!(
        refused(&format!("wpkh({TPUB}/<{many}>/*)")),
        WatchError::TooManyPaths { paths: 17, limit: 16 }
    );
    let long = "(".repeat(MAX_BYTES + 1);
    assert!(matches!(refused(&long), WatchError::DescriptorTooLong { .. }));
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let deep = format!("wsh({}1{})", "and_v(".repeat(2_000), ")".repeat(2_000));
    assert!(matches!(refused(&deep), WatchError::Descriptor { .. }));
    let sh = format!("{}{}", "sh(".repeat(5_000), ")".repeat(1_000));
    assert!(matches!(refused(&sh), WatchError::Descriptor { .. }));
}
