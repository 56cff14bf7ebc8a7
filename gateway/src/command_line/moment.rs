//! A moment as it comes over the wire, for people: milliseconds since 1970 as `2026-01-31T12:00:00.123Z`.

use std::fmt;
use std::time::{Duration, SystemTime};

/// Milliseconds since 1970.
pub(super) struct Moment(pub(super) u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a server says may lie beyond any calendar.
        let latest = Duration::from_secs(253_402_300_799);
        let since = Duration::from_millis(self.0).min(latest);
        write!(f, "{}", humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_however_far_it_is() {
        assert_eq!(Moment(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Moment(u64::MAX).to_string(), "9999-12-31T23:59:59.000Z");
    }
}
