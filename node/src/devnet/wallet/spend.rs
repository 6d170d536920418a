//! From coins and outputs to a signed transaction.

use bitcoin::absolute::LockTime;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, transaction,
};

use super::{ScriptKind, SignError, Wallet};

/// No transaction of the wallet's pays more a virtual byte, in satoshi.
pub const MAX_FEE_RATE: u64 = 10;
/// Virtual bytes of a transaction without inputs and outputs, rounded up.
const BASE_VSIZE: u64 = 12;
/// Virtual bytes of an output besides its script.
const OUTPUT_VSIZE: u64 = 9;
/// Virtual bytes of the longest change output.
const CHANGE_VSIZE: u64 = OUTPUT_VSIZE + 34;
/// Change below this goes to the miner: to spend it would cost more.
const LEAST_CHANGE: Amount = Amount::from_sat(1_000);

/// A coin to spend.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it is.
    pub output: TxOut,
}

/// A transaction to be.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What it spends, all of it the wallet's.
    pub inputs: Vec<Input>,
    /// Whom it pays.
    pub outputs: Vec<TxOut>,
    /// Satoshi a virtual byte, at most [`MAX_FEE_RATE`].
    pub fee_rate: u64,
}

impl Plan {
    /// What goes in.
    #[must_use]
    pub fn available(&self) -> Amount {
        self.inputs.iter().map(|input| input.output.value).sum()
    }

    /// What has to go in: outputs and fee, a change output reckoned with.
    #[must_use]
    pub fn needed(&self, wallet: &Wallet) -> Amount {
        let inputs = self.inputs.iter().map(|input| {
            let kind = wallet.key_of(&input.output.script_pubkey).and_then(|key| wallet.kind(key));
            kind.unwrap_or(ScriptKind::P2pkh).input_vsize()
        });
        let scripts = self.outputs.iter().map(|output| output.script_pubkey.len());
        let outputs =
            scripts.map(|length| u64::try_from(length).unwrap_or(u64::MAX) + OUTPUT_VSIZE);
        let vsize = BASE_VSIZE + inputs.sum::<u64>() + outputs.sum::<u64>() + CHANGE_VSIZE;
        let fee = Amount::from_sat(vsize * self.fee_rate.min(MAX_FEE_RATE));
        self.outputs.iter().map(|output| output.value).sum::<Amount>() + fee
    }

    /// Signs it, with what is left over going to `change`. What has too little for its outputs
    /// becomes a transaction that no pool admits.
    ///
    /// # Errors
    /// [`SignError`]
    pub fn sign(mut self, wallet: &Wallet, change: ScriptBuf) -> Result<Transaction, SignError> {
        let left = self.available().checked_sub(self.needed(wallet)).unwrap_or(Amount::ZERO);
        if left >= LEAST_CHANGE {
            self.outputs.push(TxOut { value: left, script_pubkey: change });
        }
        let input = self.inputs.iter().map(|input| TxIn {
            previous_output: input.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        });
        let mut transaction = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: input.collect(),
            output: self.outputs,
        };
        let spent: Vec<TxOut> = self.inputs.into_iter().map(|input| input.output).collect();
        wallet.sign(&mut transaction, &spent)?;
        Ok(transaction)
    }
}
