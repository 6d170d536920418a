//! Silence: all connections closed and nobody dialled, until the node is resumed.
//!
//! Purpose: one switch for all networks. Whoever embeds the node turns it when the program goes to
//! the background; an allowance of bytes turns it when it is spent. Each network has a [`Member`],
//! by which it learns what it is to do and says whether it is silent yet.
//!
//! Invariant: what a network is told and what it says are one step under one lock, so a network
//! that counts as silent has no connection and begins none before it was told to.
//!
//! What an attacker can grow: nothing. With an allowance, a peer can send what is left of it, and one
//! message more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Why the networks are silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It was asked for.
    Asked,
    /// The allowance is spent.
    Spent,
}

/// What a network is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Go on.
    Open,
    /// Go on, after a silence: whoever was given up may be dialled at once.
    Reopened,
    /// Close all connections and dial nobody.
    Silent,
}

#[derive(Debug, Default)]
struct State {
    silence: Option<Silence>,
    /// Of each network, whether it is silent.
    silent: Vec<bool>,
}

/// No allowance: as much as there is.
const NO_LIMIT: u64 = u64::MAX;

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    /// Bytes that may still be carried.
    left: AtomicU64,
}

/// The switch. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Suspension(Arc<Shared>);

impl Default for Suspension {
    fn default() -> Self {
        let left = AtomicU64::new(NO_LIMIT);
        Self(Arc::new(Shared { state: watch::Sender::default(), left }))
    }
}

impl Suspension {
    /// For one more network.
    pub(crate) fn member(&self) -> Member {
        let mut place = 0;
        self.0.state.send_modify(|state| {
            place = state.silent.len();
            state.silent.push(false);
        });
        let was_silent = false;
        Member { suspension: self.clone(), changes: self.0.state.subscribe(), place, was_silent }
    }

    /// Silences the networks. What they are silent for already stays.
    pub(crate) fn suspend(&self, why: Silence) {
        self.0.state.send_if_modified(|state| {
            let begins = state.silence.is_none();
            state.silence.get_or_insert(why);
            begins
        });
    }

    /// Lets the networks go on.
    pub(crate) fn resume(&self) {
        self.0.state.send_if_modified(|state| state.silence.take().is_some());
    }

    /// Whether the networks are to be silent, and why.
    pub(crate) fn silence(&self) -> Option<Silence> {
        self.0.state.borrow().silence
    }

    /// Waits until the networks are to be silent. Cancel safe.
    pub(crate) async fn suspended(&self) -> Silence {
        let mut changes = self.0.state.subscribe();
        loop {
            // It fails only once the switch is gone, which this one keeps.
            let found = changes.wait_for(|state| state.silence.is_some()).await;
            if let Some(why) = found.ok().and_then(|state| state.silence) {
                return why;
            }
        }
    }

    /// Waits until the networks may go on. Cancel safe.
    pub(crate) async fn resumed(&self) {
        let mut changes = self.0.state.subscribe();
        let _ = changes.wait_for(|state| state.silence.is_none()).await;
    }

    /// Waits until all networks are silent, or none is to be any more. Cancel safe.
    pub(crate) async fn settled(&self) {
        let mut changes = self.0.state.subscribe();
        let done = |state: &State| state.silence.is_none() || state.silent.iter().all(|it| *it);
        let _ = changes.wait_for(done).await;
    }

    /// From now on so many bytes may be carried, both ways together; none for no limit.
    pub(crate) fn allow(&self, bytes: Option<u64>) {
        // One that is as large as the mark for none is one.
        self.0.left.store(bytes.unwrap_or(NO_LIMIT), Ordering::Relaxed);
        if bytes == Some(0) {
            self.suspend(Silence::Spent);
        }
    }

    /// So many bytes were carried.
    pub(crate) fn spend(&self, bytes: u64) {
        let spent = self.0.left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left != NO_LIMIT).then(|| left.saturating_sub(bytes))
        });
        if spent.is_ok_and(|before| before <= bytes) {
            self.suspend(Silence::Spent);
        }
    }

    /// Whether bytes may be received. Others are left where they are, and their connection is on its
    /// way to be closed.
    pub(crate) fn may_receive(&self) -> bool {
        self.0.left.load(Ordering::Relaxed) > 0
    }
}

/// A network's part of it.
#[derive(Debug)]
pub(crate) struct Member {
    suspension: Suspension,
    changes: watch::Receiver<State>,
    place: usize,
    was_silent: bool,
}

impl Member {
    /// What to do, for a network that has so many connections, those that are being made included.
    pub(crate) fn mode(&mut self, connections: usize) -> Mode {
        let mut silent = false;
        let place = self.place;
        self.suspension.0.state.send_if_modified(|state| {
            silent = state.silence.is_some();
            let now = silent && connections == 0;
            match state.silent.get_mut(place) {
                Some(before) => std::mem::replace(before, now) != now,
                None => false,
            }
        });
        match (std::mem::replace(&mut self.was_silent, silent), silent) {
            (_, true) => Mode::Silent,
            (true, false) => Mode::Reopened,
            (false, false) => Mode::Open,
        }
    }

    /// Waits for the mode to change, or for another network to say something. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        // It fails only once the switch is gone, which this one keeps.
        let _ = self.changes.changed().await;
    }
}

/// A network that has ended is silent.
impl Drop for Member {
    fn drop(&mut self) {
        let place = self.place;
        self.suspension.0.state.send_modify(|state| {
            if let Some(silent) = state.silent.get_mut(place) {
                *silent = true;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    async fn settles(suspension: &Suspension) -> bool {
        timeout(Duration::from_secs(1), suspension.settled()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_silent_once_every_network_has_no_connection() {
        let suspension = Suspension::default();
        let (mut one, mut other) = (suspension.member(), suspension.member());
        assert_eq!((one.mode(2), other.mode(1)), (Mode::Open, Mode::Open));
        suspension.suspend(Silence::Asked);
        assert_eq!((one.mode(2), other.mode(0)), (Mode::Silent, Mode::Silent));
        assert!(!settles(&suspension).await);
        assert_eq!(one.mode(0), Mode::Silent);
        assert!(settles(&suspension).await);
        suspension.resume();
        assert_eq!((one.mode(0), one.mode(0)), (Mode::Reopened, Mode::Open));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_was_told_to_go_on_is_not_taken_for_silent() {
        let suspension = Suspension::default();
        let mut network = suspension.member();
        suspension.suspend(Silence::Asked);
        assert_eq!(network.mode(0), Mode::Silent);
        suspension.resume();
        assert_eq!(network.mode(0), Mode::Reopened);
        // It is about to dial.
        suspension.suspend(Silence::Asked);
        assert!(!settles(&suspension).await);
        drop(network);
        assert!(settles(&suspension).await);
    }

    #[test]
    fn a_spent_allowance_silences_the_networks() {
        let suspension = Suspension::default();
        suspension.spend(1 << 40);
        assert_eq!(suspension.silence(), None);
        suspension.allow(Some(100));
        suspension.spend(99);
        assert!(suspension.silence().is_none() && suspension.may_receive());
        suspension.spend(50);
        assert_eq!(suspension.silence(), Some(Silence::Spent));
        assert!(!suspension.may_receive());
        suspension.allow(None);
        suspension.resume();
        assert!(suspension.silence().is_none() && suspension.may_receive());
    }
}
