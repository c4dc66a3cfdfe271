//! Reads what `strace -f -y -xx` wrote: system calls in the order in which they began, strings as bytes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One system call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Thread.
    pub(super) tid: u32,
    pub(super) name: String,
    /// Its arguments, unparsed.
    pub(super) args: String,
    /// What it returned; `None` if it never did.
    pub(super) result: Option<i64>,
    /// Lines of the trace at which it began and ended.
    pub(super) begin: usize,
    pub(super) end: usize,
}

/// All calls of a trace.
pub(super) fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<u32, usize> = HashMap::new();
    for (line, text) in text.lines().enumerate() {
        let Some((tid, rest)) = text.split_once(' ') else {
            continue;
        };
        let (Ok(tid), rest) = (tid.parse::<u32>(), rest.trim_start()) else {
            continue;
        };
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            if let Some(call) = open.remove(&tid).map(|at| &mut calls[at]) {
                let (args, result) = split_result(resumed);
                let args = args.split_once("resumed>").map_or("", |(_, args)| args);
                call.args.push_str(args);
                call.result = result;
                call.end = line;
            }
            continue;
        }
        let Some((name, rest)) = rest.split_once('(') else {
            continue;
        };
        let (args, result) = match rest.strip_suffix(" <unfinished ...>") {
            Some(args) => {
                open.insert(tid, calls.len());
                (args, None)
            }
            None => split_result(rest),
        };
        calls.push(Call {
            tid,
            name: name.to_owned(),
            args: args.to_owned(),
            result,
            begin: line,
            end: line,
        });
    }
    calls
}

fn split_result(text: &str) -> (&str, Option<i64>) {
    let Some((args, result)) = text.rsplit_once(" = ") else {
        return (text, None);
    };
    let digits = result.find(|c: char| c != '-' && !c.is_ascii_digit());
    let number = &result[..digits.unwrap_or(result.len())];
    let args = args.trim_end();
    (args.strip_suffix(')').unwrap_or(args), number.parse().ok())
}

impl Call {
    /// The arguments, split at the commas between them.
    pub(super) fn arguments(&self) -> Vec<&str> {
        self.args.split(", ").collect()
    }

    /// The path of the file whose descriptor is the first argument.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let first = self.arguments().into_iter().next()?;
        let (_, path) = first.split_once('<')?;
        Some(PathBuf::from(string_of(path.split_once('>')?.0)))
    }

    /// The n-th argument as a path, relative ones below the descriptor before it.
    pub(super) fn path(&self, n: usize) -> Option<PathBuf> {
        let arguments = self.arguments();
        let path = PathBuf::from(string_of(&string(arguments.get(n)?)?));
        if path.is_absolute() {
            return Some(path);
        }
        let base = n.checked_sub(1).and_then(|before| arguments.get(before))?;
        let (_, base) = base.split_once('<')?;
        Some(Path::new(&string_of(base.split_once('>')?.0)).join(path))
    }

    /// The n-th argument as a number.
    pub(super) fn number(&self, n: usize) -> Option<u64> {
        let arguments = self.arguments();
        let digits = arguments.get(n)?;
        let end = digits.find(|c: char| !c.is_ascii_digit());
        digits[..end.unwrap_or(digits.len())].parse().ok()
    }

    /// The n-th argument as bytes.
    pub(super) fn bytes(&self, n: usize) -> Option<Vec<u8>> {
        Some(unescaped(&string(self.arguments().get(n)?)?))
    }
}

/// What stands between the quotes.
fn string(argument: &str) -> Option<String> {
    let text = argument.strip_prefix('"')?.strip_suffix('"')?;
    Some(text.to_owned())
}

fn string_of(text: &str) -> String {
    String::from_utf8_lossy(&unescaped(text)).into_owned()
}

/// `\x2f\x74` as bytes; anything else unchanged.
fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() / 4);
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at..at + 4)
            .filter(|four| four.starts_with(b"\\x"))
            .and_then(|four| std::str::from_utf8(&four[2..]).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = hex {
            out.push(byte);
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

#[test]
fn traces_are_read_as_they_are_written() {
    let text = concat!(
        "7 openat(AT_FDCWD<\\x2f\\x74>, \"\\x61\", O_RDWR|O_CREAT, 0600) = 3<\\x2f\\x74\\x2f\\x61>\n",
        "8 fdatasync(4<\\x2f\\x62> <unfinished ...>\n",
        "7 pwrite64(3<\\x2f\\x74\\x2f\\x61>, \"\\x00\\x2c\\x20\", 3, 4096) = 3\n",
        "8 <... fdatasync resumed>) = 0\n",
        "7 --- SIGCHLD {si_signo=SIGCHLD} ---\n",
        "7 write(1<pipe:[5]>, \"\\x31\\x0a\", 2) = ?\n",
        "7 +++ killed by SIGKILL +++\n",
    );
    let calls = parse(text);
    let short = |call: &Call| {
        (
            call.tid,
            call.name.clone(),
            call.result,
            call.begin,
            call.end,
        )
    };
    assert_eq!(
        calls.iter().map(short).collect::<Vec<_>>(),
        [
            (7, "openat".to_owned(), Some(3), 0, 0),
            (8, "fdatasync".to_owned(), Some(0), 1, 3),
            (7, "pwrite64".to_owned(), Some(3), 2, 2),
            (7, "write".to_owned(), None, 5, 5),
        ]
    );
    assert_eq!(calls[0].path(1), Some("/t/a".into()));
    assert_eq!(calls[1].file(), Some("/b".into()));
    assert_eq!(calls[2].file(), Some("/t/a".into()));
    assert_eq!(calls[2].bytes(1), Some(b"\0, ".to_vec()));
    assert_eq!(
        (calls[2].number(2), calls[2].number(3)),
        (Some(3), Some(4096))
    );
    assert_eq!(calls[3].bytes(1), Some(b"1\n".to_vec()));
}
