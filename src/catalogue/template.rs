//! Templates: text with placeholders `{name}`, and the keys of `dedup` and `sequence` made from one.
//!
//! Rule: two different lists of values never give the same key.

use std::collections::BTreeMap;

use super::{Segment, Template};
use crate::error::{Error, Kind, Result};
use crate::units::shown;

/// Longest key of `dedup` or `sequence`, bytes: it is stored and indexed.
pub const KEY_MAX: usize = 512;

impl Template {
    /// Parses text with placeholders; `{{` and `}}` are braces.
    ///
    /// # Errors
    /// [`Kind::Config`].
    pub fn parse(text: &str) -> Result<Self> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(
                    Error::new(Kind::Config, "a `}` without a `{`").hint("write `}}` for a brace")
                );
            }
            let Some((name, after)) = after.split_once('}') else {
                return Err(Error::new(Kind::Config, "a placeholder is not closed")
                    .hint("write `{name}`, or `{{` for a brace"));
            };
            if !is_param_name(name) {
                let what = format!("bad placeholder `{{{}}}`", shown(name));
                return Err(Error::new(Kind::Config, what).hint(
                    "write `{name}` with the name of a parameter, or `{{` and `}}` for braces",
                ));
            }
            if !literal.is_empty() {
                segments.push(Segment::Text(std::mem::take(&mut literal)));
            }
            segments.push(Segment::Param(name.to_owned()));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            segments.push(Segment::Text(literal));
        }
        Ok(Self(segments))
    }

    /// The text with every placeholder replaced by its value. A missing value is empty: parameters were checked before, so it is that
    /// of an optional one without a default.
    pub fn expand(&self, values: &BTreeMap<String, String>) -> String {
        let mut expanded = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Text(text) => expanded.push_str(text),
                Segment::Param(name) => {
                    expanded.push_str(values.get(name).map_or("", String::as_str));
                }
            }
        }
        expanded
    }

    /// The key of these parameters.
    ///
    /// If another placeholder follows a value, each `\` in it and each character that follows the placeholder is escaped with `\`,
    /// so that the end of each value is unambiguous: `{a}:{b}` of `x:y` and `z` is `x\:y:z`, of `x` and `y:z` it is `x:y:z`.
    /// If no ordinary character separates two placeholders, a `|` is added.
    pub fn key_of(&self, values: &BTreeMap<String, String>) -> String {
        let segments = &self.0;
        let last = segments
            .iter()
            .rposition(|segment| matches!(segment, Segment::Param(_)));
        let mut key = String::new();
        for (index, segment) in segments.iter().enumerate() {
            let name = match segment {
                Segment::Text(text) => {
                    key.push_str(text);
                    continue;
                }
                Segment::Param(name) => name,
            };
            let value = values.get(name).map_or("", String::as_str);
            if Some(index) == last {
                key.push_str(value);
                continue;
            }
            let next = match segments.get(index + 1) {
                Some(Segment::Text(text)) => text.chars().next().filter(|&c| c != '\\'),
                _ => None,
            };
            let end = next.unwrap_or('|');
            for c in value.chars() {
                if c == '\\' || c == end {
                    key.push('\\');
                }
                key.push(c);
            }
            if next.is_none() {
                key.push('|');
            }
        }
        key
    }

    /// The parameters that it uses, in order.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(name.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// The parameters whose value can be the first character of the text: those before any literal text.
    pub(super) fn leading_params(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map_while(|segment| match segment {
            Segment::Param(name) => Some(name.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// The text; `None` if it has a placeholder.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Segment::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl std::fmt::Display for Template {
    /// As it is written in a catalogue.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Segment::Param(name) => write!(f, "{{{name}}}"),
        })
    }
}

/// Whether this is a valid name of a parameter: `[a-z][a-z0-9_]{0,63}`.
pub(super) fn is_param_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 64
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    fn key(template: &str, pairs: &[(&str, &str)]) -> String {
        Template::parse(template)
            .expect("template")
            .key_of(&values(pairs))
    }

    #[test]
    fn placeholders_are_replaced_and_double_braces_are_braces() {
        for (text, expanded) in [
            ("--to={to}", "--to=bob"),
            ("{to}{to}", "bobbob"),
            ("{{to}}", "{to}"),
            ("{{{to}}}", "{bob}"),
            ("{missing}!", "!"),
            ("", ""),
            ("plain", "plain"),
        ] {
            let template = Template::parse(text).expect(text);
            assert_eq!(
                template.expand(&values(&[("to", "bob")])),
                expanded,
                "{text}"
            );
        }
    }

    #[test]
    fn values_are_not_expanded_again() {
        let template = Template::parse("{a}{b}").expect("template");
        assert_eq!(
            template.expand(&values(&[("a", "{b}"), ("b", "{a}")])),
            "{b}{a}"
        );
    }

    #[test]
    fn bad_templates_are_refused() {
        for (text, message) in [
            ("{to", "a placeholder is not closed"),
            ("to}", "a `}` without a `{`"),
            ("{}", "bad placeholder `{}`"),
            ("{To}", "bad placeholder `{To}`"),
            ("{print $1}", "bad placeholder `{print $1}`"),
        ] {
            assert_eq!(Template::parse(text).expect_err(text).message, message);
        }
    }

    #[test]
    fn the_end_of_each_value_in_a_key_is_unambiguous() {
        assert_eq!(key("{a}:{b}", &[("a", "a:b"), ("b", "c")]), "a\\:b:c");
        assert_eq!(key("{a}:{b}", &[("a", "a"), ("b", "b:c")]), "a:b:c");
        assert_eq!(key("{a}{b}", &[("a", "ab"), ("b", "c")]), "ab|c");
        assert_eq!(
            key("mail-{a}", &[("a", "bob@example.org")]),
            "mail-bob@example.org"
        );
    }

    proptest! {
        #[test]
        fn different_values_have_different_keys(
            template in prop::sample::select(vec!["{a}:{b}:{c}", "{a}{b}{c}", "{a}\\{b}|{c}", "x{a}-\\{b}|:{c}y", "{a}{b}\\{c}"]),
            one in prop::collection::vec("[a:|\\\\-]{0,4}", 3),
            other in prop::collection::vec("[a:|\\\\-]{0,4}", 3),
        ) {
            let of = |v: &[String]| key(template, &[("a", &v[0]), ("b", &v[1]), ("c", &v[2])]);
            prop_assert_eq!(one == other, of(&one) == of(&other));
        }

        #[test]
        fn no_template_panics(text in "[{}a-c]{0,12}|\\PC*") {
            let _ = Template::parse(&text);
        }
    }
}
