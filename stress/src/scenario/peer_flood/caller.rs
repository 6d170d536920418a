//! One of those who call, and what it asks (docs/PROTOCOL.md).

use futures_util::future::join_all;
use ironlight_spv::generate::Miner;
use ironlight_tests::Stranger;

use super::super::chains::{WRONG, below};
use crate::measure::{Class, Crowd};

/// Not let in, or hung up on at once.
pub(super) const NOT_LET_IN: Class = "not_let_in";
/// Told when to come back.
pub(super) const BUSY: Class = "busy";
/// Told that it is no request.
pub(super) const INVALID: Class = "invalid";
/// Hung up on.
pub(super) const THROWN_OUT: Class = "thrown_out";
/// A request without an answer.
pub(super) const UNANSWERED: Class = "unanswered";

/// One caller of so many is greedy, and one is an offender.
const EACH: u64 = 16;
/// Requests of those who are neither.
const REQUESTS: u64 = 20;
/// Pages that a greedy one asks for at most: its allowance, and what that grows by meanwhile.
const GREEDY: u64 = 600;
/// Those that it asks for at once, so that it is faster than its allowance grows: a connection has
/// six at most (docs/PROTOCOL.md, Limits of a server).
const AT_ONCE: u64 = 4;
/// Headers of an honest request at most.
const FEW: u32 = 100;
/// What the greedy ask for: as much as a request can.
const MANY: u32 = 8_000;

/// What a caller is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It asks a little, and sometimes what is no request.
    Modest,
    /// It asks far beyond its allowance.
    Greedy,
    /// It sends a request that is too long for one.
    Offender,
}

impl Manner {
    /// Of the caller with a number.
    pub(super) const fn of(number: u64) -> Self {
        match number % EACH {
            0 => Self::Greedy,
            1 => Self::Offender,
            _ => Self::Modest,
        }
    }
}

/// A light node that was let in.
pub(super) struct Caller {
    stranger: Stranger,
    number: u64,
}

impl Caller {
    /// Calls a node; none where it is not let in.
    pub(super) async fn knock(address: &str, number: u64, crowd: &Crowd<'_, '_>) -> Option<Self> {
        let knock = async {
            let stranger = Stranger::knock(address);
            if stranger.is_let_in().await { Ok(stranger) } else { Err(NOT_LET_IN) }
        };
        crowd.time(1, knock).await.ok().map(|stranger| Self { stranger, number })
    }

    /// Asks, one request after the other; the class of the last one that was refused.
    pub(super) async fn ask(&self, seed: u64, heights: u32, crowd: &Crowd<'_, '_>) -> Asked {
        let mut random = Miner::new(seed.wrapping_add(self.number));
        let mut asked = Asked { manner: Manner::of(self.number), granted: 0, refused: None };
        match asked.manner {
            Manner::Modest => {
                for number in 0..REQUESTS {
                    if number % 5 == 4 {
                        let request = no_request(below(&mut random, 4));
                        asked.note(crowd.time(1, self.one(&request, None)).await);
                    } else {
                        let from = 1 + below(&mut random, u64::from(heights));
                        let from = u32::try_from(from).unwrap_or(1);
                        let request = headers(from, FEW);
                        asked.note(crowd.time(1, self.one(&request, Some(from))).await);
                    }
                }
            }
            Manner::Greedy => {
                // It costs what it asks for, whatever there is from there on.
                let request = headers(heights, MANY);
                for _ in 0..GREEDY / AT_ONCE {
                    let page = || crowd.time(1, self.one(&request, Some(heights)));
                    let pages = join_all((0..AT_ONCE).map(|_| page())).await;
                    pages.into_iter().for_each(|answer| asked.note(answer));
                    if asked.refused == Some(BUSY) {
                        break;
                    }
                }
            }
            Manner::Offender => {
                asked.note(crowd.time(1, self.offend()).await);
            }
        }
        asked
    }

    /// What has a first height is a request, and is answered as one.
    async fn one(&self, request: &[u8], first: Option<u32>) -> Result<(), Class> {
        let answer = self.stranger.answer_to(request).await.map_err(|_gone| UNANSWERED)?;
        match (answer.get(..2), first) {
            // Version, status; no extensions; the tip's height, then that of the first header.
            (Some([1, 0]), Some(first)) if answer.get(8..12) == Some(&first.to_le_bytes()) => {
                Ok(())
            }
            (Some([1, 2]), _) => Err(BUSY),
            (Some([1, 3]), None) => Err(INVALID),
            _ => Err(WRONG),
        }
    }

    /// Above the cap of a request, which costs the connection.
    async fn offend(&self) -> Result<(), Class> {
        // Whether it is told so before is the other side's choice.
        let _answer = self.stranger.answer_to(&[1; 9 * 1024]).await;
        self.stranger.thrown_out().await;
        Err(THROWN_OUT)
    }
}

/// What came of a caller's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) manner: Manner,
    /// Requests that were granted.
    pub(super) granted: u64,
    /// How the last one was refused that was.
    pub(super) refused: Option<Class>,
}

impl Asked {
    fn note(&mut self, answer: Result<(), Class>) {
        match answer {
            Ok(()) => self.granted += 1,
            Err(class) => self.refused = Some(class),
        }
    }
}

/// A request for so many headers from a height on.
fn headers(from: u32, most: u32) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0];
    bytes.extend(most.to_le_bytes());
    bytes.push(1);
    bytes.extend(from.to_le_bytes());
    bytes
}

/// Nothing, a version and nothing, another version, or a request for no headers.
fn no_request(kind: u64) -> Vec<u8> {
    match kind {
        0 => Vec::new(),
        1 => vec![1],
        2 => {
            let mut other = headers(1, 1);
            other.splice(..1, [9]);
            other
        }
        _ => headers(1, 0),
    }
}
