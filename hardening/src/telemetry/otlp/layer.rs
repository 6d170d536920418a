//! Spans of `tracing`, recorded for the exporter.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::exporter::OtlpExporter;
use super::{Ended, Value};
use crate::chance::Chance;
use crate::telemetry::{MAX_TRACE_STATE, TraceContext};

/// So many attributes are kept of a span.
pub const MAX_ATTRIBUTES: usize = 32;
/// Bytes of a text in an attribute; the rest is cut off.
pub const MAX_TEXT: usize = 256;

/// A span with these fields goes on with the trace of whoever asked.
const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// Records the spans of `tracing` and exports them when they close. Put it on a registry.
///
/// A span without a parent begins a trace, or goes on with the one that its fields `traceparent` and
/// `tracestate` name (the headers of a request, recorded when the span is made). Within a span, an
/// event of level error marks it as failed. Spans of traces that their beginner does not record are
/// not exported.
///
/// ```
/// use ironlight_hardening::telemetry::{
///     OtlpConfig, OtlpExporter, OtlpLayer, SpanPost, current_context,
/// };
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// struct Takes;
/// impl SpanPost for Takes {
///     fn post(&mut self, json: &[u8]) -> std::io::Result<u16> {
///         let json = String::from_utf8_lossy(json);
///         assert!(json.contains(r#""startTimeUnixNano":"1000000000""#));
///         assert!(json.contains(r#""parentSpanId":"00f067aa0ba902b7""#));
///         Ok(200)
///     }
/// }
/// let exporter = OtlpExporter::start(OtlpConfig::new("node"), Takes).unwrap();
/// let layer = OtlpLayer::new(exporter.clone(), 7).with_clock(|| 1_000_000_000);
/// let subscriber = tracing_subscriber::registry().with(layer);
/// tracing::subscriber::with_default(subscriber, || {
///     let asked = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
///     let request = tracing::info_span!("request", traceparent = asked);
///     // What goes out from here belongs to the same trace.
///     let context = request.in_scope(current_context).unwrap();
///     assert_eq!(context.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
/// });
/// assert!(exporter.shutdown());
/// assert_eq!(exporter.status().exported, 1);
/// ```
pub struct OtlpLayer {
    exporter: OtlpExporter,
    numbers: Mutex<Chance>,
    /// The time in nanoseconds since 1970.
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for OtlpLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpLayer").field("exporter", &self.exporter).finish_non_exhaustive()
    }
}

impl OtlpLayer {
    /// The seed decides the numbers of traces and spans: give each process one of its own.
    #[must_use]
    pub fn new(exporter: OtlpExporter, seed: u64) -> Self {
        let clock = Arc::new(system_time);
        Self { exporter, numbers: Mutex::new(Chance::new(seed)), clock }
    }

    /// Takes the time from this clock, in nanoseconds since 1970.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    fn number(&self) -> u64 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        // Zero is no number of a span.
        numbers.next().max(1)
    }

    fn begin(&self, attributes: &Attributes<'_>, parent: Option<TraceContext>) -> Recording {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let asked = fields.parent.as_deref();
        let above = parent
            .or_else(|| asked.and_then(|text| TraceContext::parse(text, fields.state.as_deref())));
        let own = self.number();
        let context = match &above {
            Some(above) => above.child(own),
            None => {
                let trace = u128::from(self.number()) << 64 | u128::from(self.number());
                TraceContext::root(trace, own, true)
            }
        };
        let parent = above.map_or(0, |above| above.span_id());
        Recording { context, parent, start: (self.clock)(), fields, failed: false }
    }
}

fn system_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A span that goes on.
struct Recording {
    /// There always is one: no number is zero.
    context: Option<TraceContext>,
    parent: u64,
    start: u64,
    fields: Fields,
    failed: bool,
}

/// The trace context of the span that we are in, for the headers of what goes out; none outside of
/// spans, or without an [`OtlpLayer`] on the registry.
///
/// ```
/// assert!(ironlight_hardening::telemetry::current_context().is_none());
/// ```
#[must_use]
pub fn current_context() -> Option<TraceContext> {
    let found = Span::current().with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        span.extensions().get::<Recording>().and_then(|recording| recording.context.clone())
    });
    found.flatten()
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for OtlpLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent = span.parent().and_then(|parent| {
            parent.extensions().get::<Recording>().and_then(|above| above.context.clone())
        });
        let recording = self.begin(attributes, parent);
        span.extensions_mut().insert(recording);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // Before the lock: values print themselves, and may ask for the span's context.
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(recording) = span.extensions_mut().get_mut::<Recording>() {
            for (key, value) in fields.kept {
                recording.fields.keep(key, value);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR {
            return;
        }
        let Some(span) = context.event_span(event) else { return };
        if let Some(recording) = span.extensions_mut().get_mut::<Recording>() {
            recording.failed = true;
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(recording) = span.extensions_mut().remove::<Recording>() else { return };
        let Some(context) = recording.context.filter(TraceContext::is_sampled) else { return };
        self.exporter.export(Ended {
            context,
            parent: recording.parent,
            name: span.name(),
            start: recording.start,
            end: (self.clock)(),
            attributes: recording.fields.kept,
            failed: recording.failed,
        });
    }
}

#[derive(Default)]
struct Fields {
    kept: Vec<(&'static str, Value)>,
    parent: Option<String>,
    state: Option<String>,
}

impl Fields {
    fn keep(&mut self, key: &'static str, value: Value) {
        if let Some((_, old)) = self.kept.iter_mut().find(|(known, _)| *known == key) {
            *old = value;
        } else if self.kept.len() < MAX_ATTRIBUTES {
            self.kept.push((key, value));
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field.name(), Value::Fraction(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field.name(), Value::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value =
            i64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Number);
        self.keep(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field.name(), Value::Flag(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            PARENT => self.parent = (value.len() <= MAX_TEXT).then(|| value.to_owned()),
            STATE => self.state = (value.len() <= MAX_TRACE_STATE).then(|| value.to_owned()),
            name => {
                let end = value.floor_char_boundary(MAX_TEXT);
                let kept = value.get(..end).unwrap_or(value).to_owned();
                self.keep(name, Value::Text(kept));
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
