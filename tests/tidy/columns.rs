//! Rows of the database are read by the names of their columns.

use super::files;

/// Columns that a file may read by position, since one or two pairs are easy to check beside their statement.
const POSITIONS: usize = 4;

/// A column added in the middle would shift all later positions, and no test would fail.
#[test]
fn columns_are_read_by_name_where_there_are_many() {
    for (name, text) in files("src/store", ".rs") {
        for (n, line) in text.lines().enumerate() {
            let Some((_, rest)) = line.split_once("row.get") else {
                continue;
            };
            let index = rest.split_once('(').map_or("", |(_, rest)| rest);
            let digits: String = index.chars().take_while(char::is_ascii_digit).collect();
            let is_far = digits.parse().is_ok_and(|index: usize| index >= POSITIONS);
            assert!(
                !is_far || name.contains("tests/"),
                "{name}:{}: {line}",
                n + 1
            );
        }
    }
}
