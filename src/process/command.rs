//! The words that are executed for a job: its command, the shell or its direct replacement, the prefix of the wrapper.
//!
//! Rule: a parameter fills (part of) one argument and never reaches a shell. A command string is executed without the shell only if the
//! result is the same; if that start fails, the shell is used and reports the error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;

use super::program::c_string;
use super::{descriptors, wrapper};
use crate::attempt::Ending;
use crate::catalogue::{self, Job, Segment, Template};

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
                    prefix.push(c_string(word.expand(&BTreeMap::new()))?);
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
                    all.push(c_string(word.expand(params))?);
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
}
