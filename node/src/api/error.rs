//! Errors as the control interface reports them.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ironlight_spv::{BlockHash, BlockHeight, Network};
use serde::{Deserialize, Serialize};

use crate::blocks::BlockError;
use crate::chain::Stopped;
use crate::flags::FlagError;
use crate::store::StoreError;
use crate::wallet::broadcast::SubmitError;
use crate::wallet::fees::NoEstimate;
use crate::wallet::service::{ProofError, WalletError};
use crate::wallet::watch::WatchError;
use crate::wallet::{NameError, PlanError};

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
    /// The body is not what the route takes.
    #[error("{}", .0.body_text())]
    Body(#[from] JsonRejection),
    /// What stands behind the question mark is not what the route takes.
    #[error("{}", .0.body_text())]
    Query(#[from] QueryRejection),
    /// A parameter has a wrong value.
    #[error("{name} is {value:?}: expected {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A request to watch names nothing, or several things.
    #[error("name one of address, script and descriptor to watch, not {named} of them")]
    WatchWhat {
        /// How many it names.
        named: usize,
    },
    /// An account is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nothing is watched for the account.
    #[error("nothing is watched for the account {account:?}: {}", accounts(known))]
    UnknownAccount {
        /// What was asked for.
        account: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The chain has not come to a birthday yet.
    #[error(
        "the chain is at height {tip} and not synced, so that nobody knows which block that time \
         is: ask again later, or name a height"
    )]
    BirthdayAhead {
        /// The tip's height.
        tip: BlockHeight,
    },
    /// The node knows nothing of a transaction.
    #[error(
        "nothing is known of {txid}: it is no transaction of what is watched, and none that was \
         sent from here"
    )]
    UnknownTransaction {
        /// Its id.
        txid: bitcoin::Txid,
    },
    /// There is no such broadcast.
    #[error("{txid} was not sent from here")]
    NotSent {
        /// Its id.
        txid: bitcoin::Txid,
    },
    /// Filters were to be checked while the chain changed.
    #[error("filters are just following the chain to another tip: ask again")]
    FiltersMoving,
    /// No filter is held.
    #[error("no filters are held on {network}: watch something, or run with --filters-from")]
    NoFilters {
        /// The network.
        network: Network,
    },
    /// What a script had is asked for by two names.
    #[error("name an address or a script, not both")]
    StateOfWhat,
    /// A script is not watched.
    #[error("{target} is not watched: `ironlight watch add` does")]
    NotWatched {
        /// The script, in hexadecimal.
        target: String,
    },
    /// Another file is being imported.
    #[error("another file is being imported just now: ask again")]
    Importing,
    /// A file did not come.
    #[error("the file did not come in time")]
    BodyLate,
    /// The wallet.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// There is no proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node stops.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A flag was not turned.
    #[error(transparent)]
    Flag(#[from] FlagError),
}

impl From<WatchError> for ApiError {
    fn from(error: WatchError) -> Self {
        Self::Wallet(error.into())
    }
}

fn accounts(known: &[String]) -> String {
    match known {
        [] => "nothing is watched at all".to_owned(),
        _ => format!("there are {}", known.join(", ")),
    }
}

/// The body of an error.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorDto {
    /// What is wrong, in one line.
    pub error: String,
}

impl ApiError {
    /// In one line, with what caused it where its own words do not say so.
    fn with_cause(&self) -> String {
        if let Self::Wallet(WalletError::File(error)) = self {
            chained(error)
        } else {
            self.to_string()
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Body(rejection) => match rejection.status() {
                // Whatever is wrong with a body but its size is bad input.
                StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            },
            Self::NotAHeader { .. }
            | Self::Query(_)
            | Self::Parameter { .. }
            | Self::WatchWhat { .. }
            | Self::StateOfWhat
            | Self::Name(_) => StatusCode::BAD_REQUEST,
            Self::UnknownRoute { .. }
            | Self::UnknownHeight { .. }
            | Self::UnknownHash { .. }
            | Self::UnknownAccount { .. }
            | Self::UnknownTransaction { .. }
            | Self::NotSent { .. }
            | Self::NotWatched { .. }
            | Self::NoFilters { .. }
            | Self::Flag(FlagError::Unknown { .. }) => StatusCode::NOT_FOUND,
            Self::BodyLate => StatusCode::REQUEST_TIMEOUT,
            Self::BirthdayAhead { .. }
            | Self::FiltersMoving
            | Self::Importing
            | Self::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Wallet(error) => of_wallet(error),
            Self::Proof(error) => of_proof(error),
            Self::Store(_) | Self::Flag(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

fn chained(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chained(source)),
        None => error.to_string(),
    }
}

fn of_wallet(error: &WalletError) -> StatusCode {
    match error {
        WalletError::Watch(WatchError::Unknown { .. })
        | WalletError::Plan(PlanError::Unknown { .. })
        | WalletError::NoClaim => StatusCode::NOT_FOUND,
        WalletError::Watch(WatchError::TooManyScripts { .. })
        | WalletError::NotComplete(_)
        | WalletError::Behind(_)
        | WalletError::Import(_)
        | WalletError::NotComparable(_)
        | WalletError::Submit(SubmitError::TooMany { .. })
        | WalletError::Plan(_) => StatusCode::CONFLICT,
        WalletError::Watch(_)
        | WalletError::File(_)
        | WalletError::Submit(SubmitError::Insane(_))
        | WalletError::NoEstimate(NoEstimate::Target { .. }) => StatusCode::BAD_REQUEST,
        WalletError::NoEstimate(NoEstimate::NoBasis { .. }) | WalletError::Stopped(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        WalletError::Load(_)
        | WalletError::Store(_)
        | WalletError::States(_)
        | WalletError::StatesLost => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn of_proof(error: &ProofError) -> StatusCode {
    match error {
        ProofError::BlockUnknown { .. }
        | ProofError::NoSuchHeight { .. }
        | ProofError::NotInBlock { .. }
        | ProofError::Block(BlockError::Unknown { .. }) => StatusCode::NOT_FOUND,
        ProofError::NotOnBestChain { .. } | ProofError::Block(BlockError::NotBest { .. }) => {
            StatusCode::CONFLICT
        }
        ProofError::Block(
            BlockError::NotFound { .. }
            | BlockError::Unanswered { .. }
            | BlockError::Late { .. }
            | BlockError::Budget { .. }
            | BlockError::Stopping,
        )
        | ProofError::Stopped(_) => StatusCode::SERVICE_UNAVAILABLE,
        ProofError::Invalid(_) | ProofError::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ProofError::Wallet(error) => of_wallet(error),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(ErrorDto { error: self.with_cause() })).into_response()
    }
}
