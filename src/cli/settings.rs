//! Settings of queues and limits as arguments: `KEY=VALUE`.
//!
//! Rule: all settings of one request are read before any is done; `catalogue` takes a change back.

use crate::error::{Error, Kind, Result, nearest};
use crate::flow::{COUNT_MAX, OverrideKey, Rate, Setting, WAITING_MAX};
use crate::units::shown;

/// Keys of a queue that an operator may set.
pub(super) const QUEUE_KEYS: &[OverrideKey] = &[
    OverrideKey::MaxRunning,
    OverrideKey::MaxWaiting,
    OverrideKey::Paused,
];

/// Keys of a limit that an operator may set.
pub(super) const LIMIT_KEYS: &[OverrideKey] = &[OverrideKey::Concurrency, OverrideKey::Rate];

/// What takes a change back.
const CATALOGUE: &str = "catalogue";

/// Reads the settings of one request, of these keys.
///
/// # Errors
/// [`Kind::Usage`], with a hint, for the first that is wrong.
pub(super) fn parse_all(texts: &[String], keys: &[OverrideKey]) -> Result<Vec<Setting>> {
    let mut settings: Vec<Setting> = Vec::new();
    for text in texts {
        let setting = parse(text, keys)?;
        let key = setting.key;
        if settings.iter().any(|known| known.key == key) {
            let message = format!("`{key}` is given twice; nothing was changed");
            return Err(Error::new(Kind::Usage, message).hint("give it once"));
        }
        settings.push(setting);
    }
    Ok(settings)
}

fn parse(text: &str, keys: &[OverrideKey]) -> Result<Setting> {
    let words: Vec<&str> = keys.iter().map(|key| key.word()).collect();
    let Some((word, value)) = text.split_once('=') else {
        let message = format!("bad setting `{}`: it has no `=`", shown(text));
        let hint = format!("write for instance `{}={CATALOGUE}`", words[0]);
        return Err(Error::new(Kind::Usage, message).hint(hint));
    };
    let Some(&key) = keys.iter().find(|key| key.word() == word) else {
        let all = format!("the keys are {}", words.join(", "));
        let hint = match nearest(word, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? {all}"),
            None => all,
        };
        let message = format!("unknown key `{}`", shown(word));
        return Err(Error::new(Kind::Usage, message).hint(hint));
    };
    let value = match (value, key) {
        (CATALOGUE, _) => None,
        (_, switch) if switch.is_switch() => return Err(no_switch(key)),
        ("none", _) => Some(value.to_owned()),
        (_, OverrideKey::Rate) => Some(Rate::parse(value)?.per_time()),
        _ => Some(count(key, value)?.to_string()),
    };
    Ok(Setting { key, value })
}

fn count(key: OverrideKey, text: &str) -> Result<i64> {
    let max = match key {
        OverrideKey::MaxWaiting => WAITING_MAX,
        _ => COUNT_MAX,
    };
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        parsed => {
            let hint = match (parsed, key) {
                (Ok(0), OverrideKey::Concurrency) => {
                    "`jobctl limits pause` lets nothing start".to_owned()
                }
                (Ok(0), OverrideKey::MaxRunning) => {
                    "`jobctl queues pause` lets nothing start".to_owned()
                }
                _ => {
                    "write a number, `none` for no cap, or `catalogue` for what it says".to_owned()
                }
            };
            let message = format!(
                "bad `{key}` `{}`: it is no number from 1 to {max}",
                shown(text)
            );
            Err(Error::new(Kind::Usage, message).hint(hint))
        }
    }
}

fn no_switch(key: OverrideKey) -> Error {
    Error::new(
        Kind::Usage,
        format!("`{key}` can only be set to `{CATALOGUE}`"),
    )
    .hint("use `jobctl queues pause` and `jobctl queues resume`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str], keys: &[OverrideKey]) -> Result<Vec<(OverrideKey, Option<String>)>> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let settings = parse_all(&texts, keys)?.into_iter();
        Ok(settings.map(|it| (it.key, it.value)).collect())
    }

    #[test]
    fn settings_are_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(&["concurrency=07", "rate=60/min"], LIMIT_KEYS).unwrap(),
            [
                (OverrideKey::Concurrency, some("7")),
                (OverrideKey::Rate, some("60/min"))
            ]
        );
        assert_eq!(
            read(&["rate=none", "concurrency=catalogue"], LIMIT_KEYS).unwrap(),
            [
                (OverrideKey::Rate, some("none")),
                (OverrideKey::Concurrency, None)
            ]
        );
        assert_eq!(
            read(&["max_running=1000000", "paused=catalogue"], QUEUE_KEYS).unwrap(),
            [
                (OverrideKey::MaxRunning, some("1000000")),
                (OverrideKey::Paused, None)
            ]
        );
    }

    #[test]
    fn what_is_no_setting_is_reported() {
        for (text, keys, message, hint) in [
            (
                "max_running",
                QUEUE_KEYS,
                "bad setting `max_running`: it has no `=`",
                "write for instance `max_running=catalogue`",
            ),
            (
                "max_runing=1",
                QUEUE_KEYS,
                "unknown key `max_runing`",
                "did you mean `max_running`? the keys are max_running, max_waiting, paused",
            ),
            (
                "burst=1",
                LIMIT_KEYS,
                "unknown key `burst`",
                "the keys are concurrency, rate",
            ),
            (
                "max_running=0",
                QUEUE_KEYS,
                "bad `max_running` `0`: it is no number from 1 to 1000000",
                "`jobctl queues pause` lets nothing start",
            ),
            (
                "max_waiting=0",
                QUEUE_KEYS,
                "bad `max_waiting` `0`: it is no number from 1 to 1000000000",
                "write a number, `none` for no cap, or `catalogue` for what it says",
            ),
            (
                "concurrency=0",
                LIMIT_KEYS,
                "bad `concurrency` `0`: it is no number from 1 to 1000000",
                "`jobctl limits pause` lets nothing start",
            ),
            (
                "concurrency=-1",
                LIMIT_KEYS,
                "bad `concurrency` `-1`: it is no number from 1 to 1000000",
                "write a number, `none` for no cap, or `catalogue` for what it says",
            ),
            (
                "rate=0/s",
                LIMIT_KEYS,
                "bad rate `0/s`: the number is not between 1 and 1000000",
                "write a number per `s`, `min`, `h` or `d`, such as `60/min`",
            ),
            (
                "paused=yes",
                QUEUE_KEYS,
                "`paused` can only be set to `catalogue`",
                "use `jobctl queues pause` and `jobctl queues resume`",
            ),
        ] {
            let error = read(&[text], keys).unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (Kind::Usage, message));
            assert_eq!(error.hint, Some(hint.into()), "{text}");
        }
        for text in [
            "concurrency=",
            "concurrency=1000001",
            "concurrency=2.5",
            "rate=",
        ] {
            assert!(read(&[text], LIMIT_KEYS).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_given_once() {
        let error = read(&["rate=1/s", "rate=none"], LIMIT_KEYS).unwrap_err();
        assert_eq!(error.message, "`rate` is given twice; nothing was changed");
    }
}
