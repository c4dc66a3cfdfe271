//! What is written is read again, and no text panics.

use std::sync::LazyLock;

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::schedule::{Zone, Zones};

static ZONES: LazyLock<Zones> = LazyLock::new(Zones::bundled);

proptest! {
    #[test]
    fn durations_round_trip(ms in 0..=DURATION_MAX_MS) {
        prop_assert_eq!(parse_duration(&format_duration(ms)).ok(), Some(ms));
    }

    #[test]
    fn sizes_round_trip(bytes in 0..=SIZE_MAX, shift in 0u32..45) {
        let bytes = bytes >> shift << (shift / 2);
        prop_assert_eq!(parse_size(&format_size(bytes)).ok(), Some(bytes.min(SIZE_MAX)));
    }

    #[test]
    fn times_round_trip(ms in 0..=253_402_300_799_999_i64) {
        prop_assert_eq!(parse_time(&format_utc(ms), None).ok(), Some(ms));
    }

    #[test]
    fn local_times_are_shown_by_the_zone(seconds in 0..4_000_000_000_i64, zone in 0..chrono_tz::TZ_VARIANTS.len()) {
        let zone = ZONES.zone(chrono_tz::TZ_VARIANTS[zone].name()).expect("a zone");
        let shown = |seconds: i64| {
            let civil = DateTime::from_timestamp(zone.civil_at(seconds * 1000), 0);
            civil.map(|time| time.format("%Y-%m-%dT%H:%M:%S").to_string())
        };
        let text = shown(seconds).unwrap_or_default();
        let found = parse_time(&text, Some(&zone)).unwrap_or_default() / 1000;
        // The first of two equal local times may be earlier, never later.
        prop_assert!(found <= seconds && shown(found) == shown(seconds));
    }

    #[test]
    fn no_text_panics(text in "\\PC*|[0-9.a-zA-Z: ,+-]{0,30}") {
        let _ = parse_duration(&text);
        let _ = parse_size(&text);
        let _ = parse_time(&text, Some(&Zone::utc()));
    }
}
