//! Changes that operators make without editing the catalogue. A change is in force until it is taken back or its time is over.

use super::rate::Rate;
use super::rules::{Paused, Rules};
use crate::error::Result;

crate::run::words!(
    /// What an operator can change.
    OverrideKey {
        /// Whether a queue is paused.
        Paused = "paused",
        /// Maximum of running runs of a queue.
        MaxRunning = "max_running",
        /// Maximum of waiting runs of a queue.
        MaxWaiting = "max_waiting",
        /// Maximum of running runs under a limit.
        Concurrency = "concurrency",
        /// Rate of starts under a limit.
        Rate = "rate",
        /// Whether a limit is paused.
        LimitPaused = "limit_paused",
    }
);

impl OverrideKey {
    /// Whether it is a key of a queue; otherwise of a limit.
    pub fn is_of_queue(self) -> bool {
        matches!(self, Self::Paused | Self::MaxRunning | Self::MaxWaiting)
    }

    /// Whether its value is on or off; otherwise it is a number or a rate.
    pub fn is_switch(self) -> bool {
        matches!(self, Self::Paused | Self::LimitPaused)
    }

    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::LimitPaused => Self::Paused.word(),
            other => other.word(),
        }
    }
}

/// Value of a switch that is on.
pub const ON: &str = "yes";
/// Value of a switch that is off.
pub const OFF: &str = "no";

impl OverrideKey {
    /// What these rules say about it, for the queue or limit of this name.
    pub fn value_in(self, rules: &Rules, name: &str) -> String {
        let count = |n: Option<i64>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
        let switch = |on: bool| if on { ON } else { OFF }.to_owned();
        let (queue, limit) = (rules.queues.get(name), rules.limits.get(name));
        match self {
            Self::MaxRunning => count(queue.and_then(|queue| queue.max_running)),
            Self::MaxWaiting => count(queue.and_then(|queue| queue.max_waiting)),
            Self::Paused => switch(queue.is_some_and(|queue| queue.paused.is_some())),
            Self::Concurrency => count(limit.and_then(|limit| limit.concurrency)),
            Self::Rate => {
                let rate = limit.and_then(|limit| limit.rate);
                rate.map_or_else(|| "none".to_owned(), |rate| rate.to_string())
            }
            Self::LimitPaused => switch(limit.is_some_and(|limit| limit.paused.is_some())),
        }
    }
}

/// One thing that an operator asks to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What.
    pub key: OverrideKey,
    /// The new value; `None`: what the catalogue says.
    pub value: Option<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Name of the queue or limit.
    pub name: String,
    /// The changed key.
    pub key: OverrideKey,
    /// The value as text: a number, a rate, `none`; of a switch `yes` or `no`.
    pub value: String,
    /// Who made the change.
    pub by: String,
    /// The reason that was given.
    pub reason: Option<String>,
    /// When it was made, milliseconds.
    pub set_ms: i64,
    /// When it expires, milliseconds; `None` if never.
    pub until_ms: Option<i64>,
}

/// Rules with the changes of operators applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overridden {
    /// The rules in force.
    pub rules: Rules,
    /// When the next override expires, milliseconds.
    pub until_ms: Option<i64>,
}

impl Override {
    /// Whether it is in force.
    pub fn holds(&self, now_ms: i64) -> bool {
        self.until_ms.is_none_or(|until_ms| until_ms > now_ms)
    }

    /// A number, or `none`.
    fn number(&self) -> Option<i64> {
        self.value.parse().ok()
    }

    /// Whether a switch is off: a queue is resumed although the catalogue pauses it.
    pub fn is_off(&self) -> bool {
        self.value == OFF
    }

    fn paused(&self) -> Paused {
        Paused {
            by: self.by.clone(),
            reason: self.reason.clone(),
            until_ms: self.until_ms,
        }
    }

    /// Its rate, with the burst of the rate that it replaces.
    fn rate(&self, before: Option<Rate>) -> Result<Option<Rate>> {
        if self.value == "none" {
            return Ok(None);
        }
        let burst = before.map_or(1, |rate| rate.burst);
        Ok(Some(Rate {
            burst,
            ..Rate::parse(&self.value)?
        }))
    }

