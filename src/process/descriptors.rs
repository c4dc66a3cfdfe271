//! The limit of open files of this process, compared with the need of its slots.
//!
//! Rule: commands get the soft limit that jobctl was started with. If it was raised, the wrapper resets it, because a program that uses
//! `select` fails with higher descriptors.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Error, Kind, Result};

/// Descriptors per slot. A slot with output and payload uses ten, and briefly two more; without them six.
const PER_SLOT: u64 = 8;

/// Descriptors of the other threads: connections, locks, logs, signals.
const WITHOUT_SLOTS: u64 = 64;

/// The soft limit for commands, if ours was raised.
static FOR_COMMANDS: OnceLock<u64> = OnceLock::new();

/// Whether the limits suffice for a number of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The slots fit under the soft limit.
    Enough,
    /// The slots fit if the soft limit is raised to this hard limit.
    Raise(Option<u64>),
    /// The slots do not fit.
    TooFew {
        /// Descriptors that they need.
        needed: u64,
        /// The hard limit.
        limit: u64,
        /// Slots that would fit.
        slots: u64,
    },
}

/// Compares the need of this many slots with a soft and a hard limit; `None` is unlimited.
pub fn room(slots: u32, soft: Option<u64>, hard: Option<u64>) -> Room {
    let needed = WITHOUT_SLOTS + PER_SLOT * u64::from(slots);
    let fits = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    match hard {
        _ if fits(soft) => Room::Enough,
        Some(limit) if limit < needed => Room::TooFew {
            needed,
            limit,
            slots: limit.saturating_sub(WITHOUT_SLOTS) / PER_SLOT,
        },
        _ => Room::Raise(hard),
    }
}

/// Refuses slots that do not fit under the limits of this process.
pub fn check(slots: u32) -> Result<()> {
    let limits = getrlimit(Resource::Nofile);
    match room(slots, limits.current, limits.maximum) {
        Room::TooFew {
            needed,
            limit,
            slots: fitting,
        } => Err(too_few(slots, needed, limit, fitting)),
        Room::Enough | Room::Raise(_) => Ok(()),
    }
}

fn too_few(slots: u32, needed: u64, limit: u64, fitting: u64) -> Error {
    let message = format!(
        "{slots} slots need {needed} open files, and the limit is {limit}; no worker was started"
    );
    let fewer = match fitting {
        0 => String::new(),
        fitting => format!(", or use at most {fitting} slots"),
    };
    Error::new(Kind::Config, message).hint(format!(
        "raise the hard limit (`LimitNOFILE=` of a systemd unit, `ulimit -Hn` of a shell){fewer}"
    ))
}

/// Raises the soft limit for this many slots if necessary; to be called once, before a command is prepared.
///
/// # Errors
/// [`Kind::Config`] if the slots do not fit under the hard limit.
pub fn make_room(slots: u32) -> Result<()> {
    check(slots)?;
    let limits = getrlimit(Resource::Nofile);
    if let Room::Raise(hard) = room(slots, limits.current, limits.maximum) {
        let raised = Rlimit {
            current: hard,
            maximum: hard,
        };
        setrlimit(Resource::Nofile, raised).map_err(|error| {
            Error::new(
                Kind::Failed,
                format!("cannot raise the limit of open files: {error}"),
            )
        })?;
        if let Some(soft) = limits.current {
            let _ = FOR_COMMANDS.set(soft);
        }
    }
    Ok(())
}

/// The soft limit of open files for commands; `None` if they inherit ours.
pub(super) fn commands_limit() -> Option<u64> {
    FOR_COMMANDS.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_fit_or_need_a_higher_soft_limit_or_are_refused() {
        assert_eq!(room(100, Some(1024), Some(4096)), Room::Enough);
        assert_eq!(room(100, None, None), Room::Enough);
        assert_eq!(room(480, Some(1024), Some(4096)), Room::Raise(Some(4096)));
        assert_eq!(room(480, Some(1024), None), Room::Raise(None));
        let too_few = Room::TooFew {
            needed: 64 + 480 * 8,
            limit: 1024,
            slots: 120,
        };
        assert_eq!(room(480, Some(1024), Some(1024)), too_few);
        assert_eq!(room(120, Some(1024), Some(1024)), Room::Enough);
    }

    #[test]
    fn the_refusal_names_how_many_slots_would_fit() {
        let error = too_few(480, 3904, 1024, 120);
        assert_eq!(
            error.message,
            "480 slots need 3904 open files, and the limit is 1024; no worker was started"
        );
        assert!(
            error
                .hint
                .and_then(|hint| hint.plain())
                .is_some_and(|hint| hint.ends_with("or use at most 120 slots"))
        );
        assert!(
            too_few(1, 72, 40, 0)
                .hint
                .and_then(|hint| hint.plain())
                .is_some_and(|hint| hint.ends_with("of a shell)"))
        );
    }
}
