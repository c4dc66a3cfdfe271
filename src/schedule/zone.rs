//! Converts wall clock readings to instants: the only place that handles gaps and folds.
//!
//! Rule: a zone is a list of spans of constant offset. Code that maps civil time to instants walks the spans in order of instants and
//! asks [`Zone::pass`] which occurrence a reading is. No other code adds an offset.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::civil::{CALENDAR_END_S, CivilS, UtcMs, moment_of, write_offset};

/// Spans are computed until one year after the end of the calendar.
const TABLE_END_S: i64 = CALENDAR_END_S + 366 * 86_400;

/// A stretch of instants with one offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First second of the span, UTC; far in the past for the first one.
    pub start_s: i64,
    /// First second after it, UTC.
    pub end_s: i64,
    /// Local time minus UTC, in seconds.
    pub offset_s: i32,
}

impl Span {
    /// The reading of the wall clock at an instant of this span.
    pub(super) fn civil(&self, utc_s: i64) -> CivilS {
        utc_s.saturating_add(i64::from(self.offset_s))
    }
}

/// Which of its occurrences a reading is, inside one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The reading exists once.
    Only,
    /// The first time of two.
    First,
    /// The second time of two.
    Second,
}

/// What a civil time means in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// It exists once, at this instant (UTC seconds).
    One(i64),
    /// It does not exist; this is the first instant after the gap.
    Gap {
        /// First instant after the gap.
        end_s: i64,
    },
    /// It exists twice.
    Fold {
        /// The earlier instant.
        first_s: i64,
        /// The later instant.
        second_s: i64,
    },
}

/// The offsets of one time zone from 1970 to the end of the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    spans: Vec<Span>,
}

impl Zone {
    /// UTC itself.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            spans: vec![Span {
                start_s: i64::MIN / 4,
                end_s: i64::MAX / 4,
                offset_s: 0,
            }],
        }
    }

    /// A zone from its spans, which follow each other without a hole.
    pub(super) fn from_spans(name: &str, spans: Vec<Span>) -> Self {
        Self {
            name: name.to_owned(),
            spans,
        }
    }

    /// Reads compiled zone data (`TZif`).
    ///
    /// # Errors
    /// Says why the data cannot be read.
    pub fn from_tzif(name: &str, data: &[u8]) -> Result<Self, String> {
        let zone = TimeZone::tzif(name, data).map_err(|error| error.to_string())?;
        let epoch = Timestamp::UNIX_EPOCH;
        let mut spans = Vec::new();
        let mut open = Span {
            start_s: i64::MIN / 4,
            end_s: i64::MAX / 4,
            offset_s: zone.to_offset(epoch).seconds(),
        };
        for change in zone.following(epoch) {
            let at_s = change.timestamp().as_second();
            if at_s >= TABLE_END_S {
                break;
            }
            let offset_s = change.offset().seconds();
            if at_s > open.start_s && offset_s != open.offset_s {
                spans.push(Span {
                    end_s: at_s,
                    ..open
                });
                open = Span {
                    start_s: at_s,
                    end_s: i64::MAX / 4,
                    offset_s,
                };
            }
        }
        spans.push(open);
        spans.shrink_to_fit();
        Ok(Self {
            name: name.to_owned(),
            spans,
        })
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All spans, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The instant at which a civil time is, or would be: the end of a gap, the first of two; UTC seconds.
    pub(super) fn instant_of(&self, civil: CivilS) -> i64 {
        match self.resolve(civil) {
            Resolved::One(utc_s) => utc_s,
            Resolved::Gap { end_s } => end_s,
            Resolved::Fold { first_s, .. } => first_s,
        }
    }

    /// The position of the span that contains this instant.
    pub(super) fn index_at(&self, utc_s: i64) -> usize {
        self.spans
            .partition_point(|span| span.end_s <= utc_s)
            .min(self.spans.len() - 1)
    }

    /// Local time minus UTC at this instant, in seconds.
    pub fn offset_s(&self, instant_ms: UtcMs) -> i32 {
        self.spans[self.index_at(instant_ms.div_euclid(1000))].offset_s
    }

    /// The wall clock reading at this instant.
    pub fn civil_at(&self, instant_ms: UtcMs) -> CivilS {
        let utc_s = instant_ms.div_euclid(1000);
        self.spans[self.index_at(utc_s)].civil(utc_s)
    }

    /// The wall clock reading at this instant with its offset, as RFC 3339: `2027-03-28T03:00:00+02:00`.
    pub fn local_text(&self, instant_ms: UtcMs) -> String {
        let civil = moment_of(self.civil_at(instant_ms));
        let mut text = civil.format("%Y-%m-%dT%H:%M:%S").to_string();
        write_offset(&mut text, self.offset_s(instant_ms));
        text
    }

    /// Which occurrence the reading `civil` is in the span at `index` (which must contain it).
    ///
    /// Checks only the neighbouring spans: no zone changes twice within the length of a change (a test checks all zones).
    pub(super) fn pass(&self, index: usize, civil: CivilS) -> Pass {
        let span = &self.spans[index];
        let before = index.checked_sub(1).map(|i| self.spans[i]);
        if before.is_some_and(|before| civil < before.civil(span.start_s)) {
            Pass::Second
        } else if self
            .spans
            .get(index + 1)
            .is_some_and(|after| civil >= after.civil(after.start_s))
        {
            Pass::First
        } else {
            Pass::Only
        }
    }

    /// The readings that the change at the start of the span at `index` leaves out: from, and up to.
    pub(super) fn gap_before(&self, index: usize) -> Option<(CivilS, CivilS)> {
        let span = &self.spans[index];
        let before = self.spans[index.checked_sub(1)?];
        let (from, to) = (before.civil(span.start_s), span.civil(span.start_s));
        (from < to).then_some((from, to))
    }

    /// What this civil time means here.
    pub fn resolve(&self, civil: CivilS) -> Resolved {
        // No offset is larger than 26 hours: the spans around the same number of UTC seconds are enough.
        let first = self.index_at(civil.saturating_sub(26 * 3600));
        let mut found = None;
        for (index, span) in self.spans.iter().enumerate().skip(first) {
            let utc_s = civil.saturating_sub(i64::from(span.offset_s));
            if self
                .gap_before(index)
                .is_some_and(|(from, to)| (from..to).contains(&civil))
            {
                return Resolved::Gap {
                    end_s: span.start_s,
                };
            }
            if (span.start_s..span.end_s).contains(&utc_s) {
                match (self.pass(index, civil), found) {
                    (Pass::Second, Some(first_s)) => {
                        return Resolved::Fold {
                            first_s,
                            second_s: utc_s,
                        };
                    }
                    (Pass::First, _) => found = Some(utc_s),
                    _ => return Resolved::One(utc_s),
                }
            }
        }
        Resolved::One(found.unwrap_or(civil))
    }
}

