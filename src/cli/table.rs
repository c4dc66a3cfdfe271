//! Lays out tables: columns as wide as their content, flexible columns shortened to fit the terminal.
//!
//! Rule: pure; cells are escaped here, so no caller can forget it.

use super::safe;

/// Meaning of a cell, as colour where colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    /// No colour.
    #[default]
    Plain,
    /// Succeeded.
    Good,
    /// In progress, or about to be.
    Busy,
    /// Needs attention.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Strong,
}

impl Paint {
    /// The text in this colour.
    pub fn wrap(self, text: &str) -> String {
        let code = match self {
            Paint::Plain => return text.to_owned(),
            Paint::Good => "32",
            Paint::Busy => "36",
            Paint::Bad => "31",
            Paint::Dim => "2",
            Paint::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Smallest width of a flexible column.
const NARROWEST: usize = 10;

/// Space between two columns.
const GAP: usize = 2;

/// Rows under headings.
#[derive(Debug)]
pub struct Table {
    head: Vec<Heading>,
    rows: Vec<Vec<(String, Paint)>>,
}

#[derive(Debug)]
struct Heading {
    name: &'static str,
    right: bool,
    flexible: bool,
}

impl Table {
    /// A table with these headings: `>` before a name aligns its column to the right, `~` lets it be cut.
    pub fn new(headings: &[&'static str]) -> Self {
        let heading = |name: &&'static str| Heading {
            name: name.trim_start_matches(['>', '~']),
            right: name.starts_with('>'),
            flexible: name.starts_with('~'),
        };
        Self {
            head: headings.iter().map(heading).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row of cells without colour.
    pub fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.painted(cells.map(|text| (text, Paint::Plain)));
    }

    /// Adds a row.
    pub fn painted<const N: usize>(&mut self, cells: [(&str, Paint); N]) {
        debug_assert_eq!(N, self.head.len());
        let cells = cells.map(|(text, paint)| (safe::line(text), paint));
        self.rows.push(cells.into());
    }

    /// Adds a row to a table whose number of columns is only known at run time.
    pub fn cells(&mut self, cells: Vec<(String, Paint)>) {
        debug_assert_eq!(cells.len(), self.head.len());
        let safe = |(text, paint): (String, Paint)| (safe::line(&text), paint);
        self.rows.push(cells.into_iter().map(safe).collect());
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, at most `width` columns wide if possible.
    pub fn lines(&self, width: Option<usize>, color: bool) -> Vec<String> {
        let widths = self.widths(width);
        let head: Vec<(String, Paint)> = self
            .head
            .iter()
            .map(|heading| (heading.name.to_owned(), Paint::Strong))
            .collect();
        std::iter::once(&head)
            .chain(&self.rows)
            .map(|row| self.line(row, &widths, color))
            .collect()
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .head
            .iter()
            .map(|heading| columns(heading.name))
            .collect();
        for row in &self.rows {
            for (width, (text, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns(text));
            }
        }
        let gaps = GAP * widths.len().saturating_sub(1);
        let total = widths.iter().sum::<usize>() + gaps;
        let mut over = total.saturating_sub(width.unwrap_or(usize::MAX));
        // The widest flexible column shrinks first.
        while over > 0 {
            let widest = (0..widths.len())
                .filter(|&index| self.head[index].flexible && widths[index] > NARROWEST)
                .max_by_key(|&index| widths[index]);
            let Some(index) = widest else { break };
            widths[index] -= 1;
            over -= 1;
        }
        widths
    }

    fn line(&self, row: &[(String, Paint)], widths: &[usize], color: bool) -> String {
        let mut line = String::new();
        for (index, (text, paint)) in row.iter().enumerate() {
            let text = cut(text, widths[index]);
            let fill = " ".repeat(widths[index].saturating_sub(columns(&text)));
            let shown = if color { paint.wrap(&text) } else { text };
            let last = index + 1 == row.len();
            if self.head[index].right {
                line += &fill;
                line += &shown;
            } else {
                line += &shown;
                line += if last { "" } else { &fill };
            }
            line += if last { "" } else { "  " };
        }
        line.trim_end().to_owned()
    }
}

/// The text, with an ellipsis where it was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let mut short = String::new();
    for c in text.chars() {
        used += columns_of(c);
        if used > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// Terminal columns of a text.
fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// East Asian wide characters and emoji take two columns, combining marks none; an approximation.
fn columns_of(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1_f300..=0x1_faff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[">RUN", "JOB", "~ERROR"]);
        table.row(["7", "send-email", "exit 75: the server is busy"]);
        table.row(["4711", "dump", "отказ\x1b[2J"]);
        table
    }

    #[test]
    fn columns_fit_their_content() {
        assert_eq!(
            table().lines(None, false),
            [
                " RUN  JOB         ERROR",
                "   7  send-email  exit 75: the server is busy",
                "4711  dump        отказ\\x1b[2J",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_the_flexible_column_only() {
        let lines = table().lines(Some(30), false);
        assert_eq!(
            lines[1],
            "   7  send-email  exit 75: the…"
                .chars()
                .take(29)
                .collect::<String>()
                + "…"
        );
        assert!(lines.iter().all(|line| columns(line) <= 30));
        assert!(table().lines(Some(5), false)[1].contains("send-email"));
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(columns("失敗"), 4);
        assert_eq!(cut("失敗失敗", 5), "失敗…");
    }
}
