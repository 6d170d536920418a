//! W3C trace context: the headers `traceparent` and `tracestate`
//! (<https://www.w3.org/TR/trace-context/>).

use core::fmt;

/// Bytes of a `tracestate` that is kept; a longer one is left out as a whole.
pub const MAX_TRACE_STATE: usize = 4096;
/// Members of a `tracestate`, by the standard.
const MAX_MEMBERS: usize = 32;

/// Which trace a request belongs to, and which span it came from.
///
/// ```
/// use ironlight_hardening::telemetry::TraceContext;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context = TraceContext::parse(header, Some("vendor=x,other=y")).unwrap();
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), header);
/// let child = context.child(7).unwrap();
/// assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
/// assert_eq!(child.state(), "vendor=x,other=y");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
    state: String,
}

impl TraceContext {
    /// A trace that begins here. The numbers must be random; none where one is zero.
    #[must_use]
    pub fn root(trace_id: u128, span_id: u64, sampled: bool) -> Option<Self> {
        let valid = trace_id != 0 && span_id != 0;
        let flags = u8::from(sampled);
        valid.then(|| Self { trace_id, span_id, flags, state: String::new() })
    }

    /// Reads both headers; none when `traceparent` is not valid, and then a new trace begins. An
    /// invalid `tracestate` is left out. Several `tracestate` headers are to be joined by commas.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (version, rest) = traceparent.split_once('-')?;
        let (trace_id, rest) = rest.split_once('-')?;
        let (span_id, rest) = rest.split_once('-')?;
        let (flags, more) = rest.split_once('-').map_or((rest, None), |(f, m)| (f, Some(m)));
        let version = hex(version, 2)?;
        // Later versions may add fields; this one has none.
        if version == 0xff || (version == 0 && more.is_some()) {
            return None;
        }
        let span_id = u64::try_from(hex(span_id, 16)?).ok()?;
        // What later versions mean by other flags is not ours to pass on.
        let flags = u8::try_from(hex(flags, 2)?).ok()? & 1;
        let context = Self::root(hex(trace_id, 32)?, span_id, flags == 1)?;
        let state = tracestate.and_then(clean_state).unwrap_or_default();
        Some(Self { state, ..context })
    }

    /// The same trace, seen from a span of ours: what goes out. None where its number is zero.
    #[must_use]
    pub fn child(&self, span_id: u64) -> Option<Self> {
        (span_id != 0).then(|| Self { span_id, ..self.clone() })
    }

    /// The trace's number; never zero.
    #[must_use]
    pub const fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The number of the span that the request came from; never zero.
    #[must_use]
    pub const fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Whether the caller may have recorded it.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The `tracestate` header; empty where there is none to send.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }
}

/// The `traceparent` header, in version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// A number of exactly so many hexadecimal digits, in lower case.
fn hex(text: &str, len: usize) -> Option<u128> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == len && text.bytes().all(digit)).then(|| u128::from_str_radix(text, 16).ok())?
}

/// The members without blanks around them; none when anything is wrong.
fn clean_state(text: &str) -> Option<String> {
    if text.len() > MAX_TRACE_STATE {
        return None;
    }
    let blank = |c| matches!(c, ' ' | '\t');
    let members = text.split(',').map(|member| member.trim_matches(blank));
    let mut keys = Vec::new();
    let mut kept = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        let (key, value) = member.split_once('=')?;
        if keys.len() == MAX_MEMBERS || keys.contains(&key) || !is_key(key) || !is_value(value) {
            return None;
        }
        keys.push(key);
        kept.push(member);
    }
    Some(kept.join(","))
}

fn is_key(key: &str) -> bool {
    let part = |text: &str, most: usize, digit_first: bool| {
        let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        let first = |byte: u8| byte.is_ascii_lowercase() || digit_first && byte.is_ascii_digit();
        let fits = (1..=most).contains(&text.len());
        fits && text.bytes().all(good) && text.bytes().next().is_some_and(first)
    };
    match key.split_once('@') {
        Some((tenant, system)) => part(tenant, 241, true) && part(system, 14, false),
        None => part(key, 256, false),
    }
}

fn is_value(value: &str) -> bool {
    let good = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(good)
}
