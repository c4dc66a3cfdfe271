//! The environment of a job's process: `env`, `pass_env`, `secrets`, `rlimits`, `umask`.
//!
//! Rule: no variable of the catalogue can change which code is loaded, or the variables that jobctl sets.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Entry, Table};
use super::settings::Context;
use super::value::{OrNone, Value};
use super::{Resource, Rlimit, Secret, keys};
use crate::units::{SIZE_MAX, shown};

/// `env`, `pass_env`, `secrets` and `rlimits` as they were given in one table.
#[derive(Debug, Clone, Default)]
pub(super) struct EnvironmentKeys {
    pub(super) env: BTreeMap<String, String>,
    pub(super) pass_env: Vec<String>,
    pub(super) secrets: BTreeMap<String, Secret>,
    rlimits: BTreeMap<Resource, Option<u64>>,
}

impl EnvironmentKeys {
    /// Reads them from a job or from `[defaults]`.
    pub(super) fn read(table: &Table<'_>, context: &Context) -> Self {
        let mut read = Self::default();
        let mut seen = BTreeSet::new();
        let entries = |key| {
            table
                .get(key)
                .and_then(|v| v.table())
                .map(|t| t.entries())
                .unwrap_or_default()
        };
        for entry in entries("env") {
            check_variable(entry.key, entry.place);
            seen.insert(entry.key);
            if let Some(text) = variable_text(&entry.value) {
                read.env.insert(entry.key.to_owned(), text);
            }
        }
        for entry in entries("secrets") {
            check_variable(entry.key, entry.place);
            if !seen.insert(entry.key) {
                twice(entry.key, entry.place);
            }
            if let Some(secret) = secret(&entry, context) {
                read.secrets.insert(entry.key.to_owned(), secret);
            }
        }
        for (name, place) in table
            .get("pass_env")
            .and_then(|v| v.texts())
            .unwrap_or_default()
        {
            check_variable(name, place);
            if !seen.insert(name) {
                twice(name, place);
            }
            read.pass_env.push(name.to_owned());
        }
        if let Some(table) = table.table("rlimits", &keys::rlimits()) {
            for entry in table.entries() {
                let resource = Resource::from_word(entry.key);
                let limit = resource.and_then(|r| Some((r, rlimit(r, &entry.value)?.0)));
                read.rlimits.extend(limit);
            }
        }
        read
    }

    /// Adds the entries of the defaults for other names.
    pub(super) fn over(mut self, defaults: &Self) -> Self {
        let own: BTreeSet<String> = self
            .env
            .keys()
            .chain(self.secrets.keys())
            .chain(&self.pass_env)
            .cloned()
            .collect();
        let inherited = |name: &&String| !own.contains(*name);
        for name in defaults.env.keys().filter(inherited) {
            self.env.insert(name.clone(), defaults.env[name].clone());
        }
        for name in defaults.secrets.keys().filter(inherited) {
            self.secrets
                .insert(name.clone(), defaults.secrets[name].clone());
        }
        self.pass_env
            .extend(defaults.pass_env.iter().filter(inherited).cloned());
        for (&resource, &limit) in &defaults.rlimits {
            self.rlimits.entry(resource).or_insert(limit);
        }
        self
    }

    /// The resource limits as a list.
    pub(super) fn rlimits(&self) -> Vec<Rlimit> {
        self.rlimits
            .iter()
            .map(|(&resource, &limit)| Rlimit { resource, limit })
            .collect()
    }
}

/// Reports an invalid name, or a variable that the catalogue must not set.
fn check_variable(name: &str, place: super::source::Place<'_>) {
    if let Some((message, hint)) = refusal(name) {
        place.error(message, hint);
    }
}

/// Why the catalogue must not set this variable; `None` if it may.
pub fn refused_variable(name: &str) -> Option<String> {
    refusal(name).map(|(message, _)| message)
}

