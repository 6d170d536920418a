//! Which requests are to suffer, without a clock.
//!
//! What an attacker can grow: nothing; the state has a fixed size.

use core::time::Duration;

use crate::chance::Chance;

/// What share of the requests suffers.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultConfig {
    /// This share fails without having been carried out, from 0 to 1.
    pub error_share: f64,
    /// This share takes longer, from 0 to 1; those that fail among them.
    pub delay_share: f64,
    /// By at least this.
    pub delay_from: Duration,
    /// And less than this.
    pub delay_to: Duration,
}

/// What happens to a request.
///
/// ```
/// use ironlight_hardening::fault::{Fault, FaultConfig, FaultState};
///
/// let always = FaultConfig { error_share: 1.0, ..FaultConfig::default() };
/// assert_eq!(FaultState::new(always, 7).draw(), Fault { delay: None, fails: true });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// It takes so much longer.
    pub delay: Option<Duration>,
    /// It fails, after the delay.
    pub fails: bool,
}

/// What happened, in all.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultStatus {
    /// All requests.
    pub requests: u64,
    /// Those that were made to fail.
    pub errors: u64,
    /// Those that were made to take longer.
    pub delays: u64,
}

/// The state machine. [`Faults`](super::Faults) shares one.
///
/// ```
/// use ironlight_hardening::fault::{FaultConfig, FaultState};
///
/// let config = FaultConfig { error_share: 0.1, ..FaultConfig::default() };
/// let (mut one, mut same) = (FaultState::new(config, 7), FaultState::new(config, 7));
/// assert!((0..100).all(|_| one.draw() == same.draw()));
/// ```
#[derive(Clone, Debug)]
pub struct FaultState {
    config: FaultConfig,
    chance: Chance,
    status: FaultStatus,
}

impl FaultState {
    /// The seed decides whom it meets.
    #[must_use]
    pub fn new(config: FaultConfig, seed: u64) -> Self {
        Self { config, chance: Chance::new(seed), status: FaultStatus::default() }
    }

    /// What happens to the next request. Always takes three numbers from the seed, so that another
    /// share of one kind does not change whom the other kind meets.
    pub fn draw(&mut self) -> Fault {
        let config = &self.config;
        let fails = self.chance.happens(config.error_share);
        let late = self.chance.happens(config.delay_share);
        let range = config.delay_to.saturating_sub(config.delay_from);
        let delay = config.delay_from.saturating_add(self.chance.part_of(range));
        self.status.requests += 1;
        self.status.errors += u64::from(fails);
        self.status.delays += u64::from(late);
        Fault { delay: late.then_some(delay), fails }
    }

    /// Other shares from the next request on.
    pub const fn set_config(&mut self, config: FaultConfig) {
        self.config = config;
    }

    /// What happened, in all.
    #[must_use]
    pub const fn status(&self) -> FaultStatus {
        self.status
    }
}
