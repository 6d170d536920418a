//! Amounts as people read them.

use clap::{Args, ValueEnum};

/// In which unit amounts are printed; JSON has satoshi always.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct UnitArgs {
    /// In which unit amounts are printed; JSON has satoshi always.
    #[arg(long, value_enum, default_value_t = Unit::Btc)]
    pub(super) unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Unit {
    /// Bitcoin with eight decimals.
    Btc,
    /// Satoshi.
    Sat,
}

const SATS: u64 = 100_000_000;

impl Unit {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Btc => "BTC",
            Self::Sat => "sat",
        }
    }

    pub(super) fn show(self, satoshi: u64) -> String {
        match self {
            Self::Btc => format!("{}.{:08}", satoshi / SATS, satoshi % SATS),
            Self::Sat => satoshi.to_string(),
        }
    }

    /// With its sign, so that what came and what went differ at a glance.
    pub(super) fn show_signed(self, satoshi: i64) -> String {
        let sign = if satoshi < 0 { '-' } else { '+' };
        format!("{sign}{}", self.show(satoshi.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_eight_decimals_or_none() {
        assert_eq!(Unit::Btc.show(0), "0.00000000");
        assert_eq!(Unit::Btc.show(2_100_000_000_000_001), "21000000.00000001");
        assert_eq!(Unit::Sat.show(12_345), "12345");
        assert_eq!(Unit::Btc.show_signed(-50_000_000), "-0.50000000");
        assert_eq!(Unit::Sat.show_signed(7), "+7");
        assert_eq!(Unit::Sat.show_signed(i64::MIN), "-9223372036854775808");
    }
}
