//! `[store]` of the catalogue: where the store is, read without validating the rest.
//!
//! Rule: a mistake in a job must not lock an operator out, and a thousand jobs must not make an enqueue slow: the section is
//! cut out of the text if that is certainly correct, else the whole text is parsed.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::catalogue::FILE_MAX;
use crate::error::{Error, Kind, Result};

/// The keys of `[store]` that say where the store is.
#[derive(Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub(super) struct StoreSection {
    /// Store directory; relative to the catalogue's directory.
    pub(super) path: Option<PathBuf>,
    /// User and group that own the catalogue file.
    #[serde(skip)]
    pub(super) owner: Option<(u32, u32)>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Sections {
    store: StoreSection,
}

impl StoreSection {
    /// Reads the section. A missing catalogue gives an empty section, or an error if it was `named` by the user.
    pub(super) fn read(catalogue: &Path, named: bool) -> Result<Self> {
        let (text, owner) = match read_text(catalogue) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
                return Ok(Self::default());
            }
            Err(error) => {
                let error = Error::io("read the catalogue", catalogue, &error);
                return Err(Error {
                    kind: Kind::Config,
                    ..error
                }
                .hint("name the store directory with `--store`, or fix the catalogue"));
            }
        };
        let section = Self::of(&text).map_err(|cause| {
            let path = catalogue.display();
            Error::new(
                Kind::Config,
                format!("cannot read `[store]` of `{path}`: {cause}"),
            )
            .hint(format!(
                "`jobctl check {path}` shows where; or use `--store`"
            ))
        })?;
        Ok(Self { owner, ..section })
    }

    fn of(text: &str) -> Result<Self, String> {
        if let Some(part) = cut_out(text)
            && let Ok(sections) = toml::from_str::<Sections>(part)
        {
            return Ok(sections.store);
        }
        toml::from_str::<Sections>(text)
            .map(|sections| sections.store)
            .map_err(|error| error.message().to_owned())
    }
}

/// The text of `[store]`, empty if there is none; `None` if only a parser can find it.
fn cut_out(text: &str) -> Option<&str> {
    let has = |sign: &[u8]| memmem::find(text.as_bytes(), sign).is_some();
    let escaped = has(b"\\u") || has(b"\\U");
    if !has(b"store") && !escaped {
        return Some("");
    }
    // A multi-line string may contain a header, and escapes may spell `store`.
    if escaped || has(b"\"\"\"") || has(b"'''") {
        return None;
    }
    let mut header = None;
    for at in memmem::find_iter(text.as_bytes(), b"store") {
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[start..].lines().next()?.trim();
        match line.as_bytes().first() {
            _ if line == "[store]" && header.is_none() => header = Some(start),
            // Another header or key that may belong to it, or a list over several lines.
            Some(b'[' | b's' | b'"' | b'\'' | b']' | b',') => return None,
            _ => {}
        }
    }
    let Some(start) = header else {
        return Some("");
    };
    let section = &text[start..];
    let body = section
        .find('\n')
        .map_or(section.len(), |newline| newline + 1);
    let mut end = body;
    for line in section[body..].split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            break;
        }
        end += line.len();
    }
    Some(&section[..end])
}

/// The text of a catalogue, and the user and group that own the file.
fn read_text(path: &Path) -> std::io::Result<(String, Option<(u32, u32)>)> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut text = String::with_capacity(meta.len().min(FILE_MAX) as usize + 1);
    file.take(FILE_MAX).read_to_string(&mut text)?;
    Ok((text, Some((meta.uid(), meta.gid()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_section_is_read_even_if_jobs_are_wrong() {
        let at = |text| StoreSection::of(text).map(|section| section.path);
        let path = Some(PathBuf::from("/a"));
        assert_eq!(at("[job.x]\ncommand = 3"), Ok(None));
        assert_eq!(at("no toml at all"), Ok(None));
        assert_eq!(
            at("[store]\npath = '/a'\nnew = 1\n[job.x]\nnonsense = 1"),
            Ok(path.clone())
        );
        assert_eq!(at("[\"\\u0073tore\"]\npath = '/a'"), Ok(path));
        assert!(at("[store]\npath = 3").is_err());
        assert!(at("[store\n").is_err());
    }

    #[test]
    fn the_section_is_cut_out_only_if_that_is_certainly_correct() {
        let jobs = "[job.a]\ncommand = \"restore\"\n";
        let store = "[store]\npath = 'a'\n\n# end\n";
        for (text, part) in [
            (jobs.to_owned(), Some("")),
            (store.to_owned(), Some(store)),
            (format!("{jobs}{store}{jobs}"), Some(store)),
            (format!("{store}[store.retention]\nage = '1d'\n"), None),
            ("store.path = 'a'\n".to_owned(), None),
            ("store = { path = 'a' }\n".to_owned(), None),
            ("['store']\npath = 'a'\n".to_owned(), None),
            (format!("{store}{store}"), None),
            (
                "[job.a]\ncommand = '''\n[store]\npath = \"b\"\n'''\n".to_owned(),
                None,
            ),
            ("[job.a]\ncommand = [\n  \"store\",\n]\n".to_owned(), None),
            ("[ store ]\npath = 'a'\n".to_owned(), None),
        ] {
            assert_eq!(cut_out(&text), part, "{text}");
        }
    }
}
