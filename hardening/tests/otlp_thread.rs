//! The exporter under the subscriber of the whole process. Alone in its process, for there is only
//! one such.

#![cfg(test)]

use std::io;

use ironlight_hardening::telemetry::{OtlpConfig, OtlpExporter, OtlpLayer, OtlpStatus, SpanPost};
use tracing_subscriber::layer::SubscriberExt as _;

/// A client that is traced, as those of libraries are.
struct Traced;

impl SpanPost for Traced {
    fn post(&mut self, _json: &[u8]) -> io::Result<u16> {
        tracing::info_span!("post").in_scope(|| tracing::error!("it is posted"));
        Ok(200)
    }
}

#[test]
fn what_the_exporter_does_to_send_spans_makes_none() {
    let config = OtlpConfig { batch: 1, ..OtlpConfig::new("node") };
    let exporter = OtlpExporter::start(config, Traced).unwrap();
    let layer = OtlpLayer::new(exporter.clone(), 7);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    tracing::info_span!("sync").in_scope(|| ());
    assert!(exporter.shutdown());
    // One that came during shutdown would be lost, and counted as such.
    let expected = OtlpStatus { exported: 1, ..OtlpStatus::default() };
    assert_eq!(exporter.status(), expected);
}
