//! The form of draft-inadarei-api-health-check-06, written by hand: a handful of fields.

use core::fmt::Write;
use core::time::Duration;

use super::report::{CheckReport, HealthReport};

impl HealthReport {
    /// The media type of [`to_json`](Self::to_json).
    pub const CONTENT_TYPE: &'static str = "application/health+json";

    /// The report as health+json. With the time since the Unix epoch, each check says when it last
    /// ran.
    ///
    /// ```
    /// use ironlight_hardening::ManualClock;
    /// use ironlight_hardening::health::HealthRegistry;
    ///
    /// # #[derive(Clone)] struct Timer(ManualClock);
    /// # impl ironlight_hardening::Clock for Timer {
    /// #     fn now(&self) -> core::time::Duration { self.0.now() }
    /// # }
    /// # impl ironlight_hardening::Timer for Timer {
    /// #     type Sleep = core::future::Ready<()>;
    /// #     fn sleep(&self, _: core::time::Duration) -> Self::Sleep { core::future::ready(()) }
    /// # }
    /// # let timer = Timer(ManualClock::default());
    /// let registry = HealthRegistry::new(timer);
    /// assert_eq!(registry.readiness().to_json(None), r#"{"status":"pass","checks":{}}"#);
    /// ```
    #[must_use]
    pub fn to_json(&self, unix_now: Option<Duration>) -> String {
        let mut json = String::from("{\"status\":");
        let word = if self.passes() { self.status.name() } else { "fail" };
        quote(&mut json, word);
        json.push_str(",\"checks\":{");
        for (at, check) in self.checks.iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            write_check(&mut json, check, unix_now);
        }
        json.push_str("}}");
        json
    }
}

fn write_check(json: &mut String, check: &CheckReport, unix_now: Option<Duration>) {
    quote(json, &check.name);
    json.push_str(":[{\"componentType\":\"component\",\"status\":");
    quote(json, check.status.name());
    if let Some((value, unit)) = check.value {
        json.push_str(",\"observedValue\":");
        let _infallible = write!(json, "{value}");
        json.push_str(",\"observedUnit\":");
        quote(json, unit);
    }
    if let (Some(unix_now), Some(age)) = (unix_now, check.age) {
        json.push_str(",\"time\":");
        quote(json, &rfc3339(unix_now.saturating_sub(age)));
    }
    if let Some(took) = check.took {
        // Not a name of the draft; it says its unit.
        let _infallible = write!(json, ",\"duration_ms\":{}", took.as_millis());
    }
    let _infallible = write!(json, ",\"failures\":{}", check.failures);
    if !check.output.is_empty() {
        json.push_str(",\"output\":");
        quote(json, &check.output);
    }
    json.push_str("}]");
}

/// A JSON string (RFC 8259, section 7).
fn quote(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            c if c < ' ' => {
                let _infallible = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

/// Seconds since the Unix epoch as RFC 3339 has them: days counted from 1 March of the year 0, in
/// eras of 400 years, which all have the same length.
pub(super) fn rfc3339(unix: Duration) -> String {
    let seconds = unix.as_secs();
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}
