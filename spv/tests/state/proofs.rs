//! Proofs of accounts that are there and of such that are not.

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Account, ProofError, Salt, StateProof, Verdict};
use ironlight_spv::generate::Miner;

use crate::plain;
use crate::support::{SALT, account, below, key, random_hash, states_of};

#[test]
fn every_key_is_proved_at_every_height_to_us_and_to_a_plain_checker() {
    for (salt, plain_salt) in [(SALT, Some([9; 32])), (Salt::None, None)] {
        for count in [0, 1, 2, 60] {
            let mut states = states_of(count, salt, count);
            let mut random = Miner::new(count);
            for height in 2..6 {
                for _ in 0..5 {
                    let number = below(&mut random, count + 5);
                    states.put(account(&mut random, key(number)));
                    let number = below(&mut random, count + 5);
                    states.remove(&key(number));
                }
                states.seal(BlockHeight(height)).unwrap();
            }
            for height in (1..6).map(BlockHeight) {
                let root = states.root(height).unwrap();
                for key in (0..count + 20).map(key) {
                    let proof = states.prove(&key, height).unwrap();
                    let account = states.get(&key, height).unwrap();
                    let bytes = proof.encode();
                    assert_eq!(StateProof::decode(&bytes), Ok(proof.clone()));
                    let plainly = account.as_ref().map(plain::encode);
                    assert_eq!(plain::check(&bytes, &root, plain_salt, key), Some(plainly));
                    let verdict = account.map_or(Verdict::Absent, Verdict::Included);
                    assert_eq!(proof.verify(&root, &key, &salt), Ok(verdict));
                }
            }
        }
    }
}

#[test]
fn a_proof_proves_nothing_about_another_key_root_or_salt() {
    let mut states = states_of(50, SALT, 1);
    let root = states.root(BlockHeight(1)).unwrap();
    states.remove(&key(0));
    let other_root = states.seal(BlockHeight(2)).unwrap().root;
    let included = states.prove(&key(3), BlockHeight(1)).unwrap();
    let got = key(3);
    assert_eq!(included.verify(&root, &key(4), &SALT), Err(ProofError::OtherKey { got }));
    let refused = included.verify(&other_root, &key(3), &SALT);
    assert!(matches!(refused, Err(ProofError::WrongRoot { .. })), "{refused:?}");
    let refused = included.verify(&root, &key(3), &Salt::None);
    assert!(matches!(refused, Err(ProofError::WrongRoot { .. })), "{refused:?}");
}

#[test]
fn no_proof_of_absence_is_made_of_one_for_an_account_that_is_there() {
    let states = states_of(50, SALT, 1);
    let root = states.root(BlockHeight(1)).unwrap();
    let mut random = Miner::new(1);
    let absent: Vec<_> = (0..200)
        .map(|_| states.prove(&random_hash(&mut random), BlockHeight(1)).unwrap())
        .collect();
    for number in 0..50 {
        for proof in &absent {
            let refused = proof.verify(&root, &key(number), &SALT);
            assert!(refused.is_err(), "key {number} is there: {refused:?}");
        }
    }
    let proof = states.prove(&key(1), BlockHeight(1)).unwrap().encode();
    let encoded = plain::encode(&states.get(&key(1), BlockHeight(1)).unwrap().unwrap());
    let mut forged = proof[..proof.len() - encoded.len()].to_vec();
    forged[2] = 2;
    forged.extend(SALT.place(&key(1)));
    forged.extend(<[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(&encoded)));
    let forged = StateProof::<Account>::decode(&forged).unwrap();
    assert_eq!(forged.verify(&root, &key(1), &SALT), Err(ProofError::SamePlace));
}

#[test]
fn the_longest_path_has_256_steps() {
    let mut states = states_of(0, Salt::None, 1);
    let mut random = Miner::new(1);
    let keys: Vec<[u8; 32]> = (0..=256)
        .map(|bit| {
            let mut key = [0; 32];
            if let Some(byte) = key.get_mut(bit / 8) {
                *byte = 0x80 >> (bit % 8);
            }
            key
        })
        .collect();
    keys.iter().for_each(|key| states.put(account(&mut random, *key)));
    let root = states.seal(BlockHeight(2)).unwrap().root;
    for key in &keys {
        let proof = states.prove(key, BlockHeight(2)).unwrap();
        assert_eq!(StateProof::decode(&proof.encode()), Ok(proof.clone()));
        assert!(matches!(proof.verify(&root, key, &Salt::None), Ok(Verdict::Included(_))));
    }
    assert_eq!(states.prove(&[0; 32], BlockHeight(2)).unwrap().steps(), 256);
    states.verify().unwrap();
}
