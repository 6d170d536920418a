//! What a request names: a script, directly or by its address, or a descriptor.

use std::fmt;

use bitcoin::address::{Address, NetworkUnchecked, ParseError};
use bitcoin::hex::FromHex as _;
use bitcoin::{Script, ScriptBuf};
use ironlight_spv::Network;

use super::descriptor::{self, WatchedDescriptor};
use super::{WatchError, in_bitcoin_crate};

/// The longest script whose coins can be spent (Core, `script.h`, `MAX_SCRIPT_SIZE`).
const MAX_SCRIPT_BYTES: usize = 10_000;

/// What is watched. Two targets are equal if the same scripts belong to them by the same text: an
/// address equals its script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchTarget(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Script(ScriptBuf),
    Descriptor(Box<WatchedDescriptor>),
}

/// A look at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetView<'a> {
    /// One script.
    Script(&'a Script),
    /// A descriptor.
    Descriptor {
        /// Its text in canonical form, with its checksum.
        text: &'a str,
        /// Whether it stands for many scripts.
        ranged: bool,
    },
}

impl WatchTarget {
    /// The script of an address.
    ///
    /// # Errors
    /// [`WatchError`] where the text is no address, or one of another network.
    pub fn address(text: &str, network: Network) -> Result<Self, WatchError> {
        descriptor::refuse_private(text)?;
        let address: Address<NetworkUnchecked> = text.parse().map_err(|error: ParseError| {
            WatchError::Address { reason: descriptor::without_keys(&error.to_string()) }
        })?;
        let wrong = || WatchError::AddressNetwork { address: text.to_owned(), network };
        let address =
            address.require_network(in_bitcoin_crate(network)).map_err(|_unchecked| wrong())?;
        Self::script(address.script_pubkey())
    }

    /// A script, in hexadecimal as Bitcoin Core prints it.
    ///
    /// # Errors
    /// [`WatchError`] where the text is not hexadecimal, or no filter could hold the script.
    pub fn script_hex(text: &str) -> Result<Self, WatchError> {
        let bytes = Vec::<u8>::from_hex(text)
            .map_err(|error| WatchError::ScriptHex { reason: error.to_string() })?;
        Self::script(ScriptBuf::from_bytes(bytes))
    }

    /// A script.
    ///
    /// # Errors
    /// [`WatchError`] where no filter could hold it (BIP158, "Contents"), or nobody could spend it.
    pub fn script(script: ScriptBuf) -> Result<Self, WatchError> {
        if script.is_empty() {
            return Err(WatchError::Unfindable { why: "is empty" });
        }
        if script.is_op_return() {
            return Err(WatchError::Unfindable { why: "begins with OP_RETURN" });
        }
        if script.len() > MAX_SCRIPT_BYTES {
            let (bytes, limit) = (script.len(), MAX_SCRIPT_BYTES);
            return Err(WatchError::ScriptTooLong { bytes, limit });
        }
        Ok(Self(Kind::Script(script)))
    }

    /// An output descriptor with public keys only (BIP380 to BIP389). A checksum is checked where
    /// there is one.
    ///
    /// # Errors
    /// [`WatchError`], without any part of a key in its message.
    pub fn descriptor(text: &str, network: Network) -> Result<Self, WatchError> {
        WatchedDescriptor::parse(text, network).map(Box::new).map(Kind::Descriptor).map(Self)
    }

