//! The JSON form of `ExportTraceServiceRequest`: numbers of traces and spans in hexadecimal digits,
//! 64-bit numbers as texts (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).

use core::fmt::Write as _;

use super::{Ended, Value};

/// What is posted for these spans of a service.
pub(super) fn encode(service: &str, spans: &[Ended]) -> String {
    let mut out = String::from(
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\
         \"stringValue\":",
    );
    push_text(service, &mut out);
    out.push_str("}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"ironlight-hardening\"},\"spans\":[");
    for (i, span) in spans.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_span(span, &mut out);
    }
    out.push_str("]}]}]}");
    out
}

fn push_span(span: &Ended, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{{\"traceId\":\"{:032x}\",\"spanId\":\"{:016x}\"",
        span.context.trace_id(),
        span.context.span_id()
    );
    if span.parent != 0 {
        let _ = write!(out, ",\"parentSpanId\":\"{:016x}\"", span.parent);
    }
    if !span.context.state().is_empty() {
        out.push_str(",\"traceState\":");
        push_text(span.context.state(), out);
    }
    out.push_str(",\"name\":");
    push_text(span.name, out);
    // An inner span, in the protocol's numbers.
    let _ = write!(
        out,
        ",\"kind\":1,\"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\",\"attributes\":[",
        span.start, span.end
    );
    for (i, (key, value)) in span.attributes.iter().enumerate() {
        out.push_str(if i > 0 { ",{\"key\":" } else { "{\"key\":" });
        push_text(key, out);
        out.push_str(",\"value\":{");
        push_value(value, out);
        out.push_str("}}");
    }
    out.push_str(if span.failed { "],\"status\":{\"code\":2}}" } else { "],\"status\":{}}" });
}

fn push_value(value: &Value, out: &mut String) {
    let _ = match value {
        Value::Text(text) => {
            out.push_str("\"stringValue\":");
            push_text(text, out);
            Ok(())
        }
        Value::Number(number) => write!(out, "\"intValue\":\"{number}\""),
        Value::Fraction(number) if number.is_finite() => write!(out, "\"doubleValue\":{number}"),
        // The protocol's JSON has names for them.
        Value::Fraction(number) if number.is_nan() => write!(out, "\"doubleValue\":\"NaN\""),
        Value::Fraction(number) => {
            let sign = if *number < 0.0 { "-" } else { "" };
            write!(out, "\"doubleValue\":\"{sign}Infinity\"")
        }
        Value::Flag(flag) => write!(out, "\"boolValue\":{flag}"),
    };
}

fn push_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
