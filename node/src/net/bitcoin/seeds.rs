//! Where a node that knows nobody starts: names whose addresses are full nodes.
//!
//! Seeds are asked only when the policy wants addresses, and only those that the configuration
//! lists; with none, nothing is ever resolved. What a seed says is taken as one source's word:
//! it reaches an eighth of the address book at most.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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

/// Asks one seed. Cancel safe.
///
/// # Errors
/// When there is no answer in time.
pub async fn ask(resolver: &impl Resolve, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let ips = timeout(WITHIN, resolver.resolve(name)).await??;
    let addrs = ips.into_iter().take(MAX_ADDRESSES_PER_SEED);
    Ok(addrs.map(|ip| SocketAddr::new(ip, port)).collect())
}
