//! `GET /v1/history?account=NAME&before=HEIGHT:POSITION&limit=N`: confirmed transactions, the newest
//! first, page by page; the first page has those that wait, too.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::{account, scan};
use crate::api::dto::{HistoryDto, HistoryEntryDto, PendingDto, parse_place, place_text};
use crate::api::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::service::WalletHandle;

/// Entries of a page, where nothing is said.
const DEFAULT_LIMIT: usize = 100;
/// Entries of a page at most.
const MAX_LIMIT: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Page {
    account: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

pub(in crate::api) async fn get(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Json<HistoryDto>, ApiError> {
    let Query(Page { account: name, before, limit }) = query?;
    let account = account(&wallet, name.as_deref())?;
    let account = account.as_ref();
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let (name, value) = ("limit", limit.to_string());
        return Err(ApiError::Parameter { name, value, expected: "a number from 1 to 1000" });
    }
    let pending = if before.is_none() { wallet.pending(account) } else { Vec::new() };
    let place = before.map(|text| {
        parse_place(&text).ok_or(ApiError::Parameter {
            name: "before",
            value: text,
            expected: "HEIGHT:POSITION, as the page before has it in `next`",
        })
    });
    let page = wallet.history(account, place.transpose()?, limit);
    let entries = page.entries.iter();
    let entries = chain
        .read(|chain| entries.map(|entry| HistoryEntryDto::of(entry, chain)).collect::<Vec<_>>());
    Ok(Json(HistoryDto {
        pending: pending.iter().map(PendingDto::of).collect(),
        entries,
        next: page.next.map(place_text),
        scan: scan(&wallet, &chain),
    }))
}
