//! From a trusted height and hash to a chain: the header and its context come from peers, each
//! proved by the hash it was asked for.

use ironlight_spv::sync::{StartAction, StartConfig, StartFetch};
use ironlight_spv::{HeaderChain, Params};
use tracing::{info, warn};

use super::handle::Stopped;
use super::writer::{HeaderNetwork, NetworkInput};
use crate::clock::Clock;
use crate::net::Question;
use crate::node::{NodeError, StartPoint};
use crate::tasks::sleep_until;

/// Peers that joined while the start was fetched: the writer has to hear of them.
pub(crate) type Joined = Vec<NetworkInput>;

/// Asks peers until one gives the start point's header; then a chain that starts there, and the
/// peers that are connected by then.
///
/// # Errors
/// [`NodeError`] where the network ends, or the start cannot be used.
pub(crate) async fn fetch_start<N: HeaderNetwork>(
    network: &mut N,
    params: Params,
    point: StartPoint,
    clock: Clock,
) -> Result<(HeaderChain, Joined), NodeError> {
    info!(height = point.height.0, hash = %point.hash, "asking peers for the start point");
    let config = StartConfig::default();
    let mut fetch = StartFetch::new(params.clone(), config, point.height, point.hash);
    let mut joined = Joined::new();
    loop {
        while let Some(action) = fetch.poll() {
            match action {
                StartAction::GetHeader { peer, hash } => {
                    let (locator, stop) = (Vec::new(), Some(hash));
                    let question = Question { locator, stop, shared: false, retry: false };
                    network.get_headers(peer, question).await;
                }
                StartAction::Finished(start) => {
                    return match HeaderChain::from_start(params, start) {
                        Ok(chain) => Ok((chain, joined)),
                        Err(error) => Err(NodeError::InvalidStart { source: Box::new(error) }),
                    };
                }
                other => warn!(?other, "an action that this node does not know"),
            }
        }
        let deadline = fetch.poll_timeout().map(|elapsed| clock.instant(elapsed));
        tokio::select! {
            input = network.next() => match input {
                Some(input) => handle(&mut fetch, &mut joined, input, clock),
                None => return Err(Stopped.into()),
            },
            () = sleep_until(deadline) => {
                info!(peers = joined.len(), "no peer has given the start point yet; asking on");
                fetch.handle_timeout(clock.now());
            }
        }
    }
}

fn handle(fetch: &mut StartFetch, joined: &mut Joined, input: NetworkInput, clock: Clock) {
    let now = clock.now();
    match &input {
        NetworkInput::Joined { peer, .. } => fetch.handle_connected(*peer, now),
        NetworkInput::Left { peer, .. } => fetch.handle_disconnected(*peer, now),
        NetworkInput::Headers { peer, headers } => fetch.handle_headers(*peer, headers, now),
        // Before there is a chain, an announcement says nothing; and it asks on by its own deadlines.
        NetworkInput::BlockInv { .. } | NetworkInput::Unanswered { .. } => {}
    }
    keep(joined, input);
}

/// Keeps who joins, until it leaves.
pub(super) fn keep(joined: &mut Joined, input: NetworkInput) {
    match input {
        NetworkInput::Joined { .. } => joined.push(input),
        NetworkInput::Left { peer: left, .. } => joined
            .retain(|input| !matches!(input, NetworkInput::Joined { peer, .. } if *peer == left)),
        NetworkInput::Headers { .. }
        | NetworkInput::Unanswered { .. }
        | NetworkInput::BlockInv { .. } => {}
    }
}
