//! Simulated peers: an honest full node, and liars of many kinds.

use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::sync::MAX_HEADERS;
use ironlight_spv::{BlockHash, Header};

use super::chains::Chain;

/// What a peer does with questions.
#[derive(Clone, Debug)]
pub enum Role {
    /// Serves a chain as a full node does. Whether it is honest depends on the chain.
    Serves(Arc<Chain>),
    /// The same, but takes long for each answer.
    Trickles(Arc<Chain>),
    /// Shows one chain, and serves another when asked again from the beginning.
    Cheats {
        /// Has the work.
        shown: Arc<Chain>,
        /// Has not.
        served: Arc<Chain>,
    },
    /// Answers headers that connect to nothing.
    Junk(Arc<[Header]>),
    /// Answers always the same full message.
    Repeats(Arc<Chain>),
    /// Answers more headers than a message may have.
    TooMany(Arc<Chain>),
    /// A thief: shows that it has the chain where others are, and then has nothing.
    AgreesThenEmpty(Arc<Chain>),
    /// The same, but then it never answers.
    AgreesThenSilent(Arc<Chain>),
    /// Never answers.
    Silent,
    /// Always has nothing.
    Empty,
    /// Has nothing, but keeps announcing blocks that do not exist.
    Announces,
}

/// A peer and what it has done so far.
#[derive(Clone, Debug)]
pub struct SimPeer {
    /// What it does.
    pub role: Role,
    /// The height up to which it serves its chain.
    pub tip: usize,
    questions: usize,
    beginnings: usize,
    agreed: bool,
}

impl SimPeer {
    /// A peer that serves its whole chain.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self { role, tip: usize::MAX, questions: 0, beginnings: 0, agreed: false }
    }

    /// The same with the end of its chain held back.
    #[must_use]
    pub fn up_to(self, tip: usize) -> Self {
        Self { tip, ..self }
    }

    /// The answer to a getheaders, and how long the peer takes beyond the network's latency.
    pub fn answer(
        &mut self,
        locator: &[BlockHash],
        stop: Option<BlockHash>,
    ) -> Option<(Vec<Header>, Duration)> {
        self.questions += 1;
        let at_once = |headers: Vec<Header>| Some((headers, Duration::ZERO));
        match &self.role {
            Role::Serves(chain) => at_once(serve(chain, self.tip, locator, stop)),
            Role::Trickles(chain) => {
                let slow = Duration::from_secs(12);
                Some((serve(chain, self.tip, locator, stop), slow))
            }
            Role::Cheats { shown, served } => {
                // Whoever asks from the beginning once more has seen enough.
                let fork = |hash: &BlockHash| shown.find(hash).or_else(|| served.find(hash));
                let from_start = locator.first().and_then(fork) == Some(0);
                self.beginnings += usize::from(from_start);
                let chain = if self.beginnings > 1 { served } else { shown };
                at_once(serve(chain, self.tip, locator, stop))
            }
            Role::Junk(headers) => at_once(headers.to_vec()),
            Role::Repeats(chain) => at_once(chain.after(0, MAX_HEADERS, self.tip).to_vec()),
            Role::TooMany(chain) => at_once(chain.after(0, MAX_HEADERS + 1, self.tip).to_vec()),
            Role::AgreesThenEmpty(chain) | Role::AgreesThenSilent(chain) => {
                let place = locator.first().and_then(|hash| chain.find(hash)).unwrap_or(0);
                self.agreed = !self.agreed && (1..self.tip).contains(&place);
                let served = || serve(chain, self.tip, locator, stop);
                let empties = matches!(self.role, Role::AgreesThenEmpty(_));
                let betrayed = empties.then(Vec::new);
                if self.agreed { Some(served()) } else { betrayed }.and_then(at_once)
            }
            Role::Silent => None,
            Role::Empty | Role::Announces => at_once(Vec::new()),
        }
    }

    /// How often it was asked.
    #[must_use]
    pub const fn questions(&self) -> usize {
        self.questions
    }
}

/// What a full node answers: the headers after the first hash of the locator that it has, after
/// genesis where it has none; without a locator the one that is named as the last.
fn serve(chain: &Chain, tip: usize, locator: &[BlockHash], stop: Option<BlockHash>) -> Vec<Header> {
    if locator.is_empty() {
        let height = stop.and_then(|stop| chain.find(&stop)).filter(|height| *height <= tip);
        let before = height.and_then(|height| height.checked_sub(1));
        return before.map_or_else(Vec::new, |before| chain.after(before, 1, tip).to_vec());
    }
    let known = locator.iter().filter_map(|hash| chain.find(hash));
    let fork = known.into_iter().find(|height| *height <= tip).unwrap_or(0);
    chain.after(fork, MAX_HEADERS, tip).to_vec()
}
