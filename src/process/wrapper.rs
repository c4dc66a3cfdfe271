//! `jobctl internal-exec`: sets umask and resource limits in the child and becomes the command.
//!
//! Rule: it runs in the child, after `posix_spawn`, so that jobctl itself never forks with its locks. It exits 127 when
//! the program is missing and 126 when it cannot be executed or a limit cannot be set, as shells do.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::Rlimit;

use super::{command, spawn};
use crate::attempt::Ending;
use crate::catalogue::{Job, Resource};
use crate::error::os_words;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "internal-exec";

/// jobctl's own binary, to be asked once at start.
///
/// `/proc/self/exe` names it even after an upgrade replaced the file, so that worker and wrapper are of one version.
pub fn own_binary() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() {
        return link;
    }
    std::env::current_exe().unwrap_or(link)
}

/// Words before a command that needs the wrapper; none for one that does not.
pub(super) fn prefix(job: &Job, own_binary: &Path) -> Result<Vec<CString>, Ending> {
    if job.umask.is_none() && job.rlimits.is_empty() {
        return Ok(Vec::new());
    }
    let mut words = vec![
        own_binary.as_os_str().as_bytes().to_vec(),
        SUBCOMMAND.into(),
    ];
    if let Some(umask) = job.umask {
        words.extend([b"--umask".to_vec(), format!("{umask:03o}").into_bytes()]);
    }
    for rlimit in &job.rlimits {
        let limit = rlimit
            .limit
            .map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        words.extend([
            b"--rlimit".to_vec(),
            format!("{}={limit}", rlimit.resource).into_bytes(),
        ]);
    }
    words.push(b"--".to_vec());
    words.into_iter().map(command::c_string).collect()
}

/// What the wrapper could not do: a message for standard error and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// Without a leading `error:`.
    pub message: String,
    /// 127, 126, or 2 for wrong arguments.
    pub exit_code: u8,
}

/// Sets what the arguments say and becomes the command; returns only what went wrong.
///
/// `arguments` are those after the subcommand's name: `--umask 027 --rlimit nofile=1024 -- PROGRAM ARGUMENTS`.
pub fn exec_wrapper(arguments: impl IntoIterator<Item = OsString>) -> Failed {
    match prepare(arguments) {
        Ok(words) => become_command(&words),
        Err(failed) => failed,
    }
}

fn prepare(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<CString>, Failed> {
    let usage = |message: String| Failed {
        message,
        exit_code: 2,
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            return arguments
                .map(|word| CString::new(word.as_bytes()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| usage("argument with a NUL byte".into()));
        }
        let value = arguments.next();
        let value = value.as_deref().and_then(OsStr::to_str).unwrap_or("");
        if argument == "--umask" {
            let mask =
                u32::from_str_radix(value, 8).map_err(|_| usage(format!("bad umask `{value}`")))?;
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask & 0o777));
        } else if argument == "--rlimit" {
            let (resource, limit) =
                parse_rlimit(value).ok_or_else(|| usage(format!("bad rlimit `{value}`")))?;
            set_limit(resource, limit).map_err(|error| Failed {
                message: format!("cannot set rlimit `{value}`: {}", os_words(&error)),
                exit_code: 126,
            })?;
        } else {
            return Err(usage(format!("unknown option `{}`", argument.display())));
        }
    }
    Err(usage("no command".into()))
}

fn parse_rlimit(text: &str) -> Option<(Resource, Option<u64>)> {
    let (name, limit) = text.split_once('=')?;
    let limit = match limit {
        "unlimited" => None,
        number => Some(number.parse().ok()?),
    };
    Some((Resource::from_word(name)?, limit))
}

fn set_limit(resource: Resource, limit: Option<u64>) -> std::io::Result<()> {
    use rustix::process::Resource as R;
    let resource = match resource {
        Resource::As => R::As,
        Resource::Core => R::Core,
        Resource::Cpu => R::Cpu,
        Resource::Data => R::Data,
        Resource::Fsize => R::Fsize,
        Resource::Nofile => R::Nofile,
        Resource::Nproc => R::Nproc,
        Resource::Stack => R::Stack,
    };
    Ok(rustix::process::setrlimit(
        resource,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )?)
}

fn become_command(words: &[CString]) -> Failed {
    let Some(program) = words.first() else {
        return Failed {
            message: "no command".into(),
            exit_code: 2,
        };
    };
    let search = std::env::var_os("PATH").unwrap_or_default();
    let error = match command::resolve(program, search.as_bytes()) {
        Ok(path) => spawn::exec(&path, words),
        Err(error) => error,
    };
    Failed {
        message: format!(
            "cannot start `{}`: {}",
            program.to_string_lossy(),
            os_words(&error)
        ),
        exit_code: if error.kind() == std::io::ErrorKind::NotFound {
            127
        } else {
            126
        },
    }
}
