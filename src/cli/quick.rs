//! Parses the arguments of a plain `enqueue` without clap: a caller waits for that command, and building and walking the tree of
//! all commands takes a fifth of its time.
//!
//! Rule: only arguments that clap certainly reads the same way are parsed here; everything else (help, mistakes, rare options)
//! returns `None` and is left to clap. A property test compares the two.

use std::ffi::OsString;
use std::path::PathBuf;

use super::global::Color;
use super::{Cli, Command, Global, enqueue};

/// `jobctl enqueue JOB [--OPTION VALUE]... [--json]`.
pub(super) fn enqueue(args: &[OsString]) -> Option<Cli> {
    if args.get(1)? != "enqueue" {
        return None;
    }
    let mut own = enqueue::Args::default();
    let mut global = Global {
        catalogue: None,
        store_dir: None,
        json: false,
        color: Color::Auto,
        quiet: false,
        verbose: false,
    };
    let mut words = args[2..].iter();
    while let Some(word) = words.next() {
        let word = word.to_str()?;
        let Some(option) = word.strip_prefix("--") else {
            if word.starts_with('-') || own.job.replace(word.to_owned()).is_some() {
                return None;
            }
            continue;
        };
        if option == "json" && !global.json {
            global.json = true;
            continue;
        }
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, value),
            // What begins with a dash may be the next option.
            None => (
                option,
                words
                    .next()?
                    .to_str()
                    .filter(|value| !value.starts_with('-'))?,
            ),
        };
        if value.is_empty() {
            return None;
        }
        put(name, value, &mut own, &mut global)?;
    }
    let both = own.request.delay.is_some() && own.request.at.is_some();
    if own.job.is_none() || both {
        return None;
    }
    Some(Cli {
        global,
        command: Some(Command::Enqueue(own)),
    })
}

/// Sets one option; `None` if the option is not handled here or is already set.
fn put(name: &str, value: &str, own: &mut enqueue::Args, global: &mut Global) -> Option<()> {
    let request = &mut own.request;
    let slot = match name {
        "param" => {
            request.params.push(value.to_owned());
            return Some(());
        }
        "catalogue" => return set(&mut global.catalogue, PathBuf::from(value)),
        "store" => return set(&mut global.store_dir, PathBuf::from(value)),
        "priority" => return set(&mut request.priority, value.parse().ok()?),
        "payload" => &mut request.payload,
        "queue" => &mut request.queue,
        "delay" => &mut request.delay,
        "at" => &mut request.at,
        "deadline" => &mut request.deadline,
        "dedup-key" => &mut request.dedup_key,
        "dedup-window" => &mut request.dedup_window,
        "tenant" => &mut request.tenant,
        "request-id" => &mut own.request_id,
        label => request.labels.slot(label)?,
    };
    set(slot, value.to_owned())
}

/// Refuses an option that is given twice.
fn set<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::usage::whole;
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_usual_options_are_parsed_without_clap() {
        for line in [
            "jobctl enqueue job",
            "jobctl enqueue job --param a=b --param=c=d --payload {} --json --request-id r --tenant t",
            "jobctl enqueue --store /s --catalogue /c job --queue q --priority 5 --delay 5m --deadline 1h",
            "jobctl enqueue job --at 2031-01-01T00:00Z --dedup-key k --dedup-window 1h --correlation-id c \
             --initiator i --business-key b",
        ] {
            let args = args(line);
            let quick = enqueue(&args).map(|cli| format!("{cli:?}"));
            assert!(quick.is_some(), "{line}");
            assert_eq!(
                quick,
                whole(&args).ok().map(|cli| format!("{cli:?}")),
                "{line}"
            );
        }
    }

    #[test]
    fn all_other_arguments_are_left_to_clap() {
        for line in [
            "jobctl enqueue",
            "jobctl enqueue --help",
            "jobctl enqueue job -q",
            "jobctl enqueue job other",
            "jobctl enqueue job --at 1 --delay 1",
            "jobctl enqueue job --queue",
            "jobctl enqueue job --queue a --queue b",
            "jobctl enqueue job --priority x",
            "jobctl enqueue --from -",
            "jobctl -q enqueue job",
            "jobctl runs list",
        ] {
            assert!(enqueue(&args(line)).is_none(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn clap_reads_the_same_arguments(words in prop::collection::vec(prop::sample::select(vec![
            "job", "other", "--param", "a=b", "--param=c=", "--payload", "-1", "-", "{}", "--json", "--json=x", "--queue",
            "--queue=", "--priority", "7", "--priority=-7", "--delay", "5m", "--at", "--store", "/s", "--store=/t",
            "--catalogue=/c", "--request-id", "--", "-q", "--wait", "--wait=1s", "--from", "--tenant", "t", "",
        ]), 0..7)) {
            let args: Vec<OsString> =
                ["jobctl", "enqueue"].into_iter().chain(words).map(OsString::from).collect();
            if let Some(quick) = enqueue(&args) {
                let whole = whole(&args).ok().map(|cli| format!("{cli:?}"));
                prop_assert_eq!(Some(format!("{quick:?}")), whole);
            }
        }
    }
}
