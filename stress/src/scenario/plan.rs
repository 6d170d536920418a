//! What is asked of one run.

use core::str::FromStr;

/// What is asked of one run of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How much, in the scenario's own unit.
    pub count: u64,
    /// Everything random follows from it.
    pub seed: u64,
    /// The parts of `mixed`; the other scenarios have no parts.
    pub weights: Weights,
}

/// How often each part of `mixed` has its turn, against the sum of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Batches of headers.
    pub headers: u32,
    /// Merkle proofs.
    pub proofs: u32,
    /// Accounts.
    pub state: u32,
}

impl Default for Weights {
    /// A third each.
    fn default() -> Self {
        Self { headers: 1, proofs: 1, state: 1 }
    }
}

/// Why a text is not three weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongWeights {
    /// Not three numbers with commas between them.
    #[error("three whole numbers are wanted, as in 1,1,1 (headers, proofs, state); got {got:?}")]
    NotThreeNumbers {
        /// The text.
        got: String,
    },
    /// Nothing would have its turn.
    #[error("at least one weight has to be above zero")]
    AllZero,
}

impl FromStr for Weights {
    type Err = WrongWeights;

    fn from_str(text: &str) -> Result<Self, WrongWeights> {
        let numbers: Result<Vec<u32>, _> =
            text.split(',').map(|number| number.trim().parse()).collect();
        match numbers.as_deref() {
            Ok([0, 0, 0]) => Err(WrongWeights::AllZero),
            Ok(&[headers, proofs, state]) => Ok(Self { headers, proofs, state }),
            Ok(_) | Err(_) => Err(WrongWeights::NotThreeNumbers { got: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_are_weights_unless_all_are_zero() {
        assert_eq!("1, 0,7".parse(), Ok(Weights { headers: 1, proofs: 0, state: 7 }));
        assert_eq!("0,0,0".parse::<Weights>(), Err(WrongWeights::AllZero));
        for got in ["1,1", "1,1,1,1", "1,1,-1", "", "a,b,c"] {
            let got = got.to_owned();
            assert_eq!(got.parse::<Weights>(), Err(WrongWeights::NotThreeNumbers { got }));
        }
    }
}
