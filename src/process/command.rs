//! The words that are executed for a job: its command, the shell or its direct replacement, the prefix of the wrapper.
//!
//! Rule: a parameter fills (part of) one argument and never reaches a shell. A command string is executed without the shell only if the
//! result is the same; if that start fails, the shell is used and reports the error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::environment::Environment;
use super::{descriptors, wrapper};
use crate::attempt::{Ending, NotStarted};
use crate::catalogue::{self, Job, Segment, Template};
use crate::error::os_words;

/// Program and arguments of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argv {
    /// The first word names the program: a path if it has a slash, else looked up in the command's `PATH`.
    pub words: Vec<CString>,
    /// The words with the shell, to be used if [`Argv::words`] replace a shell command and cannot be started.
    pub shell_instead: Option<Vec<CString>>,
    /// Whether the words begin with the wrapper, which reports its errors.
    pub wrapped: bool,
}

/// The command of a job, prepared once for all its attempts.
#[derive(Debug, Clone)]
pub enum CommandPlan {
    /// The same words for every run.
    Fixed(Argv),
    /// Words with placeholders.
    Templates {
        /// The words before them: the wrapper of a job with umask or rlimits.
        prefix: Vec<CString>,
        /// Program and arguments.
        words: Vec<Template>,
    },
}

impl CommandPlan {
    /// Prepares a job's command. `own_binary` is jobctl itself, see [`wrapper::own_binary`].
    pub fn new(job: &Job, own_binary: &Path) -> Result<Self, Ending> {
        let mut prefix = wrapper::prefix(job, own_binary, descriptors::commands_limit())?;
        let wrapped = !prefix.is_empty();
        match &job.command {
            catalogue::Command::Argv(words) => {
                let has_param = |word: &Template| {
                    word.0
                        .iter()
                        .any(|segment| matches!(segment, Segment::Param(_)))
                };
                if words.iter().any(has_param) {
                    return Ok(Self::Templates {
                        prefix,
                        words: words.clone(),
                    });
                }
                for word in words {
                    prefix.push(c_string(expand(word, &BTreeMap::new()))?);
                }
                Ok(Self::Fixed(Argv {
                    words: prefix,
                    shell_instead: None,
                    wrapped,
                }))
            }
            catalogue::Command::Shell { script, shell } => {
                let direct = if prefix.is_empty() {
                    direct_words(script, shell)
                } else {
                    None
                };
                for word in shell.iter().chain([script]) {
                    prefix.push(c_string(word.clone())?);
                }
                Ok(Self::Fixed(match direct {
                    Some(words) => Argv {
                        words,
                        shell_instead: Some(prefix),
                        wrapped,
                    },
                    None => Argv {
                        words: prefix,
                        shell_instead: None,
                        wrapped,
                    },
                }))
            }
        }
    }

    /// The words for a run with these parameters.
    pub fn argv(&self, params: &BTreeMap<String, String>) -> Result<Cow<'_, Argv>, Ending> {
        match self {
            Self::Fixed(argv) => Ok(Cow::Borrowed(argv)),
            Self::Templates { prefix, words } => {
                let mut all = prefix.clone();
                for word in words {
                    all.push(c_string(expand(word, params))?);
                }
                Ok(Cow::Owned(Argv {
                    words: all,
                    shell_instead: None,
                    wrapped: !prefix.is_empty(),
                }))
            }
        }
    }
}

fn expand(template: &Template, params: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for segment in &template.0 {
        match segment {
            Segment::Text(part) => text.push_str(part),
            // The parameters were checked: a missing one is optional and has no default.
            Segment::Param(name) => text.push_str(params.get(name).map_or("", String::as_str)),
        }
    }
    text
}

/// An ending for an error that a retry cannot fix.
pub(super) fn refused(error: String) -> Ending {
    Ending::CannotStart { error }
}

pub(super) fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, Ending> {
    CString::new(text).map_err(|_| refused("a command or variable with a NUL byte".into()))
}

/// Whether an error of the start is a shortage of the host or ends the attempt.
pub(super) fn cannot_start(error: &io::Error, detail: Option<String>) -> NotStarted {
    let mut words = os_words(error);
    if let Some(detail) = detail {
        words = format!("{words} ({detail})");
    }
    match error.raw_os_error() {
        // No process, memory, descriptor or disk space is left.
        Some(
            libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ENOSPC | libc::EDQUOT,
        ) => NotStarted::worker_lacks(format!("cannot start a command: {words}")),
        // The program is open for writing, or its file system does not respond.
        Some(
            libc::ETXTBSY
            | libc::EIO
            | libc::ESTALE
            | libc::ETIMEDOUT
            | libc::ENOTCONN
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH,
        ) => NotStarted::job_lacks(format!("cannot start its command: {words}")),
        _ => NotStarted::for_good(words),
    }
}

