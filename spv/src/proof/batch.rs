//! Many proofs at once: each level of all of them is hashed in parallel lanes.

use alloc::vec::Vec;

use super::climb::Climb;
use super::error::ProofError;
use super::inclusion::Inclusion;
use super::single::MerkleProof;
use crate::lanes;

/// Proofs that climb together: what they need stays in the nearest cache.
const GROUP: usize = 64;

/// Checks many proofs, of whatever blocks: each gets the verdict that
/// [`MerkleProof::verify`] would give it, at its place.
#[must_use]
pub fn verify_batch(proofs: &[MerkleProof]) -> Vec<Result<Inclusion, ProofError>> {
    let mut verdicts = Vec::with_capacity(proofs.len());
    let mut climbs = Vec::with_capacity(GROUP.min(proofs.len()));
    let mut level = Level::new();
    for group in proofs.chunks(GROUP) {
        climbs.clear();
        climbs.extend(group.iter().map(|proof| Ok(proof.climb())));
        while level.raise(&mut climbs) == Progress::Rising {}
        let arrived = group.iter().zip(&climbs);
        verdicts.extend(arrived.map(|(proof, climb)| match climb {
            Ok(climb) => proof.arrived_at(climb.hash),
            Err(error) => Err(*error),
        }));
    }
    verdicts
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Rising,
    Arrived,
}

/// One level of all climbs, kept from one to the next so that nothing is cleared in vain.
struct Level {
    nodes: [[u8; 64]; GROUP],
    /// Which climb each node is of.
    rising: [usize; GROUP],
    hashes: [[u8; 32]; GROUP],
}

impl Level {
    const fn new() -> Self {
        Self { nodes: [[0; 64]; GROUP], rising: [0; GROUP], hashes: [[0; 32]; GROUP] }
    }

    /// Takes every climb that has not arrived one level up.
    fn raise(&mut self, climbs: &mut [Result<Climb<'_>, ProofError>]) -> Progress {
        let count = self.collect(climbs);
        let (Some(nodes), Some(hashes)) = (self.nodes.get(..count), self.hashes.get_mut(..count))
        else {
            return Progress::Arrived;
        };
        lanes::sha256d_64(nodes, hashes);
        for (at, hash) in self.rising.iter().zip(hashes) {
            if let Some(Ok(climb)) = climbs.get_mut(*at) {
                climb.hash = *hash;
            }
        }
        if count == 0 { Progress::Arrived } else { Progress::Rising }
    }

    /// Writes down the next node of each climb; returns how many there are.
    fn collect(&mut self, climbs: &mut [Result<Climb<'_>, ProofError>]) -> usize {
        let mut count = 0;
        for (at, slot) in climbs.iter_mut().enumerate() {
            let (Some(node), Some(place)) = (self.nodes.get_mut(count), self.rising.get_mut(count))
            else {
                break;
            };
            let next = match slot {
                Ok(climb) if !climb.is_done() => climb.next_node(node),
                Ok(_) | Err(_) => continue,
            };
            match next {
                Ok(()) => {
                    *place = at;
                    count += 1;
                }
                Err(error) => *slot = Err(error),
            }
        }
        count
    }
}
