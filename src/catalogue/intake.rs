//! Checks of an enqueue: parameters, payload, dedup key.
//!
//! Rule: pure, and needs only the [`Intake`], which is cached in the store: an enqueue does not parse the catalogue.

use std::collections::BTreeMap;

use super::Intake;
use super::template::KEY_MAX;
use crate::error::{Error, Kind, Result, nearest};
use crate::units::{format_size, shown};

/// Longest value of a parameter, bytes: the kernel allows 128 KiB for one argument or variable, including name and NUL.
pub const PARAM_MAX: usize = 128 * 1024 - 32;

/// Largest total size of the parameters of a run, bytes. With the usual stack limit of 8 MiB the kernel allows 2 MiB of arguments
/// and variables, and a value may be in both.
const PARAMS_MAX: usize = 640 << 10;

/// Largest payload that a job may allow, bytes.
pub const PAYLOAD_MAX: u64 = 16 << 20;

impl Intake {
    /// Checks the given parameters of an enqueue of `job` and adds the defaults.
    ///
    /// # Errors
    /// [`Kind::Usage`] for unknown, missing or repeated parameters and for unusable values.
    pub fn resolve_params(
        &self,
        job: &str,
        given: Vec<(String, String)>,
    ) -> Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        for (name, value) in given {
            if !self.params.contains_key(&name) {
                return Err(self.unknown_param(job, &name));
            }
            check_value(&name, &value)?;
            if value.starts_with('-') && self.argument_params.contains(&name) {
                let value = shown(&value);
                let message = format!(
                    "parameter `{name}` of job `{job}` is `{value}`: its argument would be read as an option"
                );
                return Err(Error::new(Kind::Usage, message).hint(format!(
                    "give a value without the leading `-`, or write `\"--\"` before `{{{name}}}` in the job's `command`"
                )));
            }
            if values.contains_key(&name) {
                let message = format!("parameter `{name}` of job `{job}` is given twice");
                return Err(Error::new(Kind::Usage, message).hint("give it once"));
            }
            values.insert(name, value);
        }
        let sum: usize = values.values().map(String::len).sum();
        if sum > PARAMS_MAX {
            let (sum, max) = (readable(sum as u64), readable(PARAMS_MAX as u64));
            let message = format!(
                "the parameters of job `{job}` are too large: {sum} together, the maximum is {max}"
            );
            return Err(Error::new(Kind::Usage, message).hint("give large data as `--payload`"));
        }
        for (name, param) in &self.params {
            if values.contains_key(name) {
                continue;
            }
            if param.required {
                let message = format!("job `{job}` needs parameter `{name}`");
                return Err(
                    Error::new(Kind::Usage, message).hint(format!("add `--param {name}=VALUE`"))
                );
            }
            if let Some(default) = &param.default {
                values.insert(name.clone(), default.clone());
            }
        }
        Ok(values)
    }

    /// Checks a stored run again before its command is started: it may have been checked against another catalogue, or an older
    /// version of this one. Returns its parameters, including defaults that were added since.
    ///
    /// # Errors
    /// Those of [`Intake::check_payload`] and [`Intake::resolve_params`].
    pub fn recheck(
        &self,
        job: &str,
        stored: BTreeMap<String, String>,
        payload_bytes: u64,
    ) -> Result<BTreeMap<String, String>> {
        self.check_payload(job, payload_bytes)?;
        // Defaults are stored like given values, but may begin with `-`.
        let is_default = |name: &str, value: &str| {
            let param = self.params.get(name);
            param.and_then(|param| param.default.as_deref()) == Some(value)
        };
        let given = stored
            .into_iter()
            .filter(|(name, value)| !is_default(name, value));
        self.resolve_params(job, given.collect())
    }

    /// Checks the size of a payload in bytes.
    pub fn check_payload(&self, job: &str, bytes: u64) -> Result<()> {
        if bytes <= self.payload_max {
            return Ok(());
        }
        let (size, max) = (readable(bytes), readable(self.payload_max));
        let message =
            format!("the payload is too large: {size}, the maximum of job `{job}` is {max}");
        Err(Error::new(Kind::Usage, message).hint(
            "give the id or path of the data instead of the data, or raise the job's `payload_max`",
        ))
    }

    fn unknown_param(&self, job: &str, name: &str) -> Error {
        let known: Vec<&str> = self.params.keys().map(String::as_str).collect();
        let all = known
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let hint = match (nearest(name, known.iter().copied()), known.is_empty()) {
            (_, true) => format!("job `{job}` takes no parameters; give data as `--payload`"),
            (Some(near), _) => format!("did you mean `{near}`? job `{job}` takes {all}"),
            (None, _) => format!("job `{job}` takes {all}"),
        };
        let message = format!("unknown parameter `{}` of job `{job}`", shown(name));
        Error::new(Kind::Usage, message).hint(hint)
    }
}

