//! What commands do, and how they end.

use jobctl::attempt::{Class, Ending, RetryAfter, Said};
use jobctl::store::Claimed;

use super::host::{HOUR, Host, MINUTE, SECOND};
use super::processes::Script;

/// What a command will do, and for how long.
pub(super) fn script(host: &mut Host, claimed: &Claimed) -> (Script, i64) {
    let short = host.dice.percent(70);
    let lasts_ms = if short && claimed.job == "mail" {
        // So short that it is claimed ahead.
        host.dice.between(1, 60)
    } else if short {
        host.dice.between(1, 5 * SECOND)
    } else {
        host.dice.between(SECOND, 50 * MINUTE)
    };
    let roll = host.dice.between(1, 100);
    // When the faults are over commands go well more often.
    let well = if host.faults > 0 { 60 } else { 90 };
    let script = match roll {
        _ if roll <= well => Script::Exits(0),
        91..=93 if claimed.job == "fragile" => Script::KillsItsWorker,
        61..=75 if claimed.job == "sync" => Script::Limited(host.dice.between(1, 2 * HOUR)),
        61..=85 => Script::Exits(1),
        86..=90 => Script::Exits(65),
        91..=95 => Script::Signalled,
        96..=97 => return (Script::Hangs, HOUR),
        _ => Script::Exits(75),
    };
    (script, lasts_ms)
}

/// How it ended, and what it said.
pub(super) fn outcome(script: Script) -> (Ending, Said) {
    let mut said = Said::default();
    let ending = match script {
        Script::Exits(code) => Ending::Exited(code),
        Script::Signalled | Script::KillsItsWorker => Ending::Signalled(9),
        Script::Hangs => Ending::TimedOut {
            exit_code: None,
            signal: Some(15),
        },
        Script::Limited(wait_ms) => {
            said.class = Some(Class::RateLimited);
            said.retry_after = Some(RetryAfter::In(wait_ms));
            Ending::Exited(75)
        }
    };
    (ending, said)
}
