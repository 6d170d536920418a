use bitcoin::secp256k1::schnorr;
use bitcoin::{Amount, OutPoint, Txid};

use super::*;

fn coins(wallet: &Wallet) -> Vec<Input> {
    let txid = Txid::from_byte_array([7; 32]);
    (0u32..4)
        .map(|vout| Input {
            outpoint: OutPoint { txid, vout },
            output: TxOut {
                value: Amount::from_sat(50_000 + u64::from(vout)),
                script_pubkey: wallet.script(u64::from(vout)),
            },
        })
        .collect()
}

/// Whether the `index`th witness input has a signature of the key over its sighash (BIP143).
fn witness_signature_holds(wallet: &Wallet, tx: &Transaction, spent: &[TxOut], index: usize) {
    let key = &wallet.keys[wallet.key_of(&spent[index].script_pubkey).unwrap()];
    let program = ScriptBuf::new_p2wpkh(&key.public.wpubkey_hash());
    let hash = SighashCache::new(tx)
        .p2wpkh_signature_hash(index, &program, spent[index].value, EcdsaSighashType::All)
        .unwrap();
    let witness = tx.input[index].witness.to_vec();
    let signature = ecdsa::Signature::from_slice(&witness[0]).unwrap();
    assert_eq!(witness[1], key.public.to_bytes());
    let message = Message::from_digest(hash.to_byte_array());
    wallet.secp.verify_ecdsa(&message, &signature.signature, &key.public.0).unwrap();
}

#[test]
fn every_kind_of_input_is_signed_by_its_own_rules() {
    let wallet = Wallet::new(1);
    let inputs = coins(&wallet);
    let spent: Vec<TxOut> = inputs.iter().map(|input| input.output.clone()).collect();
    let output = TxOut { value: Amount::from_sat(100_000), script_pubkey: wallet.script(9) };
    let plan = Plan { inputs, outputs: vec![output], fee_rate: 2 };
    let estimate = plan.needed(&wallet) - Amount::from_sat(100_000);
    let tx = plan.sign(&wallet, wallet.script(3)).unwrap();

    let vsize = u64::try_from(tx.vsize()).unwrap();
    assert!(vsize * 2 <= estimate.to_sat(), "{vsize} virtual bytes for a fee of {estimate}");
    assert!(vsize * 3 > estimate.to_sat(), "{vsize} virtual bytes for a fee of {estimate}");
    // P2PKH: signature and key in the script, nothing in the witness.
    assert!(tx.input[0].witness.is_empty() && !tx.input[0].script_sig.is_empty());
    let hash = SighashCache::new(&tx).legacy_signature_hash(0, &spent[0].script_pubkey, 1).unwrap();
    let pushes: Vec<Vec<u8>> = tx.input[0]
        .script_sig
        .instructions()
        .map(|push| push.unwrap().push_bytes().unwrap().as_bytes().to_vec())
        .collect();
    let signature = ecdsa::Signature::from_slice(&pushes[0]).unwrap().signature;
    let message = Message::from_digest(hash.to_byte_array());
    wallet.secp.verify_ecdsa(&message, &signature, &wallet.keys[0].public.0).unwrap();
    // P2WPKH, bare and inside a script hash.
    witness_signature_holds(&wallet, &tx, &spent, 1);
    witness_signature_holds(&wallet, &tx, &spent, 2);
    assert!(tx.input[1].script_sig.is_empty());
    assert_eq!(tx.input[2].script_sig.len(), 23);
    // Taproot: 64 bytes that verify under the key in the output.
    let hash = SighashCache::new(&tx)
        .taproot_key_spend_signature_hash(3, &Prevouts::All(&spent), TapSighashType::Default)
        .unwrap();
    let witness = tx.input[3].witness.to_vec();
    let signature = schnorr::Signature::from_slice(&witness[0]).unwrap();
    let output_key = &spent[3].script_pubkey.as_bytes()[2..];
    let output_key = bitcoin::XOnlyPublicKey::from_slice(output_key).unwrap();
    let message = Message::from_digest(hash.to_byte_array());
    wallet.secp.verify_schnorr(&signature, &message, &output_key).unwrap();
}

#[test]
fn a_coin_without_a_key_is_refused() {
    let wallet = Wallet::new(1);
    let plan = Plan { inputs: coins(&Wallet::new(2)), ..Plan::default() };
    let error = plan.sign(&wallet, wallet.script(0)).unwrap_err();
    assert!(matches!(error, SignError::NoKey { index: 0 }));
}