/// A size with its unit, for messages.
fn readable(bytes: u64) -> String {
    let size = format_size(bytes);
    if size.ends_with(|c: char| c.is_ascii_digit()) {
        format!("{size} bytes")
    } else {
        size
    }
}

/// Refuses values that cannot be an argument or a variable: with NUL, or over the limit of the kernel.
pub(super) fn check_value(name: &str, value: &str) -> Result<()> {
    if value.contains('\0') {
        let message = format!("parameter `{}` contains NUL", shown(name));
        return Err(
            Error::new(Kind::Usage, message).hint("give binary data as a file or `--payload`")
        );
    }
    // In the environment the value is part of `JOBCTL_PARAM_NAME=value` and a NUL.
    let in_environment = (128 * 1024 - "JOBCTL_PARAM_=\0".len()).saturating_sub(name.len());
    let max = PARAM_MAX.min(in_environment);
    if value.len() > max {
        let message = format!(
            "parameter `{}` is too large: {} bytes, the maximum is {max}",
            shown(name),
            value.len()
        );
        return Err(Error::new(Kind::Usage, message).hint("give large data as `--payload`"));
    }
    Ok(())
}

/// Checks a dedup key: not empty, at most 512 bytes, no NUL.
pub fn check_dedup_key(key: &str) -> Result<()> {
    check_key("dedup key", key)
}

/// Checks the key of a sequence in the same way.
pub fn check_sequence_key(key: &str) -> Result<()> {
    check_key("sequence key", key)
}