    fn apply(&self, rules: &mut Rules) {
        if self.key.is_of_queue() {
            let queue = rules.queues.entry(self.name.clone()).or_default();
            match self.key {
                OverrideKey::MaxRunning => queue.max_running = self.number(),
                OverrideKey::MaxWaiting => queue.max_waiting = self.number(),
                _ => queue.paused = (!self.is_off()).then(|| self.paused()),
            }
            return;
        }
        // A limit that was removed from the catalogue has no effect.
        let Some(limit) = rules.limits.get_mut(&self.name) else {
            return;
        };
        match self.key {
            OverrideKey::Concurrency => limit.concurrency = self.number(),
            OverrideKey::Rate => limit.rate = self.rate(limit.rate).unwrap_or(limit.rate),
            _ => limit.paused = Some(self.paused()),
        }
    }
}

impl Overridden {
    /// Applies the changes in force to the rules of the catalogue.
    pub fn new(mut rules: Rules, overrides: &[Override], now_ms: i64) -> Self {
        let holding = || overrides.iter().filter(|change| change.holds(now_ms));
        for change in holding() {
            change.apply(&mut rules);
        }
        Self {
            rules,
            until_ms: holding().filter_map(|change| change.until_ms).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{LimitRules, QueueRules};

    fn change(name: &str, key: OverrideKey, value: &str, until_ms: Option<i64>) -> Override {
        Override {
            name: name.into(),
            key,
            value: value.into(),
            by: "ann".into(),
            reason: None,
            set_ms: 0,
            until_ms,
        }
    }

    #[test]
    fn overrides_replace_rules_of_the_catalogue_until_they_expire() {
        let mut rules = Rules::default();
        rules.queues.insert("low".into(), QueueRules::default());
        rules.limits.insert(
            "smtp".into(),
            LimitRules {
                concurrency: Some(3),
                rate: Some(Rate {
                    burst: 5,
                    ..Rate::parse("60/min").unwrap()
                }),
                ..LimitRules::default()
            },
        );
        let changes = [
            change("low", OverrideKey::Paused, ON, Some(2_000)),
            change("low", OverrideKey::MaxRunning, "4", None),
            change("smtp", OverrideKey::Concurrency, "none", Some(1_500)),
            change("smtp", OverrideKey::Rate, "10/s", None),
            change("gone", OverrideKey::Concurrency, "1", None),
        ];
        let before = Overridden::new(rules.clone(), &changes, 1_000);
        assert_eq!(before.until_ms, Some(1_500));
        assert!(before.rules.queues["low"].paused.is_some());
        assert_eq!(before.rules.limits["smtp"].concurrency, None);
        let after = Overridden::new(rules, &changes, 2_000);
        assert_eq!(after.until_ms, None);
        assert_eq!(after.rules.queues["low"].paused, None);
        assert_eq!(after.rules.queues["low"].max_running, Some(4));
        assert_eq!(after.rules.limits["smtp"].concurrency, Some(3));
        let rate = after.rules.limits["smtp"].rate.unwrap();
        assert_eq!((rate.runs, rate.per_ms, rate.burst), (10, 1_000, 5));
        assert!(!after.rules.limits.contains_key("gone"));
    }

    #[test]
    fn an_operator_can_resume_a_queue_that_the_catalogue_pauses() {
        let mut rules = Rules::default();
        let paused = Paused {
            by: "catalogue".into(),
            reason: None,
            until_ms: None,
        };
        let queue = QueueRules {
            paused: Some(paused),
            ..QueueRules::default()
        };
        rules.queues.insert("low".into(), queue);
        let resumed = [change("low", OverrideKey::Paused, OFF, Some(2_000))];
        let at = |now_ms| Overridden::new(rules.clone(), &resumed, now_ms).rules;
        assert_eq!(at(1_999).queues["low"].paused, None);
        assert!(at(2_000).queues["low"].paused.is_some());
    }
}
