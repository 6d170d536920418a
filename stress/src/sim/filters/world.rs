//! What there is to be found, and in which order it comes to be: made once, used by many runs.

use std::collections::BTreeMap;

use ironlight_spv::{Header, HeaderChain, UnixTime};

use super::ledger::{Entry, Ledger};
use super::liar::{LIES, Lie, Story};

/// A chain with payments, what comes after it, and what liars make of it.
#[derive(Debug)]
pub struct FilterWorld {
    /// All blocks.
    pub ledger: Ledger,
    /// The chain that is there at first, verified.
    pub chain: HeaderChain,
    /// Its last block.
    pub base: usize,
    /// The tips that follow; some are on other branches.
    pub news: Vec<usize>,
    /// From where on the wallet wants to know.
    pub birthday: u32,
    stories: BTreeMap<Lie, Story>,
}

/// What a world is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few dozen blocks.
    Small,
    /// More than a message of headers, and checkpoints.
    Large,
}

impl FilterWorld {
    /// Mines it, and tells all lies about it.
    ///
    /// # Panics
    /// If the rules refuse what was made by them: a bug.
    #[must_use]
    pub fn new(seed: u64, size: Size) -> Self {
        let mut ledger = Ledger::new(seed);
        let (empty, full) = match size {
            Size::Small => (0, 30 + ledger.below(30)),
            Size::Large => (1_010 + ledger.below(1_300), 1_300),
        };
        let mut tip = 0;
        for _ in 0..empty {
            tip = ledger.mine_empty(tip);
        }
        for _ in 0..full {
            tip = ledger.mine(tip);
        }
        let base = tip;
        let news = mine_news(&mut ledger, base);
        let mut chain = HeaderChain::new(ledger.params.clone());
        apply(&mut chain, &ledger, base);
        let height = ledger.entries.get(base).map_or(0, |entry| entry.height);
        let birthday = match size {
            Size::Small => 0,
            Size::Large => u32::try_from(empty).unwrap_or(0),
        };
        let late = height.saturating_sub(20);
        let kinds = LIES.into_iter().chain([Lie::None]);
        let stories = kinds.map(|lie| (lie, Story::new(&ledger, lie, late))).collect();
        Self { ledger, chain, base, news, birthday, stories }
    }

    /// What a lie makes of the filters.
    ///
    /// # Panics
    /// Never: all were told.
    #[must_use]
    pub fn story(&self, lie: Lie) -> &Story {
        let Some(story) = self.stories.get(&lie) else { unreachable!("a lie that is not told") };
        story
    }

    /// The block in a place.
    #[must_use]
    pub fn entry(&self, number: usize) -> Option<&Entry> {
        self.ledger.entries.get(number)
    }
}

/// Single blocks, and branches that take over.
fn mine_news(ledger: &mut Ledger, base: usize) -> Vec<usize> {
    let mut news = Vec::new();
    let mut tip = base;
    for _ in 0..8 {
        if ledger.below(3) == 0 {
            let depth = 1 + ledger.below(3);
            let mut fork = tip;
            for _ in 0..depth {
                fork = ledger.entries.get(fork).and_then(|entry| entry.parent).unwrap_or(fork);
            }
            tip = fork;
            for _ in 0..=depth {
                tip = ledger.mine(tip);
            }
        } else {
            tip = ledger.mine(tip);
        }
        news.push(tip);
    }
    news
}

/// Has a chain follow a block, as the header sync would.
///
/// # Panics
/// If the rules refuse what was made by them: a bug.
pub fn apply(chain: &mut HeaderChain, ledger: &Ledger, tip: usize) {
    let mut headers: Vec<Header> = Vec::new();
    let mut next = ledger.entries.get(tip);
    while let Some(entry) = next.filter(|entry| !chain.contains(&entry.hash)) {
        headers.push(entry.header);
        next = entry.parent.and_then(|parent| ledger.entries.get(parent));
    }
    headers.reverse();
    for batch in headers.chunks(2000) {
        let verified = chain.verify(batch, UnixTime::MAX);
        let applied = verified.map(|batch| chain.apply(batch));
        assert!(matches!(applied, Ok(Ok(_))), "a made header is refused: {applied:?}");
    }
}
