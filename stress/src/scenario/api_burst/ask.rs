//! What the clients ask, and what is right.

use std::path::PathBuf;

use ironlight::api::client::get;
use ironlight::api::{HeaderDto, HealthDto, PeersDto, StatusDto, TipDto};
use ironlight::chain::ChainHandle;
use ironlight::devnet::Devnet;
use ironlight_spv::generate::Miner;

use super::super::chains::{WRONG, below};
use super::super::rig::{REFUSED, class_of};
use crate::measure::Class;

/// No chain of a scenario is that high.
const NOWHERE: u32 = 4_000_000;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Tip,
    Status,
    Peers,
    Health,
    /// A header by its height.
    Height(u32),
    /// The header at a height by its hash.
    Hash(u32),
    /// A header that there is not: the answer says so.
    Nowhere,
}

impl Ask {
    /// Headers and tips most often, as wallets do.
    pub(super) fn draw(random: &mut Miner, heights: u32) -> Self {
        let height = u32::try_from(below(random, u64::from(heights) + 1)).unwrap_or(0);
        match below(random, 10) {
            0..=2 => Self::Tip,
            3 | 4 => Self::Height(height),
            5 => Self::Hash(height),
            6 => Self::Status,
            7 => Self::Peers,
            8 => Self::Health,
            _ => Self::Nowhere,
        }
    }
}

/// Who is asked, and what is so.
pub(super) struct Truth<'a> {
    pub(super) directory: PathBuf,
    pub(super) devnet: &'a Devnet,
    pub(super) chain: &'a ChainHandle,
}

impl Truth<'_> {
    /// Asks, and judges the answer.
    pub(super) async fn ask(&self, ask: Ask) -> Result<(), Class> {
        // It may grow until the answer is made, and not shrink.
        let least = self.chain.tip().height.0;
        let right = match ask {
            Ask::Tip => {
                let tip: TipDto = self.get("/v1/tip").await?;
                tip.height >= least && self.is_at(tip.height, &tip.hash)
            }
            Ask::Status => {
                let StatusDto { tip, peers, .. } = self.get("/v1/status").await?;
                peers == 1 && tip.height >= least && self.is_at(tip.height, &tip.hash)
            }
            Ask::Peers => {
                let PeersDto { networks } = self.get("/v1/peers").await?;
                networks.iter().map(|network| network.peers.len()).sum::<usize>() == 1
            }
            Ask::Health => {
                let HealthDto { live, checks, .. } = self.get("/v1/health").await?;
                live && !checks.is_empty()
            }
            Ask::Height(height) => {
                let header: HeaderDto = self.get(&format!("/v1/headers/{height}")).await?;
                header.height == height && self.is_at(height, &header.hash)
            }
            Ask::Hash(height) => {
                let hash = self.hash_at(height).ok_or(WRONG)?;
                let header: HeaderDto = self.get(&format!("/v1/headers/{hash}")).await?;
                header.height == height && header.best_chain && header.hash == hash
            }
            Ask::Nowhere => {
                let path = format!("/v1/headers/{NOWHERE}");
                let refused = get::<HeaderDto>(&self.directory, &path).await.err();
                match refused.as_ref().map(class_of) {
                    Some(REFUSED) => true,
                    Some(other) => return Err(other),
                    None => false,
                }
            }
        };
        if right { Ok(()) } else { Err(WRONG) }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Class> {
        get(&self.directory, path).await.map_err(|error| class_of(&error))
    }

    fn hash_at(&self, height: u32) -> Option<String> {
        self.devnet.read(|ledger| ledger.tree().at(height).map(|entry| entry.hash.to_string()))
    }

    fn is_at(&self, height: u32, hash: &str) -> bool {
        self.hash_at(height).is_some_and(|known| known == hash)
    }
}
