//! `exit` of a job: what its exit codes and the words in its output mean.
//!
//! Rule: a code has one meaning; a list of the job overrides all lists of `[defaults]` for the codes that it contains.

use regex::bytes::RegexBuilder;

use super::reader::Table;
use super::value::Value;
use super::{ExitRules, Pattern, keys};
use crate::attempt::Class;

/// Largest compiled pattern, bytes: nested repetitions can become huge.
const REGEX_MAX: usize = 1 << 20;

/// `exit` as it was given in one table.
#[derive(Debug, Clone, Default)]
pub(super) struct ExitKeys {
    lists: [Option<Vec<i32>>; 4],
    patterns: Option<Vec<Pattern>>,
}

/// The lists in the order of [`ExitKeys::lists`].
const LISTS: [&str; 4] = ["success", "transient", "permanent", "rate_limited"];

impl ExitKeys {
    /// Reads `exit` of a job or of `[defaults]`.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let Some(exit) = table.table("exit", keys::EXIT) else {
            return Self::default();
        };
        let mut lists: [Option<Vec<i32>>; 4] = Default::default();
        let success_given = exit.get("success").is_some();
        for (index, key) in LISTS.iter().enumerate() {
            let Some(value) = exit.get(key) else { continue };
            let mut codes = Vec::new();
            let items = value.list().unwrap_or_default();
            for item in &items {
                let Some(code) = item.integer(0, 255).map(|code| code as i32) else {
                    continue;
                };
                let earlier = lists
                    .iter()
                    .position(|list| list.as_ref().is_some_and(|l| l.contains(&code)));
                if let Some(earlier) = earlier {
                    let message =
                        format!("exit code {code} is in `{key}` and in `{}`", LISTS[earlier]);
                    item.place.error(message, "keep it in one of the two");
                } else if code == 0 && index > 0 && !success_given {
                    let hint = "if this is intended, add a list `success` without it";
                    item.place
                        .error(format!("exit code 0 is success and in `{key}`"), hint);
                }
                codes.push(code);
            }
            if index == 0 && codes.len() == items.len() && !codes.contains(&0) {
                value
                    .place
                    .warning("exit code 0 is not a success here", "add 0 to `success`");
            }
            lists[index] = Some(codes);
        }
        let patterns = exit.get("patterns").and_then(|v| v.list());
        let patterns = patterns.map(|items| items.iter().filter_map(pattern).collect());
        Self { lists, patterns }
    }

    /// Adds the rules of the defaults.
    pub(super) fn over(self, defaults: &Self) -> ExitRules {
        let own: Vec<i32> = self.lists.iter().flatten().flatten().copied().collect();
        let mut index = 0;
        let mut lists = self.lists.map(|list| {
            let inherited = defaults.lists[index].as_ref();
            index += 1;
            let others =
                |list: &Vec<i32>| list.iter().copied().filter(|c| !own.contains(c)).collect();
            list.or_else(|| inherited.map(others))
        });
        let mut take = |index: usize| lists[index].take();
        ExitRules {
            success: take(0),
            transient: take(1).unwrap_or_default(),
            permanent: take(2).unwrap_or_default(),
            rate_limited: take(3).unwrap_or_default(),
            patterns: self
                .patterns
                .or_else(|| defaults.patterns.clone())
                .unwrap_or_default(),
        }
    }
}

/// `{ match = "...", class = "...", wait = "60s" }`
fn pattern(value: &Value<'_>) -> Option<Pattern> {
    let table = value.table()?;
    table.check_keys(keys::PATTERN, "a pattern");
    let needed = |key: &str| {
        let value = table.get(key);
        if value.is_none() {
            table.place.error(
                format!("a pattern has no `{key}`"),
                "write `{ match = \"...\", class = \"...\" }`",
            );
        }
        value
    };
    let (text, class) = (needed("match"), needed("class"));
    let wait = table.get("wait");
    let wait_ms = wait.as_ref().and_then(Value::positive_duration);
    let class = class.and_then(|v| {
        let class = v.word(Class::ALL, Class::word)?;
        if class == Class::Success {
            v.place.error(
                "a pattern cannot make a success",
                "use `exit.success` with the exit code",
            );
            return None;
        }
        Some(class)
    });
    if let (Some(Class::Permanent), Some(wait)) = (class, wait) {
        wait.place.error(
            "`wait` has no meaning with the class permanent",
            "remove it",
        );
    }
    let value = text?;
    let text = value.filled_text()?;
    match RegexBuilder::new(text).size_limit(REGEX_MAX).build() {
        Ok(regex) => Some(Pattern {
            regex,
            class: class?,
            wait_ms,
        }),
        Err(error) => {
            // The library prints several lines with its own caret; the last one contains the cause.
            let words = error.to_string();
            let cause = words.lines().last().unwrap_or_default();
            let cause = cause
                .strip_prefix("error: ")
                .unwrap_or(cause)
                .to_lowercase();
            let message = format!(
                "bad regular expression in `match`: {}",
                cause.trim_end_matches('.')
            );
            value.place.error(
                message,
                "a `'literal string'` of TOML needs no doubled backslashes",
            );
            None
        }
    }
}