fn refusal(name: &str) -> Option<(String, &'static str)> {
    let good = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let starts = name.bytes().next().is_some_and(good);
    if name.len() > 255 || !starts || !name.bytes().all(|b| good(b) || b.is_ascii_digit()) {
        let hint = "use letters, digits and `_`, the first no digit";
        return Some((format!("bad name `{}` of a variable", shown(name)), hint));
    }
    let cause = if name.starts_with("JOBCTL_") {
        "jobctl sets the variables `JOBCTL_*` itself"
    } else if name.starts_with("LD_") || name == "BASH_ENV" {
        "it makes the command load other code"
    } else if name.starts_with("LISTEN_")
        || name.starts_with("WATCHDOG_")
        || matches!(name, "NOTIFY_SOCKET" | "JOURNAL_STREAM")
    {
        "it is reserved for systemd and the worker"
    } else {
        return None;
    };
    let hint = "set it inside the command, for instance with `env`, if the command really needs it";
    let message = format!("variable `{name}` cannot be given to a job: {cause}");
    Some((message, hint))
}

fn twice(name: &str, place: super::source::Place<'_>) {
    let message = format!("variable `{}` has two sources", shown(name));
    place.error(
        message,
        "define it in only one of `env`, `secrets` and `pass_env`",
    );
}

/// A value of `env`: a string, or an integer as one would write it in a shell.
fn variable_text(value: &Value<'_>) -> Option<String> {
    match value.as_integer() {
        Some((Some(number), 10)) => Some(number.to_string()),
        _ => value.text().map(str::to_owned),
    }
}

/// `{ file = "..." }` or `{ env = "..." }`
fn secret(entry: &Entry<'_>, context: &Context) -> Option<Secret> {
    let hint = "write `{ file = \"/path\" }` or `{ env = \"NAME\" }`";
    if !entry.value.is_table() {
        let name = shown(entry.key);
        // The message does not repeat the value: it may be the secret.
        entry.place.error(
            format!("secret `{name}` must be a reference, not the value itself"),
            hint,
        );
        return None;
    }
    let table = entry.value.table()?;
    table.check_keys(keys::SECRET, "a secret");
    match (table.get("file"), table.get("env")) {
        (Some(file), None) => file
            .filled_text()
            .map(|text| Secret::File(context.path(text))),
        (None, Some(env)) => {
            let name = env.filled_text()?;
            if name.contains('=') {
                env.place
                    .error(format!("bad name `{}` of a variable", shown(name)), "");
                return None;
            }
            Some(Secret::Env(name.to_owned()))
        }
        _ => {
            let name = shown(entry.key);
            entry.place.error(
                format!("secret `{name}` must have either `file` or `env`"),
                hint,
            );
            None
        }
    }
}

/// A limit in the unit of `setrlimit(2)`, or unlimited.
fn rlimit(resource: Resource, value: &Value<'_>) -> Option<OrNone<u64>> {
    if value.as_text() == Some("unlimited") {
        return Some(OrNone(None));
    }
    let limit = match resource {
        Resource::Nofile | Resource::Nproc => value.integer(0, i64::MAX)? as u64,
        // The kernel counts whole seconds; rounded up, so that the limit is never shorter than written.
        Resource::Cpu if value.as_text().is_some() => {
            (value.positive_duration()? as u64).div_ceil(1000)
        }
        Resource::Cpu => value.integer(1, i64::MAX)? as u64,
        Resource::As | Resource::Core | Resource::Data | Resource::Fsize | Resource::Stack => {
            value.size(SIZE_MAX)?
        }
    };
    Some(OrNone(Some(limit)))
}

/// `"027"` or `0o027`
pub(super) fn umask(value: &Value<'_>) -> Option<u32> {
    let hint = "write it in octal: `\"027\"` or `0o027`";
    let mask = match (value.as_integer(), value.as_text()) {
        (Some((mask, 8)), _) => mask.and_then(|mask| u32::try_from(mask).ok()),
        (Some(_), _) => {
            value.place.error("`umask` is not octal", hint);
            return None;
        }
        (_, Some(text)) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            u32::from_str_radix(text, 8).ok()
        }
        (_, Some(_)) => None,
        _ => {
            value.expected("an octal number such as `\"027\"`");
            return None;
        }
    };
    let mask = mask.filter(|mask| *mask <= 0o777);
    if mask.is_none() {
        value
            .place
            .error("`umask` must be from `000` to `777`", hint);
    }
    mask
}
