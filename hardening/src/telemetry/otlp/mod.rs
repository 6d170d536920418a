//! Spans to a collector, in the OpenTelemetry protocol over HTTP, in its JSON form.
//!
//! [`OtlpLayer`] makes spans of those of `tracing`; [`OtlpExporter`] sends them from a thread of its
//! own, with the HTTP client that your program has, so that no runtime has to go on for a span to be
//! sent, at shutdown neither. [`current_context`] is what goes out in the headers of a request.
//!
//! What an attacker can grow: [`OtlpConfig::queue`] spans and the [`OtlpConfig::batch`] that is being
//! sent, each with at most [`MAX_ATTRIBUTES`] attributes, [`MAX_TEXT`] bytes a text, and a copy of
//! the `tracestate` that came with its trace, of up to [`MAX_TRACE_STATE`](super::MAX_TRACE_STATE)
//! bytes. Whole spans that find no room are counted ([`OtlpStatus::lost`]); further attributes are
//! left out and longer texts cut off without being counted.

mod exporter;
mod json;
mod layer;
#[cfg(test)]
mod tests;

pub use exporter::{OtlpConfig, OtlpExporter, OtlpStatus, SpanPost};
pub use layer::{MAX_ATTRIBUTES, MAX_TEXT, OtlpLayer, current_context};

use super::TraceContext;

/// A span that ended.
#[derive(Clone, Debug)]
struct Ended {
    context: TraceContext,
    /// The span that it is part of; zero for none.
    parent: u64,
    name: &'static str,
    /// In nanoseconds since 1970.
    start: u64,
    end: u64,
    attributes: Vec<(&'static str, Value)>,
    failed: bool,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Number(i64),
    Fraction(f64),
    Flag(bool),
}
