//! Tells others what happened, by HTTP, signed: Standard Webhooks
//! (<https://www.standardwebhooks.com>).
//!
//! Purpose: receivers can check who sent a message and when ([`Verifier`]), and know by its id
//! whether they had it already; senders ([`Webhooks`], over the state machine [`Dispatcher`]) try
//! again for three days ([`Schedule`]), leave an endpoint alone that fails and fails
//! ([`BreakerConfig`]), stop at a 410, do as a retry-after says, and keep a log. A message arrives
//! at least once, in no promised order. What waits is kept in memory: a restart forgets it.
//!
//! Whoever registers endpoints chooses where this host connects to. So each name is resolved for
//! each attempt and each redirect, and only addresses that an
//! [`AddressGuard`](crate::net_guard::AddressGuard) lets pass are connected to; the client, an
//! [`HttpSend`] of yours, is given the checked address and not the name.
//!
//! What an attacker can grow: endpoints, deliveries, their bytes, the log and the remembered ids,
//! each up to its limit in [`WebhookConfig`]. Beyond it a message or an endpoint is refused, with
//! an error and a count; the log and the ids forget their oldest. A verifier looks at 16
//! signatures.
//!
//! ```
//! use ironlight_hardening::webhook::{
//!     Dispatcher, Endpoint, HttpRequest, HttpResponse, MessageId, SendConfig, Signer,
//!     WebhookConfig, Webhooks,
//! };
//! use ironlight_hardening::TokioTimer;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // A client that connects to `request.address`; here nobody is there.
//! let http = |request: HttpRequest| async move {
//!     assert_eq!(request.address.to_string(), "1.1.1.1:443");
//!     Ok::<_, std::io::Error>(HttpResponse { status: 204, ..HttpResponse::default() })
//! };
//! let resolve = |_host: String, port: u16| async move { Ok(vec![([1, 1, 1, 1], port).into()]) };
//! let hooks = Dispatcher::new(WebhookConfig::default());
//! let hooks = Webhooks::new(hooks, SendConfig::default(), http, resolve, TokioTimer::new());
//! hooks.register(Endpoint {
//!     url: "https://example.com/hook".parse().unwrap(),
//!     events: vec!["block.new".into()],
//!     signer: Signer::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()]).unwrap(),
//! }).unwrap();
//! let id = MessageId::new("msg_1").unwrap();
//! assert_eq!(hooks.publish(id, "block.new", br#"{"height":1}"#.to_vec()), Ok(1));
//! tokio::select! {
//!     () = hooks.work() => {}
//!     () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
//! }
//! assert_eq!(hooks.stats().delivered, 1);
//! # }
//! ```

mod entry;
mod http;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_tests;
mod recent;
mod schedule;
mod secret;
mod sender;
#[cfg(test)]
mod sender_tests;
mod sign;
mod state;
#[cfg(test)]
mod tests;
mod types;
mod url;

pub use http::{HttpRequest, HttpResponse, HttpSend, Resolve, parse_retry_after};
pub use schedule::{BreakerConfig, STANDARD_PAUSES, Schedule};
pub use secret::{BadSecret, MAX_SECRET, MIN_SECRET, Secret};
pub use sender::{SendConfig, Webhooks};
pub use sign::{
    ID_HEADER, MAX_ID, MAX_SECRETS, MessageId, SIGNATURE_HEADER, Signer, TIMESTAMP_HEADER,
    Verifier, VerifyError,
};
pub use state::Dispatcher;
pub use types::{
    Endpoint, EndpointId, EndpointStatus, Fate, Job, LogEntry, MAX_EVENT_NAME, Message, Next,
    Outcome, PublishError, RegisterError, WebhookConfig, WebhookStats,
};
pub use url::{BadUrl, HookUrl, MAX_URL};
