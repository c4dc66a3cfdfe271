//! The stored form of a rule: its normalised text and the offsets of its zone, so that an audit years later uses exactly the rule that
//! was in force, even with other zone data installed.
//!
//! Rule: both texts are in every database, so their format never changes.

use std::fmt::Write as _;

use super::error::{Field, RuleError};
use super::rule::Rule;
use super::spec::RuleSpec;
use super::zone::{Span, Zone};
use super::zones::Zones;

/// Offsets before this are not kept: 2000-01-01. No jobctl ran then.
const KEPT_FROM_S: i64 = 946_684_800;

/// The texts of a rule; equal texts are equal rules with equal zone data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRule {
    /// See [`Rule::normalised`].
    pub rule: String,
    /// One `start offset` a line, in seconds UTC and seconds; the first one begins before everything.
    pub zone: String,
}

impl Rule {
    /// The texts from which [`Rule::from_stored`] makes an equal rule; `offsets` is [`Zone::offsets_text`] of its zone, which a
    /// thousand rules may share.
    pub fn stored(&self, offsets: &str) -> StoredRule {
        StoredRule {
            rule: self.normalised(),
            zone: offsets.to_owned(),
        }
    }

    /// Reads what [`Rule::stored`] gave.
    ///
    /// # Errors
    /// When the texts were not written by a jobctl like this one.
    pub fn from_stored(stored: &StoredRule) -> Result<Self, RuleError> {
        let spec = RuleSpec::from_normalised(&stored.rule)?;
        let name = spec.timezone.as_deref().unwrap_or("UTC");
        let zone = Zone::from_offsets_text(name, &stored.zone).ok_or_else(|| {
            RuleError::new(Field::Timezone, "cannot read the stored zone data")
                .hint("they were written by a newer jobctl: install that one")
        })?;
        Self::new(&spec, &Zones::with(zone))
    }
}

impl Zone {
    /// The offsets of this zone since 2000, as [`StoredRule::zone`] has them.
    pub fn offsets_text(&self) -> String {
        let mut text = String::new();
        let kept = self.spans().iter().filter(|span| span.end_s > KEPT_FROM_S);
        for (index, span) in kept.enumerate() {
            let start_s = if index == 0 { 0 } else { span.start_s };
            let _ = writeln!(text, "{start_s} {}", span.offset_s);
        }
        text
    }

    fn from_offsets_text(name: &str, text: &str) -> Option<Self> {
        let mut spans: Vec<Span> = Vec::new();
        for line in text.lines() {
            let (start, offset) = line.split_once(' ')?;
            let (start_s, offset_s) = (start.parse().ok()?, offset.parse().ok()?);
            match spans.last_mut() {
                Some(last) if start_s <= last.start_s => return None,
                Some(last) => last.end_s = start_s,
                None => {}
            }
            let first = spans.is_empty();
            spans.push(Span {
                start_s: if first { i64::MIN / 4 } else { start_s },
                end_s: i64::MAX / 4,
                offset_s,
            });
        }
        (!spans.is_empty()).then(|| Self::from_spans(name, spans))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_rule_has_the_same_periods() {
        let zones = Zones::bundled();
        for (cron, zone) in [
            ("30 2 * * *", "Europe/Berlin"),
            ("*/15 * * * *", "Australia/Lord_Howe"),
            ("0 9 * * 1-5", "America/Vancouver"),
            ("0 6 1 * *", "UTC"),
        ] {
            let spec = RuleSpec {
                cron: Some(cron.to_owned()),
                timezone: Some(zone.to_owned()),
                ..RuleSpec::default()
            };
            let rule = Rule::new(&spec, &zones).unwrap();
            let stored = rule.stored(&rule.zone().offsets_text());
            let read = Rule::from_stored(&stored).unwrap();
            assert_eq!(read.stored(&read.zone().offsets_text()), stored);
            let from = 1_790_000_000_000;
            let until = from + 400 * 86_400_000;
            assert_eq!(
                read.periods(from, until, 5000).unwrap(),
                rule.periods(from, until, 5000).unwrap(),
                "{cron} {zone}"
            );
        }
    }

    #[test]
    fn invalid_text_of_zone_offsets_is_refused() {
        for text in ["", "x", "0 3600\n7 0\n7 7200", "0"] {
            assert_eq!(Zone::from_offsets_text("UTC", text), None, "{text:?}");
        }
    }
}
