//! The full node that an example talks to: the one that is named on its command line, such as that of
//! `ironlight devnet`, or else one of its own, which pays and mines as the example needs it.

#![allow(dead_code, reason = "no example needs all of it")]

use std::error::Error;
use std::net::SocketAddr;
use std::str::FromStr as _;

use bitcoin::{Address, Amount, Network, ScriptBuf, Txid};
use miniscript::{Descriptor, DescriptorPublicKey};

/// Test vector 1 of BIP32, as regtest writes it: anybody has the key.
pub(crate) const DESCRIPTOR: &str = "wpkh(tpubD6NzVbkrYhZ4XgiXtGrdW5XDAPFCL9h7we1vwNCpn8tGbBcgfVYjXyhWo4E1xkh56hjod1RhGjxbaTLV3X4FyWuejifB9jusQ46QzG87VKp/0/*)";

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) struct Sandbox {
    address: SocketAddr,
    #[cfg(feature = "daemon")]
    own: Option<ironlight::devnet::Devnet>,
}

impl Sandbox {
    /// The full node of the command line, or one of our own with blocks whose coins can be spent.
    pub(crate) async fn open() -> Outcome<Self> {
        if let Some(address) = std::env::args().nth(1) {
            return Ok(Self {
                address: address.parse()?,
                #[cfg(feature = "daemon")]
                own: None,
            });
        }
        Self::start().await
    }

    #[cfg(feature = "daemon")]
    async fn start() -> Outcome<Self> {
        use ironlight::devnet::{Devnet, DevnetConfig};
        let devnet = Devnet::start(DevnetConfig { blocks: 110, ..DevnetConfig::default() }).await?;
        Ok(Self { address: devnet.address(), own: Some(devnet) })
    }

    #[cfg(not(feature = "daemon"))]
    async fn start() -> Outcome<Self> {
        Err("name a full node on regtest, such as 127.0.0.1:18444, or build with the feature daemon".into())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address at an index of a descriptor.
    pub(crate) fn address_of(descriptor: &str, index: u32) -> Outcome<Address> {
        let descriptor = Descriptor::<DescriptorPublicKey>::from_str(descriptor)?;
        Ok(descriptor.at_derivation_index(index)?.address(Network::Regtest)?)
    }

    /// Pays a script. None where the full node is somebody else's.
    pub(crate) async fn pay(&self, script: ScriptBuf, satoshi: u64) -> Outcome<Option<Txid>> {
        #[cfg(feature = "daemon")]
        if let Some(devnet) = &self.own {
            return Ok(Some(devnet.pay(script, Amount::from_sat(satoshi)).await?));
        }
        let (address, amount) =
            (Address::from_script(&script, Network::Regtest)?, Amount::from_sat(satoshi));
        println!("waiting for a payment: ironlight devnet pay {address} {}", amount.to_btc());
        Ok(None)
    }

    /// Mines blocks, where the full node is our own.
    pub(crate) async fn mine(&self, blocks: u32) -> Outcome<()> {
        #[cfg(feature = "daemon")]
        if let Some(devnet) = &self.own {
            devnet.mine(blocks).await?;
            return Ok(());
        }
        println!("waiting for {blocks} blocks: ironlight devnet mine {blocks}");
        Ok(())
    }

    /// Takes blocks off and mines others, where the full node is our own.
    pub(crate) async fn reorg(&self, depth: u32) -> Outcome<()> {
        #[cfg(feature = "daemon")]
        if let Some(devnet) = &self.own {
            devnet.reorg(depth).await?;
            return Ok(());
        }
        println!("nobody has to, but it would show: ironlight devnet reorg {depth}");
        Ok(())
    }
}
