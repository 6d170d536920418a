//! Errors as the control interface reports them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ironlight_spv::BlockHash;
use serde::{Deserialize, Serialize};

use crate::flags::FlagError;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The path is no route.
    #[error("no route {path}: try /v1/status, /v1/tip or /v1/headers/HEIGHT_OR_HASH")]
    UnknownRoute {
        /// The path.
        path: String,
    },
    /// Neither a height nor a hash.
    #[error("{id:?} is neither a height nor a block hash of 64 hexadecimal digits")]
    NotAHeader {
        /// What was asked for.
        id: String,
    },
    /// The best chain has no header at the height.
    #[error("no header at height {height}: the tip is at {tip}")]
    UnknownHeight {
        /// What was asked for.
        height: u32,
        /// The tip's height.
        tip: u32,
    },
    /// No branch has a header with the hash.
    #[error("no header with hash {hash} is known")]
    UnknownHash {
        /// What was asked for.
        hash: BlockHash,
    },
    /// A flag was not turned.
    #[error(transparent)]
    Flag(#[from] FlagError),
}

/// The body of an error.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorDto {
    /// What is wrong, in one line.
    pub error: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotAHeader { .. } => StatusCode::BAD_REQUEST,
            Self::UnknownRoute { .. }
            | Self::UnknownHeight { .. }
            | Self::UnknownHash { .. }
            | Self::Flag(FlagError::Unknown { .. }) => StatusCode::NOT_FOUND,
            Self::Flag(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(ErrorDto { error: self.to_string() })).into_response()
    }
}