#[cfg(test)]
mod tests {
    use super::super::zones::Zones;
    use super::*;

    #[test]
    fn spans_join_and_are_longer_than_any_change() {
        let zones = Zones::bundled();
        for name in Zones::names() {
            let zone = zones.zone(name).unwrap();
            for pair in zone.spans().windows(2) {
                assert_eq!(pair[0].end_s, pair[1].start_s, "{name}");
                assert_ne!(pair[0].offset_s, pair[1].offset_s, "{name}");
                assert!(
                    pair[1].end_s - pair[1].start_s > 26 * 3600,
                    "{name}: {pair:?}"
                );
            }
        }
    }

    #[test]
    fn gaps_and_folds_resolve() {
        let zone = Zones::bundled().zone("Europe/Berlin").unwrap();
        let at = |text: &str| super::super::civil::civil_of(text.parse().unwrap());
        assert_eq!(
            zone.resolve(at("2026-03-29T02:30:00")),
            Resolved::Gap {
                end_s: at("2026-03-29T01:00:00")
            }
        );
        assert_eq!(
            zone.resolve(at("2026-10-25T02:30:00")),
            Resolved::Fold {
                first_s: at("2026-10-25T00:30:00"),
                second_s: at("2026-10-25T01:30:00"),
            }
        );
        assert_eq!(
            zone.resolve(at("2026-07-01T12:00:00")),
            Resolved::One(at("2026-07-01T10:00:00"))
        );
        assert_eq!(
            zone.resolve(at("2026-10-25T03:00:00")),
            Resolved::One(at("2026-10-25T02:00:00"))
        );
        assert_eq!(
            zone.resolve(at("2026-03-29T03:00:00")),
            Resolved::One(at("2026-03-29T01:00:00"))
        );
    }
}
