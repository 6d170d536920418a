//! Dates as people read and write them, in UTC.

/// Milliseconds since 1970 as ISO 8601 has them, by the civil calendar: a year that begins in March
/// has its leap day at the end.
pub(super) fn utc(milliseconds: u64) -> String {
    let (seconds, milliseconds) = (milliseconds / 1_000, milliseconds % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // From 1 March of the year 0, in which every 400 years have the same 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + later;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Seconds since 1970, to the minute.
pub(super) fn minute(seconds: u32) -> String {
    let text = utc(u64::from(seconds) * 1_000);
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {}", time.get(..5).unwrap_or(time))
}

/// The seconds since 1970 at which a day `YYYY-MM-DD` begins; none where there is no such day.
pub(super) fn parse_day(text: &str) -> Option<u32> {
    let mut parts = text.split('-').map(|part| part.parse::<u32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1970..=2105).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    // The inverse of `utc`: the year begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let seconds = days.checked_sub(719_468)?.checked_mul(86_400)?;
    // A day that the month does not have would have been taken for one of the next month.
    utc(u64::from(seconds) * 1_000).starts_with(text).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_078_012_800, "2004-02-29T00:00:00.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(seconds * 1_000), shown);
        }
        assert_eq!(utc(1_767_225_600_123), "2026-01-01T00:00:00.123Z");
        assert!(utc(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn days_are_read_as_they_are_shown() {
        assert_eq!(parse_day("1970-01-01"), Some(0));
        assert_eq!(parse_day("2000-02-29"), Some(951_782_400));
        assert_eq!(parse_day("2026-01-01"), Some(1_767_225_600));
        assert_eq!(minute(1_767_225_660), "2026-01-01 00:01");
        for wrong in ["2001-02-29", "2026-13-01", "2026-04-31", "2026-1-1", "1969-12-31", "now"] {
            assert_eq!(parse_day(wrong), None, "{wrong}");
        }
    }
}
