//! What a transaction needs so that any full node could take it, whatever its policy.

use bitcoin::consensus::encode::Error as DecodeError;
use bitcoin::{Amount, OutPoint, Transaction, Weight};
use thiserror::Error;

/// The heaviest transaction that full nodes relay (Core, `policy.h`,
/// `MAX_STANDARD_TX_WEIGHT`).
pub const MAX_WEIGHT: Weight = Weight::from_wu(400_000);

/// Why no full node would take a transaction (Core, `CheckTransaction`).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SanityError {
    /// The bytes are no transaction.
    #[error("these {bytes} bytes are no transaction ({reason})")]
    Malformed {
        /// How many there are.
        bytes: usize,
        /// What the decoder says.
        reason: String,
    },
    /// Bytes are left behind the transaction.
    #[error("the transaction ends after {used} of {bytes} bytes")]
    Trailing {
        /// How many there are.
        bytes: usize,
        /// How many belong to it.
        used: usize,
    },
    /// Nothing is spent.
    #[error("the transaction has no inputs")]
    NoInputs,
    /// Nothing is paid.
    #[error("the transaction has no outputs")]
    NoOutputs,
    /// It spends something twice.
    #[error("inputs {first} and {second} spend the same output {outpoint}")]
    DuplicateInput {
        /// What.
        outpoint: OutPoint,
        /// The first input.
        first: usize,
        /// The second.
        second: usize,
    },
    /// It spends nothing that there is.
    #[error("input {input} spends the null output, which only a coinbase does")]
    NullInput {
        /// Which input.
        input: usize,
    },
    /// It is a coinbase, which is valid in a block only.
    #[error("the transaction is a coinbase, which only a block can hold")]
    Coinbase,
    /// An output pays more than all money.
    #[error("output {output} pays {value}, more than all bitcoin there can be")]
    ValueOutOfRange {
        /// Which output.
        output: usize,
        /// What it pays.
        value: Amount,
    },
    /// The outputs together pay more than all money.
    #[error("outputs 0 to {output} together pay more than all bitcoin there can be")]
    SumOutOfRange {
        /// The output that passes the limit.
        output: usize,
    },
    /// It is heavier than full nodes relay.
    #[error("the transaction weighs {weight}, over the {limit} that full nodes relay")]
    TooHeavy {
        /// Its weight.
        weight: Weight,
        /// The limit.
        limit: Weight,
    },
}

/// Reads a transaction and checks what needs no coins. Standardness is for peers to judge.
///
/// # Errors
/// [`SanityError`]
pub fn check(bytes: &[u8]) -> Result<Transaction, SanityError> {
    let transaction = decode(bytes)?;
    check_size(&transaction)?;
    check_inputs(&transaction)?;
    check_outputs(&transaction)?;
    Ok(transaction)
}

fn decode(bytes: &[u8]) -> Result<Transaction, SanityError> {
    let malformed = |error: &DecodeError| SanityError::Malformed {
        bytes: bytes.len(),
        reason: error.to_string(),
    };
    // A transaction has at most 4 bytes a weight unit, so more is not even read.
    let limit = usize::try_from(MAX_WEIGHT.to_wu()).unwrap_or(usize::MAX);
    if bytes.len() > limit {
        let weight = Weight::from_wu(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        return Err(SanityError::TooHeavy { weight, limit: MAX_WEIGHT });
    }
    let (transaction, used) = bitcoin::consensus::encode::deserialize_partial(bytes)
        .map_err(|error| malformed(&error))?;
    if used != bytes.len() {
        return Err(SanityError::Trailing { bytes: bytes.len(), used });
    }
    Ok(transaction)
}

fn check_size(transaction: &Transaction) -> Result<(), SanityError> {
    if transaction.input.is_empty() {
        return Err(SanityError::NoInputs);
    }
    if transaction.output.is_empty() {
        return Err(SanityError::NoOutputs);
    }
    if transaction.weight() > MAX_WEIGHT {
        return Err(SanityError::TooHeavy { weight: transaction.weight(), limit: MAX_WEIGHT });
    }
    Ok(())
}

fn check_inputs(transaction: &Transaction) -> Result<(), SanityError> {
    if transaction.is_coinbase() {
        return Err(SanityError::Coinbase);
    }
    let mut seen = std::collections::BTreeMap::new();
    for (second, input) in transaction.input.iter().enumerate() {
        let outpoint = input.previous_output;
        if outpoint.is_null() {
            return Err(SanityError::NullInput { input: second });
        }
        if let Some(first) = seen.insert(outpoint, second) {
            return Err(SanityError::DuplicateInput { outpoint, first, second });
        }
    }
    Ok(())
}

fn check_outputs(transaction: &Transaction) -> Result<(), SanityError> {
    let mut sum = Amount::ZERO;
    for (output, paid) in transaction.output.iter().enumerate() {
        let value = paid.value;
        if value > Amount::MAX_MONEY {
            return Err(SanityError::ValueOutOfRange { output, value });
        }
        sum = sum
            .checked_add(value)
            .filter(|sum| *sum <= Amount::MAX_MONEY)
            .ok_or(SanityError::SumOutOfRange { output })?;
    }
    Ok(())
}
