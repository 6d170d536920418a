//! Whether the node works: what it can be asked again and again.
//!
//! Nothing here runs by itself: whoever asks has the checks run. What they cost is bounded by the
//! control socket's own bounds.

use std::sync::Arc;
use std::time::Duration;

use ironlight_hardening::TokioTimer;
use ironlight_hardening::circuit_breaker::CircuitState;
use ironlight_hardening::health::{
    Check, CheckConfig, HealthRegistry, Observation, Probe, from_fn, ping,
};
use ironlight_spv::Network;
use tracing::warn;

use crate::bridge::NetworksHandle;
use crate::chain::{ChainHandle, Phase};
use crate::clock::unix_now;
use crate::store::{Store, headers};

/// Nine intervals without a block: it happens about once in 8,000 blocks.
const LATE: Duration = Duration::from_secs(90 * 60);
/// Something is wrong: with the network, or with all peers that we have.
const STALE: Duration = Duration::from_secs(4 * 60 * 60);

/// The checks of a node.
pub(crate) fn checks(
    chain: &ChainHandle,
    networks: &NetworksHandle,
    store: &Arc<dyn Store>,
    network: Network,
) -> HealthRegistry<TokioTimer> {
    let registry = HealthRegistry::new(TokioTimer::new());
    let store = Arc::clone(store);
    add(&registry, "store", Probe::Liveness, ping(move || can_read(Arc::clone(&store))));
    let asked = networks.clone();
    add(&registry, "networks", Probe::Readiness, ping(move || has_peers(asked.clone())));
    let synced = chain.clone();
    add(&registry, "sync", Probe::Readiness, from_fn(move || is_synced(&synced)));
    // On regtest blocks come when somebody wants one.
    if network != Network::Regtest {
        let tip = chain.clone();
        add(&registry, "tip", Probe::Readiness, from_fn(move || tip_age(&tip)));
    }
    registry
}

fn add(registry: &HealthRegistry<TokioTimer>, name: &str, probe: Probe, check: impl Check) {
    // Whoever asks wants to know how it is now: one failure is told as one.
    let config = CheckConfig { failure_threshold: 1, ..CheckConfig::default() };
    if let Err(error) = registry.register(name, probe, config, check) {
        warn!(%error, name, "a check is left out: a defect");
    }
}

async fn can_read(store: Arc<dyn Store>) -> Observation {
    match tokio::task::spawn_blocking(move || headers::probe(store.as_ref())).await {
        Ok(Ok(())) => Observation::pass(),
        Ok(Err(error)) => Observation::fail(error),
        Err(error) => Observation::fail(error),
    }
}

async fn has_peers(networks: NetworksHandle) -> Observation {
    let reports = networks.reports().await;
    let peers = reports.iter().map(|report| report.peers.len()).sum::<usize>();
    let lonely: Vec<&str> = reports
        .iter()
        .filter(|report| report.peers.is_empty())
        .map(|report| report.network.name())
        .collect();
    let all = reports.iter().flat_map(|report| &report.peers);
    let breakers: Vec<_> = all.filter_map(|peer| Some(peer.requests?.breaker)).collect();
    let open = breakers.iter().all(|breaker| *breaker == CircuitState::Open);
    let seen = if peers == 0 {
        Observation::fail("no peer on any network")
    } else if open && !breakers.is_empty() {
        Observation::fail("no peer is asked: all of them failed lately")
    } else if lonely.is_empty() {
        Observation::pass()
    } else {
        Observation::warn(format_args!("no peer on {}", lonely.join(", ")))
    };
    seen.with_value(i64::try_from(peers).unwrap_or(i64::MAX), "peers")
}

fn is_synced(chain: &ChainHandle) -> Observation {
    let status = chain.status();
    let height = i64::from(status.tip.height.0);
    let seen = match status.phase {
        Phase::Synced => Observation::pass(),
        Phase::Syncing | Phase::CatchingUp | Phase::BelowMinimumWork => {
            Observation::fail(status.phase)
        }
    };
    seen.with_value(height, "headers")
}

/// By the tip's own time, as miners claim it: within two hours of the truth (Core,
/// `MAX_FUTURE_BLOCK_TIME`).
fn tip_age(chain: &ChainHandle) -> Observation {
    let age = unix_now().0.saturating_sub(chain.status().tip_time.0);
    let seen = match Duration::from_secs(u64::from(age)) {
        age if age >= STALE => Observation::fail("no block for hours"),
        age if age >= LATE => Observation::warn("the next block is late"),
        _ => Observation::pass(),
    };
    seen.with_value(i64::from(age), "seconds")
}