/// Details that the error of the start does not contain.
pub(super) fn explain(
    error: &io::Error,
    path: &CStr,
    cwd: &CStr,
    words: &[CString],
    environment: &Environment<'_>,
) -> Option<String> {
    let cwd = Path::new(OsStr::from_bytes(cwd.to_bytes()));
    let program = cwd.join(OsStr::from_bytes(path.to_bytes()));
    match error.raw_os_error()? {
        libc::E2BIG => {
            // The kernel's MAX_ARG_STRLEN, with the final NUL.
            let longest = 128 * 1024;
            let size = |text: &CStr| text.to_bytes_with_nul().len();
            if let Some(at) = words.iter().position(|word| size(word) > longest) {
                return Some(format!("argument {at} is over 128 KiB"));
            }
            let variable = environment.iter().find(|entry| size(entry) > longest)?;
            let name = variable.to_bytes().split(|&byte| byte == b'=').next()?;
            let name = String::from_utf8_lossy(name);
            Some(format!("variable `{name}` is over 128 KiB"))
        }
        libc::ENOENT | libc::ENOTDIR | libc::EACCES if !cwd.is_dir() => {
            Some(format!("working directory `{}`", cwd.display()))
        }
        libc::ENOENT if path.to_bytes().contains(&b'/') && program.exists() => {
            Some("its interpreter".into())
        }
        _ => None,
    }
}

/// Finds the program as the shell does: a word with a slash is a path, any other is looked up in `PATH`.
///
/// `PATH` is that of the command, not of jobctl. Empty and relative elements are skipped, so that the program never comes from a working
/// directory that others may write to.
pub(super) fn resolve<'a>(word: &'a CStr, search_path: &[u8]) -> io::Result<Cow<'a, CStr>> {
    let name = word.to_bytes();
    if name.contains(&b'/') {
        return Ok(Cow::Borrowed(word));
    }
    let mut error = io::Error::from_raw_os_error(libc::ENOENT);
    if name.is_empty() {
        return Err(error);
    }
    for directory in search_path.split(|&byte| byte == b':') {
        if directory.first() != Some(&b'/') {
            continue;
        }
        let candidate = [directory, b"/", name].concat();
        match executable(OsStr::from_bytes(&candidate)) {
            Ok(()) => return Ok(Cow::Owned(CString::new(candidate)?)),
            Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => error = denied,
            Err(_) => {}
        }
    }
    Err(error)
}

fn executable(path: &OsStr) -> io::Result<()> {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?;
    if std::fs::metadata(path)?.is_file() {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EACCES))
    }
}

/// Builtins and reserved words of shells.
const SHELL_WORDS: &[&str] = &[
    ".",
    ":",
    "[",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "newgrp",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "stop",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
];

/// The words of a script that the standard shell would only split at spaces and execute; `None` for any other script.
fn direct_words(script: &str, shell: &[String]) -> Option<Vec<CString>> {
    if !matches!(shell, [program, option] if program == "/bin/sh" && option == "-c") {
        return None;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./=:,@%+- ".contains(&byte);
    if !script.bytes().all(plain) {
        return None;
    }
    let words: Vec<&str> = script.split(' ').filter(|word| !word.is_empty()).collect();
    let first = words.first()?;
    if first.contains('=') || first.starts_with(['-', '+', '%']) || SHELL_WORDS.contains(first) {
        return None;
    }
    words
        .into_iter()
        .map(|word| CString::new(word).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh() -> Vec<String> {
        vec!["/bin/sh".into(), "-c".into()]
    }

    #[test]
    fn only_plain_commands_go_without_the_shell() {
        for plain in [
            "/bin/true",
            "ls -l  /tmp",
            "  /usr/bin/env A=1 b ",
            "rsync -a h:/x /y",
        ] {
            assert!(direct_words(plain, &sh()).is_some(), "{plain}");
        }
        for shell in [
            "",
            "  ",
            "true",
            "echo hi",
            "A=1 env",
            "ls *",
            "ls ~",
            "ls $X",
            "a;b",
            "a&",
            "a|b",
            "a>b",
            "a 'b'",
            "a \"b\"",
            "a\tb",
            "a\nb",
            "a #b",
            "a\\b",
            "{ a",
            "! a",
            "-x",
            "time ls",
            "a {b,c}",
            "a ?",
            "[ a",
            "caf\u{e9}",
        ] {
            assert_eq!(direct_words(shell, &sh()), None, "{shell}");
        }
        assert_eq!(
            direct_words("/bin/true", &["/bin/bash".into(), "-c".into()]),
            None
        );
    }

    #[test]
    fn a_program_is_found_in_the_given_path_only() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, mode| {
            use std::os::unix::fs::PermissionsExt;
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        make("tool", 0o755);
        make("plain", 0o644);
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let search = format!("/nonexistent::.:{}", dir.path().display());
        let find = |name: &CStr| {
            resolve(name, search.as_bytes())
                .map(|path| path.to_string_lossy().into_owned())
                .map_err(|error| error.raw_os_error().unwrap())
        };
        assert_eq!(
            find(c"tool").unwrap(),
            dir.path().join("tool").to_str().unwrap()
        );
        assert_eq!(find(c"sub"), Err(libc::EACCES));
        assert_eq!(find(c"plain"), Err(libc::EACCES));
        assert_eq!(find(c"sh"), Err(libc::ENOENT));
        assert_eq!(find(c""), Err(libc::ENOENT));
        assert_eq!(find(c"./tool").unwrap(), "./tool");
    }
}