    /// A look at what it is.
    #[must_use]
    pub fn view(&self) -> TargetView<'_> {
        match &self.0 {
            Kind::Script(script) => TargetView::Script(script),
            Kind::Descriptor(descriptor) => {
                TargetView::Descriptor { text: descriptor.text(), ranged: descriptor.is_ranged() }
            }
        }
    }

    /// The address of a script that has one; none for descriptors.
    #[must_use]
    pub fn as_address(&self, network: Network) -> Option<Address> {
        match self.view() {
            TargetView::Script(script) => {
                Address::from_script(script, in_bitcoin_crate(network)).ok()
            }
            TargetView::Descriptor { .. } => None,
        }
    }

    /// How many keychains it has: as many as its descriptor has paths, else one.
    #[must_use]
    pub fn keychains(&self) -> u8 {
        match &self.0 {
            Kind::Script(_) => 1,
            Kind::Descriptor(descriptor) => descriptor.keychains(),
        }
    }

    /// Whether it stands for more than one script a keychain.
    #[must_use]
    pub fn is_ranged(&self) -> bool {
        match self.view() {
            TargetView::Script(_) => false,
            TargetView::Descriptor { ranged, .. } => ranged,
        }
    }

    /// The scripts of indices `from` up to, not including, `to`. Slow: about 0.06 ms a script and
    /// key.
    pub(crate) fn derive(
        &self,
        keychain: u8,
        from: u32,
        to: u32,
    ) -> Result<Vec<ScriptBuf>, WatchError> {
        match &self.0 {
            Kind::Script(script) if from == 0 && to > 0 => Ok(vec![script.clone()]),
            Kind::Script(_) => Ok(Vec::new()),
            Kind::Descriptor(descriptor) => descriptor.derive(keychain, from, to),
        }
    }
}

impl fmt::Display for WatchTarget {
    /// The descriptor, or the script in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.view() {
            TargetView::Script(script) => write!(f, "{script:x}"),
            TargetView::Descriptor { text, .. } => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAINNET: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

    #[test]
    fn an_address_is_its_script() {
        let target = WatchTarget::address(MAINNET, Network::Mainnet).unwrap();
        let script =
            WatchTarget::script_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap();
        assert_eq!(target, script);
        assert_eq!(target.as_address(Network::Mainnet).unwrap().to_string(), MAINNET);
        assert_eq!(target.derive(0, 0, 1).unwrap().len(), 1);
        assert_eq!(target.derive(0, 1, 2).unwrap().len(), 0);
    }

    #[test]
    fn an_address_of_another_network_is_refused() {
        for network in [Network::Signet, Network::Testnet4, Network::Regtest] {
            let refused = WatchTarget::address(MAINNET, network).unwrap_err();
            assert!(
                matches!(refused, WatchError::AddressNetwork { network: n, .. } if n == network)
            );
        }
        let regtest = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        assert!(WatchTarget::address(regtest, Network::Regtest).is_ok());
        assert!(WatchTarget::address(regtest, Network::Signet).is_err());
    }

    #[test]
    fn text_that_is_no_address_or_script_is_refused() {
        for text in ["", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "hello"] {
            let refused = WatchTarget::address(text, Network::Mainnet).unwrap_err();
            assert!(matches!(refused, WatchError::Address { .. }), "{text}: {refused}");
        }
        for text in ["0", "zz", "0x00"] {
            let refused = WatchTarget::script_hex(text).unwrap_err();
            assert!(matches!(refused, WatchError::ScriptHex { .. }), "{text}: {refused}");
        }
    }

    #[test]
    fn a_script_that_no_filter_holds_is_refused() {
        for text in ["", "6a", "6a0401020304"] {
            let refused = WatchTarget::script_hex(text).unwrap_err();
            assert!(matches!(refused, WatchError::Unfindable { .. }), "{text}: {refused}");
        }
        let refused = WatchTarget::script(ScriptBuf::from_bytes(vec![0x51; 10_001])).unwrap_err();
        assert_eq!(refused, WatchError::ScriptTooLong { bytes: 10_001, limit: 10_000 });
    }

    #[test]
    fn a_private_key_in_place_of_an_address_is_not_repeated() {
        let key = "L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ";
        let refused = WatchTarget::address(key, Network::Mainnet).unwrap_err();
        assert_eq!(refused, WatchError::PrivateKey);
        assert!(!refused.to_string().contains("L1aW4"));
    }
}
