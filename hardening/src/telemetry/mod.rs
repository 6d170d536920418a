//! What an operator sees: traces that go on from host to host, warnings about what is slow,
//! numbers to be scraped.
//!
//! [`TraceContext`] reads and writes W3C trace context; [`SlowLog`] warns about operations over a
//! second; [`Metrics`] hands out counters, gauges and histograms whose handles are kept, so that
//! counting is one atomic addition, and writes them in Prometheus' text format. With the feature
//! `otlp`, spans of `tracing` go to an OpenTelemetry collector.
//!
//! What an attacker can grow: a trace state up to [`MAX_TRACE_STATE`] bytes, logged paths and ids
//! up to [`MAX_LOGGED`] bytes each. Series are bounded for each metric, but do not let callers
//! choose label values: the series that come first keep their places.

mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod slow;
#[cfg(test)]
mod tests;
mod trace;

pub use metrics::{Counter, Gauge, Histogram, MetricError, Metrics};
#[cfg(feature = "otlp")]
pub use otlp::{
    MAX_ATTRIBUTES, MAX_TEXT, OtlpConfig, OtlpExporter, OtlpLayer, OtlpStatus, SpanPost,
    current_context,
};
pub use slow::{MAX_LOGGED, Operation, SlowLog};
pub use trace::{MAX_TRACE_STATE, TraceContext};