fn check_key(what: &str, key: &str) -> Result<()> {
    let refuse = |cause: String| {
        let message = format!("bad {what} `{}`: {cause}", shown(key));
        Err(Error::new(Kind::Usage, message)
            .hint("give a short text that identifies the work, such as an id"))
    };
    match key.len() {
        0 => refuse("it is empty".to_owned()),
        _ if key.contains('\0') => refuse("it contains NUL".to_owned()),
        length if length > KEY_MAX => refuse(format!("{length} bytes, the maximum is {KEY_MAX}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Param, Template};
    use super::*;
    use crate::run::Guarantee;

    fn intake() -> Intake {
        let param = |required, default: Option<&str>| Param {
            required,
            default: default.map(str::to_owned),
        };
        let params = [
            ("to", param(true, None)),
            ("event", param(false, Some("-x"))),
            ("note", param(false, None)),
        ];
        Intake {
            queue: "default".to_owned(),
            priority: 100,
            params: params.map(|(name, param)| (name.to_owned(), param)).into(),
            payload_max: 2000,
            dedup: None,
            sequence: None,
            attempts: 3,
            max_crashes: 3,
            deadline_ms: None,
            guarantee: Guarantee::AtLeastOnce,
            argument_params: vec!["event".to_owned()],
        }
    }

    fn resolve(given: &[(&str, &str)]) -> Result<BTreeMap<String, String>> {
        let given = given
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        intake().resolve_params("send", given.collect())
    }

    #[test]
    fn missing_parameters_get_their_defaults() {
        let values = resolve(&[("to", "-bob $(x)\n`")]).expect("good");
        let expected = [("event", "-x"), ("to", "-bob $(x)\n`")];
        assert_eq!(
            values,
            expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        );
        assert_eq!(resolve(&[("to", ""), ("note", "")]).expect("good").len(), 3);
    }

    #[test]
    fn bad_parameters_are_refused_as_usage() {
        let large = "x".repeat(PARAM_MAX + 1);
        let table = [
            (
                &[][..],
                "job `send` needs parameter `to`",
                "add `--param to=VALUE`",
            ),
            (
                &[("too", "")],
                "unknown parameter `too` of job `send`",
                "did you mean `to`? job `send` takes `event`, `note`, `to`",
            ),
            (
                &[("colour", "")],
                "unknown parameter `colour` of job `send`",
                "job `send` takes `event`, `note`, `to`",
            ),
            (
                &[("to", "a"), ("to", "a")],
                "parameter `to` of job `send` is given twice",
                "give it once",
            ),
            (
                &[("to", "a\0")],
                "parameter `to` contains NUL",
                "give binary data as a file or `--payload`",
            ),
            (
                &[("to", "a"), ("event", "-rf")],
                "parameter `event` of job `send` is `-rf`: its argument would be read as an option",
                "give a value without the leading `-`",
            ),
            (
                &[("to", large.as_str())],
                "parameter `to` is too large: 131041 bytes, the maximum is 131040",
                "give large data",
            ),
        ];
        for (given, message, hint) in table {
            let error = resolve(given).expect_err(message);
            assert_eq!((error.kind, error.message.as_str()), (Kind::Usage, message));
            let given = error.hint.and_then(|hint| hint.plain()).unwrap_or_default();
            assert!(given.starts_with(hint), "{given}");
        }
        assert!(resolve(&[("to", &large[1..])]).is_ok());
    }

    #[test]
    fn parameters_that_are_too_large_together_are_refused() {
        let mut intake = intake();
        let names: Vec<String> = (0..20).map(|n| format!("p{n}")).collect();
        for name in &names {
            let param = Param {
                required: false,
                default: None,
            };
            intake.params.insert(name.clone(), param);
        }
        let resolve = |bytes: usize| {
            let given = names.iter().map(|name| (name.clone(), "x".repeat(bytes)));
            let given = given.chain([("to".to_owned(), String::new())]);
            intake.resolve_params("send", given.collect())
        };
        assert!(resolve(PARAMS_MAX / 20).is_ok());
        let error = resolve(120_000).expect_err("too large");
        assert_eq!(error.kind, Kind::Usage);
        assert!(
            error
                .message
                .starts_with("the parameters of job `send` are too large: ")
        );
    }

    #[test]
    fn a_stored_run_is_checked_again_before_its_start() {
        let stored = |given: &[(&str, &str)]| {
            let given = given
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()));
            given.collect::<BTreeMap<_, _>>()
        };
        let good = stored(&[("to", "a"), ("event", "-x")]);
        assert_eq!(
            intake()
                .recheck("send", good.clone(), 2000)
                .expect("its default"),
            good
        );
        let added = intake()
            .recheck("send", stored(&[("to", "a")]), 0)
            .expect("good");
        assert_eq!(added, good, "a default that was added since");
        for (bad, bytes) in [
            (stored(&[("to", "a"), ("event", "-rf")]), 0),
            (stored(&[("to", "a"), ("gone", "1")]), 0),
            (stored(&[("event", "a")]), 0),
            (good, 2001),
        ] {
            assert!(
                intake().recheck("send", bad.clone(), bytes).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_longest_value_fits_the_environment_with_the_longest_name() {
        let name = "n".repeat(64);
        let max = 128 * 1024 - "JOBCTL_PARAM_=\0".len() - name.len();
        assert!(check_value(&name, &"x".repeat(max)).is_ok());
        assert!(check_value(&name, &"x".repeat(max + 1)).is_err());
    }

    #[test]
    fn payloads_over_the_limit_are_refused() {
        assert!(intake().check_payload("send", 2000).is_ok());
        let error = intake().check_payload("send", 2048).expect_err("too large");
        let message = "the payload is too large: 2K, the maximum of job `send` is 2000 bytes";
        assert_eq!((error.kind, error.message.as_str()), (Kind::Usage, message));
    }

    #[test]
    fn dedup_keys_are_short_texts() {
        assert!(check_dedup_key(&"é".repeat(256)).is_ok());
        for key in ["", "a\0", &"é".repeat(257)] {
            assert_eq!(check_dedup_key(key).expect_err("bad").kind, Kind::Usage);
        }
    }

    #[test]
    fn a_leading_text_protects_an_argument() {
        let leading = |text| {
            let template = Template::parse(text).expect("a template");
            template
                .leading_params()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(leading("{a}{b}x{c}"), ["a", "b"]);
        assert_eq!(leading("--to={a}"), Vec::<String>::new());
    }
}
