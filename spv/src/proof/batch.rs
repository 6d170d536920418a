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
    for group in proofs.chunks(GROUP) {
        climbs.clear();
        climbs.extend(group.iter().map(|proof| Ok(proof.climb())));
        while raise(&mut climbs) == Progress::Rising {}
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

/// Takes every climb that has not arrived one level up.
fn raise(climbs: &mut [Result<Climb<'_>, ProofError>]) -> Progress {
    let mut nodes = [[0; 64]; GROUP];
    let mut rising = [0; GROUP];
    let mut places = nodes.iter_mut().zip(&mut rising);
    let mut count = 0;
    for (at, slot) in climbs.iter_mut().enumerate() {
        let Ok(climb) = slot else { continue };
        if climb.is_done() {
            continue;
        }
        match climb.next_node() {
            Err(error) => *slot = Err(error),
            Ok(node) => {
                if let Some(place) = places.next() {
                    *place.0 = node;
                    *place.1 = at;
                    count += 1;
                }
            }
        }
    }
    let mut hashes = [[0; 32]; GROUP];
    let found = hashes.get_mut(..count).unwrap_or_default();
    lanes::sha256d_64(nodes.get(..count).unwrap_or_default(), found);
    for (at, hash) in rising.iter().zip(found) {
        if let Some(Ok(climb)) = climbs.get_mut(*at) {
            climb.hash = *hash;
        }
    }
    if count == 0 { Progress::Arrived } else { Progress::Rising }
}
