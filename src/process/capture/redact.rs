//! Replaces the values of secrets in a stream of output.
//!
//! Rule: bytes that may begin a secret are held back until that is decided, so that a secret is found even if reads cut it in two.

/// Shorter values would redact ordinary words.
const SECRET_MIN: usize = 4;

/// The lines of a multi-line value are redacted separately too; shorter lines may be ordinary words.
const LINE_MIN: usize = 8;

const INSTEAD: &[u8] = b"[redacted]";

/// Removes secrets from output, piece by piece.
#[derive(Clone)]
pub struct Redactor {
    /// Longest first, so that the longest of several matching secrets is found.
    secrets: Vec<Vec<u8>>,
    /// The bytes that begin a secret.
    first: [bool; 256],
    held: Vec<u8>,
}

impl std::fmt::Debug for Redactor {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

impl Redactor {
    /// A redactor of these values and of their longer lines; `None` if none is long enough.
    pub fn new(values: &[Vec<u8>]) -> Option<Self> {
        let mut secrets: Vec<Vec<u8>> = Vec::new();
        for value in values.iter().filter(|value| value.len() >= SECRET_MIN) {
            secrets.push(value.clone());
            let lines = value.split(|&byte| byte == b'\n');
            let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            secrets.extend(
                lines
                    .filter(|line| line.len() >= LINE_MIN)
                    .map(<[u8]>::to_vec),
            );
        }
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        if secrets.is_empty() {
            return None;
        }
        let mut first = [false; 256];
        for secret in &secrets {
            first[usize::from(secret[0])] = true;
        }
        Some(Self {
            secrets,
            first,
            held: Vec::new(),
        })
    }

    /// Takes more of the stream and returns the part that is certainly clean.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let hold = self.held.len() - self.open_end();
        let mut clean = Vec::with_capacity(self.held.len());
        // A longer secret may begin in the bytes that are held back, so these are not decided now.
        let done = self.clean_into(&self.held, hold, &mut clean);
        self.held.drain(..done);
        clean
    }

    /// Ends the stream and returns what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        self.bytes(&held)
    }

    /// Redacts a complete text.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut clean = Vec::with_capacity(bytes.len());
        self.clean_into(bytes, bytes.len(), &mut clean);
        clean
    }

    /// Appends the redacted bytes that start before `end`; returns where it stopped, which may be after `end`.
    fn clean_into(&self, bytes: &[u8], end: usize, clean: &mut Vec<u8>) -> usize {
        let (mut done, mut at) = (0, 0);
        while at < end {
            let found = self.first[usize::from(bytes[at])]
                .then(|| {
                    self.secrets
                        .iter()
                        .find(|secret| bytes[at..].starts_with(secret))
                })
                .flatten();
            if let Some(secret) = found {
                clean.extend_from_slice(&bytes[done..at]);
                clean.extend_from_slice(INSTEAD);
                at += secret.len();
                done = at;
            } else {
                at += 1;
            }
        }
        clean.extend_from_slice(&bytes[done..at]);
        at
    }

    /// Length of the longest suffix of `held` that is a proper prefix of a secret.
    fn open_end(&self) -> usize {
        let longest = self.secrets.first().map_or(0, Vec::len);
        let from = self.held.len().saturating_sub(longest.saturating_sub(1));
        (from..self.held.len())
            .map(|start| &self.held[start..])
            .find(|end| {
                self.secrets
                    .iter()
                    .any(|secret| secret.len() > end.len() && secret.starts_with(end))
            })
            .map_or(0, <[u8]>::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(secrets: &[&str], text: &str, step: usize) -> String {
        let secrets: Vec<Vec<u8>> = secrets.iter().map(|s| s.as_bytes().to_vec()).collect();
        let mut redactor = Redactor::new(&secrets).unwrap();
        let mut clean = Vec::new();
        for part in text.as_bytes().chunks(step) {
            clean.extend(redactor.push(part));
        }
        clean.extend(redactor.finish());
        String::from_utf8(clean).unwrap()
    }

    #[test]
    fn secrets_are_found_across_reads_of_every_size() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&["hunter2"], "pw=hunter2;", "pw=[redacted];"),
            (&["hunter2"], "hunterhunter2", "hunter[redacted]"),
            (&["aaab"], "aaaaaab", "aaa[redacted]"),
            (
                &["abcd", "abcdef"],
                "xabcdefabcdx",
                "x[redacted][redacted]x",
            ),
            (&["abcd", "abcdef"], "abcde", "[redacted]e"),
            (
                &["a.c*", "[(\\"],
                "a.c* aXc a.c*",
                "[redacted] aXc [redacted]",
            ),
            (&["hunter2"], "hunter", "hunter"),
            (&["ab\ncd"], "ab\ncdab\n", "[redacted]ab\n"),
            // A key is printed line by line, its end alone, or with other line ends.
            (
                &["-----BEGIN\nMIIEpAIB\nshort"],
                "> MIIEpAIB\n> short\n-----BEGIN\nMIIEpAIB\nshort",
                "> [redacted]\n> short\n[redacted]",
            ),
            (
                &["MIIEpAIB\r\nQWxsIHlv"],
                "QWxsIHlv MIIEpAIB",
                "[redacted] [redacted]",
            ),
        ];
        for (secrets, text, expected) in cases {
            for step in 1..=text.len() {
                assert_eq!(redact(secrets, text, step), *expected, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn short_values_are_not_redacted() {
        assert!(Redactor::new(&[b"abc".to_vec(), Vec::new()]).is_none());
    }

    #[test]
    fn binary_secrets_are_redacted() {
        let redactor = Redactor::new(&[vec![0xff, 0xfe, 0x00, 0x01], b"s3cret".to_vec()]).unwrap();
        assert_eq!(redactor.bytes(b"is s3cret!"), b"is [redacted]!");
        let mut stream = redactor;
        let mut clean = stream.push(&[b'a', 0xff, 0xfe]);
        clean.extend(stream.push(&[0x00, 0x01, b'b']));
        clean.extend(stream.finish());
        assert_eq!(clean, b"a[redacted]b");
    }
}
