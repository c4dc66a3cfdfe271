//! Operators that change queues and limits during a story.

use jobctl::flow::{OverrideKey, Setting, Subject};
use jobctl::store::{Act, Reset, Store};

use super::facts::Actor;
use super::host::{Answer, HOUR, Host, MINUTE};

/// Subjects and the settings of them that take a number.
const NUMBERS: &[(&str, OverrideKey)] = &[
    ("low", OverrideKey::MaxRunning),
    ("bank", OverrideKey::Concurrency),
];

/// One change, for a while or until it is taken back.
pub(super) fn pull(host: &mut Host, store: &mut Store) {
    let now_ms = host.wall_ms();
    let for_a_while = host.dice.percent(60);
    let lasts_ms = host.dice.between(MINUTE, 12 * HOUR);
    let act = Act {
        by: "ann",
        reason: None,
        now_ms,
        until_ms: for_a_while.then_some(now_ms + lasts_ms),
    };
    match host.dice.between(1, 100) {
        1..=50 => {
            let (name, key) = *host.dice.pick(NUMBERS).expect("one");
            let number = host.dice.between(1, 3);
            let taken_back = host.dice.percent(25);
            set(
                host,
                store,
                (name, key),
                (!taken_back).then_some(number),
                &act,
            );
        }
        51..=65 => switch_on(host, store, "high", OverrideKey::Paused, &act),
        66..=75 => resume(host, store, &act),
        76..=85 => switch_on(host, store, "bank", OverrideKey::LimitPaused, &act),
        86..=92 => resume_limit(host, store, &act),
        _ => reset(host, store, &act),
    }
}

/// Everything is as the catalogue says.
pub(super) fn let_go(host: &mut Host, store: &mut Store) {
    let act = Act {
        by: "ann",
        reason: None,
        now_ms: host.wall_ms(),
        until_ms: None,
    };
    for &of in NUMBERS {
        set(host, store, of, None, &act);
    }
    resume(host, store, &act);
    resume_limit(host, store, &act);
    reset(host, store, &act);
}

fn set(
    host: &mut Host,
    store: &mut Store,
    (name, key): (&'static str, OverrideKey),
    number: Option<i64>,
    act: &Act<'_>,
) {
    let value = number.map(|number| number.to_string());
    let settings = [Setting { key, value }];
    let answer = host.write(Actor::Operator, store, |tx| {
        tx.change_settings(name, &settings, act)
    });
    host.note(|| {
        format!(
            "{name} {key}={number:?} until {:?}: {answer:?}",
            act.until_ms
        )
    });
    if let Answer::Stored(_) | Answer::Unknown(_) = answer {
        let changes = &mut host.witness.limits.changes;
        match number {
            Some(number) => changes.insert((name, key.word()), (number, act.until_ms)),
            None => changes.remove(&(name, key.word())),
        };
    }
}

/// Pauses a queue or a limit; one that is, stays as it was.
fn switch_on(
    host: &mut Host,
    store: &mut Store,
    name: &'static str,
    key: OverrideKey,
    act: &Act<'_>,
) {
    let answer = host.write(Actor::Operator, store, |tx| {
        if key == OverrideKey::Paused {
            tx.pause_queue(name, act)
        } else {
            tx.pause_limit(name, act)
        }
    });
    host.note(|| format!("{name} {key} until {:?}: {answer:?}", act.until_ms));
    if let Answer::Stored(None) | Answer::Unknown(None) = answer {
        let changes = &mut host.witness.limits.changes;
        changes.insert((name, key.word()), (1, act.until_ms));
    }
}

fn resume(host: &mut Host, store: &mut Store, act: &Act<'_>) {
    let answer = host.write(Actor::Operator, store, |tx| {
        tx.resume_queue("high", false, act)
    });
    host.note(|| format!("queue high is resumed: {answer:?}"));
    if let Answer::Stored(true) | Answer::Unknown(true) = answer {
        host.witness.limits.changes.remove(&("high", "paused"));
    }
}

fn resume_limit(host: &mut Host, store: &mut Store, act: &Act<'_>) {
    let answer = host.write(Actor::Operator, store, |tx| tx.resume_limit("bank", act));
    host.note(|| format!("limit bank is resumed: {answer:?}"));
    if let Answer::Stored(Some(_)) | Answer::Unknown(Some(_)) = answer {
        let paused = OverrideKey::LimitPaused.word();
        host.witness.limits.changes.remove(&("bank", paused));
    }
}

fn reset(host: &mut Host, store: &mut Store, act: &Act<'_>) {
    let answer = host.write(Actor::Operator, store, |tx| {
        tx.reset(&Subject::Limit("bank".into()), act)
    });
    host.note(|| format!("limit bank is reset: {answer:?}"));
    if let Answer::Stored(reset) | Answer::Unknown(reset) = answer
        && reset != Reset::default()
    {
        host.witness.limits.bank.reset();
    }
}
