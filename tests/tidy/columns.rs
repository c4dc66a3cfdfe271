//! Rows of the database are read by the names of their columns.

use super::files;

/// Positions that stand beside their statement, in a pair or two.
const POSITIONS: usize = 4;

/// A column that is added in the middle shifts every position behind it, and nothing fails.
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
