//! Spans to a collector, in the OpenTelemetry protocol over HTTP, in its JSON form.
//!
//! [`OtlpLayer`] makes spans of those of `tracing`; [`OtlpExporter`] sends them from a thread of its
//! own, with the HTTP client that your program has, so that no runtime has to go on for a span to be
//! sent, at shutdown neither. [`current_context`] is what goes out in the headers of a request.
//!
//! What an attacker can grow: [`OtlpConfig::queue`] spans, each with at most [`MAX_ATTRIBUTES`]
//! attributes and [`MAX_TEXT`] bytes a text; what is beyond is counted and left out.

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
