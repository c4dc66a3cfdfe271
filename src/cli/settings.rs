//! Settings of queues and limits as arguments `KEY=VALUE`, and the errors about bad ones.

use crate::error::{Error, Kind, nearest};
use crate::flow::OverrideKey;
use crate::operate::{BadSetting, CATALOGUE};
use crate::units::shown;

/// Keys and values; no value if there is no `=`.
pub(super) fn pairs(texts: &[String]) -> impl Iterator<Item = (&str, Option<&str>)> {
    texts.iter().map(|text| match text.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (text.as_str(), None),
    })
}

/// The error about a setting that was not accepted.
pub(super) fn bad_setting(bad: BadSetting) -> Error {
    let (message, hint) = match bad {
        BadSetting::NotARate(error) => return error,
        BadSetting::NoValue { given, keys } => (
            format!("bad setting `{}`: it has no `=`", shown(&given)),
            format!("write for instance `{}={CATALOGUE}`", keys[0]),
        ),
        BadSetting::UnknownKey { given, keys } => {
            let words: Vec<&str> = keys.iter().map(|key| key.word()).collect();
            let all = format!("the keys are {}", words.join(", "));
            let hint = match nearest(&given, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? {all}"),
                None => all,
            };
            (format!("unknown key `{}`", shown(&given)), hint)
        }
        BadSetting::Twice(key) => (
            format!("`{key}` is given twice; nothing was changed"),
            "give it once".to_owned(),
        ),
        BadSetting::Switch(key) => (
            format!("`{key}` can only be set to `{CATALOGUE}`"),
            "use `jobctl queues pause` and `jobctl queues resume`".to_owned(),
        ),
        BadSetting::NotACount { key, given, max } => {
            let hint = match (given.parse(), key) {
                (Ok(0), OverrideKey::Concurrency) => "`jobctl limits pause` lets nothing start",
                (Ok(0), OverrideKey::MaxRunning) => "`jobctl queues pause` lets nothing start",
                _ => "write a number, `none` for no cap, or `catalogue` for what it says",
            };
            let given = shown(&given);
            (
                format!("bad `{key}` `{given}`: it is no number from 1 to {max}"),
                hint.to_owned(),
            )
        }
    };
    Error::new(Kind::Usage, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::Changes;

    #[derive(Clone, Copy)]
    enum Of {
        Queue,
        Limit,
    }

    fn read(texts: &[&str], of: Of) -> Result<Vec<(OverrideKey, Option<String>)>, Error> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let changes = match of {
            Of::Queue => Changes::of_queue("low", pairs(&texts)),
            Of::Limit => Changes::of_limit("smtp", pairs(&texts)),
        };
        let changes = changes.map_err(bad_setting)?;
        let settings = changes.settings().iter();
        Ok(settings.map(|it| (it.key, it.value.clone())).collect())
    }

    #[test]
    fn settings_are_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(&["concurrency=07", "rate=60/min"], Of::Limit).unwrap(),
            [
                (OverrideKey::Concurrency, some("7")),
                (OverrideKey::Rate, some("60/min"))
            ]
        );
        assert_eq!(
            read(&["rate=none", "concurrency=catalogue"], Of::Limit).unwrap(),
            [
                (OverrideKey::Rate, some("none")),
                (OverrideKey::Concurrency, None)
            ]
        );
        assert_eq!(
            read(&["max_running=1000000", "paused=catalogue"], Of::Queue).unwrap(),
            [
                (OverrideKey::MaxRunning, some("1000000")),
                (OverrideKey::Paused, None)
            ]
        );
    }

    #[test]
    fn each_bad_setting_has_its_message_and_hint() {
        for (text, of, message, hint) in [
            (
                "max_running",
                Of::Queue,
                "bad setting `max_running`: it has no `=`",
                "write for instance `max_running=catalogue`",
            ),
            (
                "max_runing=1",
                Of::Queue,
                "unknown key `max_runing`",
                "did you mean `max_running`? the keys are max_running, max_waiting, paused",
            ),
            (
                "burst=1",
                Of::Limit,
                "unknown key `burst`",
                "the keys are concurrency, rate",
            ),
            (
                "max_running=0",
                Of::Queue,
                "bad `max_running` `0`: it is no number from 1 to 1000000",
                "`jobctl queues pause` lets nothing start",
            ),
            (
                "max_waiting=0",
                Of::Queue,
                "bad `max_waiting` `0`: it is no number from 1 to 1000000000",
                "write a number, `none` for no cap, or `catalogue` for what it says",
            ),
            (
                "concurrency=0",
                Of::Limit,
                "bad `concurrency` `0`: it is no number from 1 to 1000000",
                "`jobctl limits pause` lets nothing start",
            ),
            (
                "concurrency=-1",
                Of::Limit,
                "bad `concurrency` `-1`: it is no number from 1 to 1000000",
                "write a number, `none` for no cap, or `catalogue` for what it says",
            ),
            (
                "rate=0/s",
                Of::Limit,
                "bad rate `0/s`: the number is not between 1 and 1000000",
                "write a number per `s`, `min`, `h` or `d`, such as `60/min`",
            ),
            (
                "paused=yes",
                Of::Queue,
                "`paused` can only be set to `catalogue`",
                "use `jobctl queues pause` and `jobctl queues resume`",
            ),
        ] {
            let error = read(&[text], of).unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (Kind::Usage, message));
            assert_eq!(error.hint, Some(hint.into()), "{text}");
        }
        for text in [
            "concurrency=",
            "concurrency=1000001",
            "concurrency=2.5",
            "rate=",
        ] {
            assert!(read(&[text], Of::Limit).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_given_once() {
        let error = read(&["rate=1/s", "rate=none"], Of::Limit).unwrap_err();
        assert_eq!(error.message, "`rate` is given twice; nothing was changed");
    }
}
