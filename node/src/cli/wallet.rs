//! Settings of compact filters and of the wallet.

use clap::Args;
use ironlight_spv::BlockHeight;
use serde::{Deserialize, Deserializer, Serialize};

use super::config::{ConfigError, checked, value};
use crate::filters::FilterConfig;

/// What `ironlight run` keeps of filters and hears of transactions.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub(super) struct WalletSettings {
    /// Bytes of compact filters that are kept, such as 500M or 2G; the oldest go first [default:
    /// 500M].
    #[arg(long, value_name = "BYTES", value_parser = checked(parse_bytes))]
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    filter_cache: Option<String>,
    /// Bytes of blocks that are kept in memory; the least recently used go first [default: 32M].
    #[arg(long, value_name = "BYTES", value_parser = checked(parse_bytes))]
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    block_cache: Option<String>,
    /// Fetch, keep and serve compact filters from this height on, whether or not anything is watched.
    #[arg(long, value_name = "HEIGHT", value_parser = checked(parse_height))]
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    filters_from: Option<String>,
    /// Ask full nodes for all transactions that they relay, so that payments show before they are in
    /// a block, marked as unverified. It takes as much of the line as a full node's relay does.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) watch_mempool: bool,
}

impl WalletSettings {
    pub(super) fn filters(&self) -> Result<FilterConfig, ConfigError> {
        let mut config = FilterConfig::default();
        if let Some(bytes) = &self.filter_cache {
            config.cache_bytes = value("filter-cache", bytes, parse_bytes)?;
        }
        if let Some(height) = &self.filters_from {
            config.from = Some(value("filters-from", height, parse_height)?);
        }
        Ok(config)
    }

    /// What is said of the cache of blocks.
    pub(super) fn block_cache(&self) -> Result<Option<usize>, ConfigError> {
        let bytes = self.block_cache.as_deref();
        let bytes = bytes.map(|bytes| value("block-cache", bytes, parse_bytes)).transpose()?;
        // More than there are addresses for is no bound.
        Ok(bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)))
    }
}

/// Text, or a number that a file has without quotes.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber {
        Text(String),
        Number(u64),
    }
    Ok(Some(match TextOrNumber::deserialize(from)? {
        TextOrNumber::Text(text) => text,
        TextOrNumber::Number(number) => number.to_string(),
    }))
}

/// Bytes, or thousands, millions, thousands of millions of them.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1_000),
        Some((at, 'm' | 'M')) => (text.get(..at), 1_000_000),
        Some((at, 'g' | 'G')) => (text.get(..at), 1_000_000_000),
        Some(_) | None => (Some(text), 1),
    };
    let bytes = digits.and_then(|digits| digits.parse::<u64>().ok());
    let bytes = bytes.and_then(|bytes| bytes.checked_mul(unit));
    bytes.ok_or_else(|| "expected bytes, such as 500000000, 500M or 2G".to_owned())
}

fn parse_height(text: &str) -> Result<BlockHeight, String> {
    text.parse().map(BlockHeight).map_err(|_| "expected a height".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_have_a_unit() {
        for (text, bytes) in
            [("0", 0), ("500000000", 500_000_000), ("500M", 500_000_000), ("2g", 2_000_000_000)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "500 MB", "99999999999G", "1\u{e9}"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_set_becomes_the_nodes() {
        let settings = WalletSettings {
            filter_cache: Some("1M".to_owned()),
            block_cache: Some("2M".to_owned()),
            filters_from: Some("7".to_owned()),
            watch_mempool: true,
        };
        let config = settings.filters().unwrap();
        assert_eq!((config.cache_bytes, config.from), (1_000_000, Some(BlockHeight(7))));
        assert_eq!(settings.block_cache().unwrap(), Some(2_000_000));
        assert_eq!(WalletSettings::default().filters().unwrap(), FilterConfig::default());
        assert_eq!(WalletSettings::default().block_cache().unwrap(), None);
    }
}
