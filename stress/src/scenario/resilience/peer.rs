//! A service that fails by a plan.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{Error as IoError, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use ironlight_hardening::{Clock as _, Timer as _};
use ironlight_spv::generate::Miner;
use tower_service::Service;

use super::super::chains::below;
use crate::virtual_time::VirtualTime;

/// When the service is in a storm, in virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storms([(Duration, Duration); 2]);

impl Storms {
    /// Two in so long a time, with calm before, between and after them.
    pub(super) fn within(all: Duration) -> Self {
        let at = |percent: u32| all * percent / 100;
        Self([(at(20), at(35)), (at(55), at(70))])
    }

    fn rages(&self, now: Duration) -> bool {
        !self.is_over(now, Duration::ZERO)
    }

    /// When they end.
    pub(super) fn ends(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().map(|(_, to)| *to)
    }

    /// Whether at that time no storm rages, and none did for so long.
    pub(super) fn is_over(&self, at: Duration, patience: Duration) -> bool {
        !self.0.iter().any(|(from, to)| (*from..to.saturating_add(patience)).contains(&at))
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Reset,
    /// No answer, for longer than anybody waits.
    Silent,
}

/// Answers within 20 to 80 ms; in a storm one in ten does, seven fail and two fall silent.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    time: VirtualTime,
    storms: Storms,
    random: Arc<Mutex<Miner>>,
}

impl Peer {
    pub(super) fn new(time: VirtualTime, storms: Storms, seed: u64) -> Self {
        Self { time, storms, random: Arc::new(Mutex::new(Miner::new(seed))) }
    }

    fn draw(&self) -> (Fate, Duration) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let (tenth, pause) = (below(&mut random, 10), 20 + below(&mut random, 60));
        let fate = match (self.storms.rages(self.time.now()), tenth) {
            (false, _) | (true, 0) => Fate::Answered,
            (true, 1..=7) => Fate::Reset,
            (true, _) => Fate::Silent,
        };
        (fate, Duration::from_millis(pause))
    }
}

impl Service<u64> for Peer {
    type Response = u64;
    type Error = IoError;
    type Future = Pin<Box<dyn Future<Output = Result<u64, IoError>>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), IoError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u64) -> Self::Future {
        let (fate, pause) = self.draw();
        let time = self.time.clone();
        Box::pin(async move {
            time.sleep(pause).await;
            match fate {
                Fate::Answered => Ok(number),
                Fate::Reset => Err(IoError::from(ErrorKind::ConnectionReset)),
                Fate::Silent => core::future::pending().await,
            }
        })
    }
}
