//! One file a route.

pub(super) mod flags;
pub(super) mod headers;
pub(super) mod health;
pub(super) mod peers;
pub(super) mod status;
pub(super) mod tip;

use axum::http::Uri;

use super::error::ApiError;

/// Any path that is no route.
pub(super) async fn unknown(uri: Uri) -> ApiError {
    ApiError::UnknownRoute { path: uri.path().to_owned() }
}
