//! What a command says in `$JOBCTL_RUN_OUTPUT`.
//!
//! Rule: a command may put anything there. The file is opened without following links or blocking and read up to a limit, and unknown
//! lines are ignored.

use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags};

use super::capture::Redactor;
use crate::attempt::{Class, RetryAfter, Said};
use crate::clock;
use crate::local::SlotDir;

/// Most bytes read from the output file.
const OUTPUT_MAX: u64 = 1 << 20;

/// Longest message, bytes.
const MESSAGE_MAX: usize = 4096;

/// Most bytes of all results together: they are stored in the database.
const RESULTS_MAX: usize = 256 << 10;

/// Most results.
const RESULT_COUNT_MAX: usize = 1000;

/// What the command of a slot wrote to its output file.
pub fn said_in(slot: &SlotDir, redactor: Option<&Redactor>) -> Said {
    read_output(slot.as_fd(), SlotDir::OUTPUT)
        .map(|text| parse_output(&text, clock::wall_ms(), redactor))
        .unwrap_or_default()
}

/// Reads the output file; `None` where there is none or it is not a regular file.
fn read_output(dir: BorrowedFd<'_>, name: &CStr) -> Option<Vec<u8>> {
    let flags =
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::new();
    let mut file = std::fs::File::from(file).take(OUTPUT_MAX + 1);
    file.read_to_end(&mut text).ok()?;
    if text.len() as u64 > OUTPUT_MAX {
        // The cut line may end within a secret, which would not be recognised; so the line is dropped.
        let whole = text
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        text.truncate(whole);
    }
    Some(text)
}

/// Parses the lines of an output file. Of a repeated key the last value counts; results are collected.
pub fn parse_output(bytes: &[u8], now_ms: i64, redactor: Option<&Redactor>) -> Said {
    // Redacted before decoding: a secret need not be UTF-8.
    let clean = redactor.map(|redactor| redactor.bytes(bytes));
    let text = String::from_utf8_lossy(clean.as_deref().unwrap_or(bytes));
    let mut said = Said::default();
    let mut results_bytes = 0;
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            "error_class" => {
                // A command cannot report success: that would hide a non-zero exit code.
                if let Some(class) =
                    Class::from_word(value).filter(|&class| class != Class::Success)
                {
                    said.class = Some(class);
                }
            }
            "retry_after" => {
                if let Some(after) = parse_retry_after(value, now_ms) {
                    said.retry_after = Some(after);
                }
            }
            "message" if !value.is_empty() => {
                said.message = Some(cut(value, MESSAGE_MAX).to_owned());
            }
            "result" => {
                let fits = results_bytes + value.len() <= RESULTS_MAX
                    && said.results.len() < RESULT_COUNT_MAX;
                if fits && serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok() {
                    results_bytes += value.len();
                    said.results.push(value.to_owned());
                }
            }
            _ => {}
        }
    }
    said
}

fn parse_retry_after(value: &str, now_ms: i64) -> Option<RetryAfter> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds: i64 = value.parse().ok()?;
        // A wait beyond the range of times is ignored.
        seconds
            .checked_mul(1000)
            .filter(|ms| ms.checked_add(now_ms).is_some())
            .map(RetryAfter::In)
    } else {
        http_date_ms(value).map(RetryAfter::At)
    }
}

/// An HTTP date in its current form (`Sun, 06 Nov 1994 08:49:37 GMT`), milliseconds UTC.
pub fn http_date_ms(text: &str) -> Option<i64> {
    let text = text.strip_suffix(" GMT")?;
    chrono::NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S")
        .ok()
        .map(|time| time.and_utc().timestamp_millis())
}

fn cut(text: &str, max: usize) -> &str {
    let end = (0..=text.len().min(max))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        parse_output(text.as_bytes(), 0, None)
    }

    #[test]
    fn known_lines_are_parsed_and_others_ignored() {
        let all = said(
            "error_class=permanent\nretry_after=120\nmessage=no such = user\nresult={\"a\":1}\nresult=[2]\n\
             result={broken\nnonsense\nother=1\n=\n",
        );
        assert_eq!(
            all,
            Said {
                class: Some(Class::Permanent),
                retry_after: Some(RetryAfter::In(120_000)),
                message: Some("no such = user".into()),
                results: vec!["{\"a\":1}".into(), "[2]".into()],
            }
        );
        for garbage in [
            "error_class=success",
            "error_class=Permanent",
            "retry_after=-1",
            "retry_after=soon",
            "retry_after=99999999999999999",
            "message=",
            "\0\u{1}",
        ] {
            assert_eq!(said(garbage), Said::default(), "{garbage}");
        }
        assert_eq!(
            parse_output(b"\xff\xfe=\nmessage=\xff", 0, None)
                .message
                .unwrap(),
            "\u{fffd}"
        );
    }

    #[test]
    fn a_retry_time_may_be_an_http_date() {
        assert_eq!(
            http_date_ms("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777_000)
        );
        for wrong in [
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "1994-11-06",
            "Sun, 06 Nov 1994 08:49:37",
        ] {
            assert_eq!(http_date_ms(wrong), None);
        }
        assert_eq!(
            said("retry_after=Sun, 06 Nov 1994 08:49:37 GMT").retry_after,
            Some(RetryAfter::At(784_111_777_000))
        );
    }

    #[test]
    fn lengths_are_limited_and_secrets_removed() {
        let long = format!("message={}\n", "\u{e9}".repeat(5000));
        assert_eq!(said(&long).message.unwrap().len(), MESSAGE_MAX);
        let many = "result=1\n".repeat(5000);
        assert_eq!(said(&many).results.len(), RESULT_COUNT_MAX);
        let redactor = Redactor::new(&[b"hunter2".to_vec()]).unwrap();
        let parsed = parse_output(
            b"message=pw hunter2\nresult=\"hunter2\"",
            0,
            Some(&redactor),
        );
        assert_eq!(parsed.message.unwrap(), "pw [redacted]");
        let binary = Redactor::new(&[b"s\xffcret".to_vec()]).unwrap();
        let of_bytes = parse_output(b"message=is s\xffcret\n", 0, Some(&binary));
        assert_eq!(of_bytes.message.unwrap(), "is [redacted]");
        assert_eq!(parsed.results, ["\"[redacted]\""]);
    }

    #[test]
    fn a_line_that_is_cut_at_the_limit_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        let read = |text: &str| {
            std::fs::write(dir.path().join("output"), text).unwrap();
            read_output(std::os::fd::AsFd::as_fd(&fd), c"output").unwrap()
        };
        let filler = "x".repeat(OUTPUT_MAX as usize - "message=a\n\nmessage=hunt".len());
        let cut = format!("message=a\n{filler}\nmessage=hunter2");
        assert!(!read(&cut).ends_with(b"hunt"), "half of a secret");
        assert!(read(&cut).ends_with(b"x\n"));
        let fits = format!("message=a\n{filler}\nmessage=hunt");
        assert_eq!(read(&fits), fits.as_bytes());
        assert_eq!(read(&"x".repeat(OUTPUT_MAX as usize + 1)), b"");
    }
}
