//! The distances between the periods of a rule.
//!
//! Rule: found by looking, not by guessing from the text of a rule.

use super::civil::DAY_S;
use super::rule::{Rule, Source};
use super::walk::Times;

/// Where the analysis of a rule without `start` begins. The day is arbitrary; it is fixed so that answers are stable.
const REFERENCE_S: i64 = 1_767_225_600;
/// Days that are analysed for a rule with one time a day: enough for a year of months and leap days.
const DAYS_ANALYSED: usize = 14;

impl Rule {
    /// The shortest distance between two due periods that the rule is known for; `None` if it fires less than twice.
    pub fn shortest_spacing_ms(&self) -> Option<i64> {
        if let Source::Every { step_s, .. } = self.source {
            return Some(step_s * 1000);
        }
        match self.shortest_within_a_day_s() {
            // The distance over midnight counts too; days of a rule may follow each other.
            Some(spacing_s) => Some(spacing_s * 1000),
            None => self.shortest_of_days_ms(),
        }
    }

    /// The shortest distance between two times of a day; `None` if there is only one time.
    fn shortest_within_a_day_s(&self) -> Option<i64> {
        let (Source::Readings(times) | Source::Fixed(times)) = &self.source else {
            return None;
        };
        let mut shortest: Option<i64> = None;
        let mut ends: Option<(i64, i64)> = None;
        let mut see = |time: i64| {
            if let Some((_, last)) = ends {
                shortest = Some(shortest.map_or(time - last, |shortest| shortest.min(time - last)));
            }
            ends = Some((ends.map_or(time, |(first, _)| first), time));
            shortest == Some(1)
        };
        match (times, &self.line) {
            (Times::List(list), _) => {
                let _ = list.iter().any(|time| see(i64::from(*time)));
            }
            (Times::Cron(_), Some(line)) => {
                let has = |bits: u64, n: i64| bits & (1 << n) != 0;
                let _ = (0..24)
                    .filter(|hour| has(line.hours.bits, *hour))
                    .flat_map(|hour| {
                        (0..60)
                            .filter(|minute| has(line.minutes.bits, *minute))
                            .map(move |minute| hour * 60 + minute)
                    })
                    .flat_map(|minute| {
                        (0..60)
                            .filter(|second| has(line.seconds.bits, *second))
                            .map(move |second| minute * 60 + second)
                    })
                    .any(see);
            }
            (Times::Cron(_), None) => {}
        }
        let (first, last) = ends?;
        shortest.map(|shortest| shortest.min(first + DAY_S - last))
    }

    fn shortest_of_days_ms(&self) -> Option<i64> {
        let start_s = self
            .start
            .as_ref()
            .map_or(REFERENCE_S, super::bound::Bound::floor_s);
        let periods = self.upcoming(start_s * 1000, DAYS_ANALYSED).ok()?;
        let due: Vec<i64> = periods
            .iter()
            .filter(|period| period.is_due())
            .map(|period| period.instant_ms)
            .collect();
        due.windows(2).map(|pair| pair[1] - pair[0]).min()
    }
}
