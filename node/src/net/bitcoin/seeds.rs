//! Where a node that knows nobody starts: names whose addresses are full nodes.
//!
//! Seeds are asked only when the policy wants addresses, and only those that the configuration
//! lists; with none, nothing is ever resolved. What a seed says is taken as one source's word:
//! it reaches an eighth of the address book at most.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bitcoin::p2p::ServiceFlags;
use tokio::time::timeout;

/// Addresses taken of one seed's answer.
pub const MAX_ADDRESSES_PER_SEED: usize = 256;
/// How long one seed is waited for.
const WITHIN: Duration = Duration::from_secs(10);

/// Resolves the names of seeds.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses that a name stands for.
    ///
    /// # Errors
    /// When there is no answer.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

/// Asks the system's resolver, which decides whom it asks.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let addrs = tokio::net::lookup_host((name, 0)).await?;
        Ok(addrs.map(|addr| addr.ip()).take(MAX_ADDRESSES_PER_SEED).collect())
    }
}

/// Which full nodes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those that a seed gives by itself.
    Any,
    /// Those with compact filters, where the seed can tell.
    WithFilters,
}

/// What a seed said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// Full nodes.
    pub addrs: Vec<SocketAddr>,
    /// What they offer, as the seed says.
    pub services: ServiceFlags,
}

/// What `x49` stands for: Bitcoin Core's seeds take the services asked for before their name, in
/// hexadecimal (`net.cpp`, `ThreadDNSAddressSeed`).
fn with_filters() -> ServiceFlags {
    ServiceFlags::NETWORK | ServiceFlags::WITNESS | ServiceFlags::COMPACT_FILTERS
}

/// Asks one seed. Not every seed knows of services: what has no answer with them is asked without.
/// Cancel safe.
///
/// # Errors
/// When there is no answer in time.
pub async fn ask(
    resolver: &impl Resolve,
    name: &str,
    port: u16,
    wanted: Wanted,
) -> io::Result<Seeded> {
    if wanted == Wanted::WithFilters {
        let addrs = addresses(resolver, &format!("x49.{name}"), port).await;
        if let Ok(addrs) = addrs
            && !addrs.is_empty()
        {
            return Ok(Seeded { addrs, services: with_filters() });
        }
    }
    let addrs = addresses(resolver, name, port).await?;
    Ok(Seeded { addrs, services: ServiceFlags::NETWORK })
}

async fn addresses(resolver: &impl Resolve, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let ips = timeout(WITHIN, resolver.resolve(name)).await??;
    let addrs = ips.into_iter().take(MAX_ADDRESSES_PER_SEED);
    Ok(addrs.map(|ip| SocketAddr::new(ip, port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows only one name.
    struct Knows(&'static str);

    impl Resolve for Knows {
        async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            let known = name == self.0;
            known.then(|| vec![IpAddr::from([8, 8, 8, 8])]).ok_or(io::ErrorKind::NotFound.into())
        }
    }

    #[tokio::test]
    async fn seeds_are_asked_for_nodes_with_filters_and_else_for_any() {
        let asked = |known, wanted| async move {
            ask(&Knows(known), "seed.invalid", 8333, wanted).await.map(|seeded| seeded.services)
        };
        let services = asked("x49.seed.invalid", Wanted::WithFilters).await.unwrap();
        assert!(services.has(ServiceFlags::COMPACT_FILTERS));
        let services = asked("seed.invalid", Wanted::WithFilters).await.unwrap();
        assert_eq!(services, ServiceFlags::NETWORK);
        assert!(asked("x49.seed.invalid", Wanted::Any).await.is_err());
    }
}
