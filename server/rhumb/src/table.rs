//! A table for a terminal: columns as wide as their widest cell, styles by cell.

use std::fmt;

use anstyle::Style;

/// Rows of cells under a header.
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<(String, Style)>>,
    left: Vec<bool>,
}

impl Table {
    /// A table with these columns; the first is aligned left, the others right.
    pub fn new(header: &[&str]) -> Self {
        let left = (0..header.len()).map(|i| i == 0).collect();
        Self { header: header.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new(), left }
    }

    /// Aligns all columns left.
    pub fn text(header: &[&str]) -> Self {
        Self { left: vec![true; header.len()], ..Self::new(header) }
    }

    /// Adds a row without styles.
    pub fn row(&mut self, cells: Vec<String>) {
        self.styled_row(cells.into_iter().map(|c| (c, Style::new())).collect());
    }

    /// Adds a row.
    pub fn styled_row(&mut self, cells: Vec<(String, Style)>) {
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let width = |i: usize, header: &str| {
            let cells = self.rows.iter().filter_map(|r| r.get(i)).map(|(c, _)| c.chars().count());
            cells.chain([header.chars().count()]).max().unwrap_or(0)
        };
        self.header.iter().enumerate().map(|(i, h)| width(i, h)).collect()
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, cells: &[(String, Style)], widths: &[usize]) -> fmt::Result {
        for (((text, style), width), left) in cells.iter().zip(widths).zip(&self.left) {
            let space = " ".repeat(width.saturating_sub(text.chars().count()));
            let (before, after) = if *left { ("", space.as_str()) } else { (space.as_str(), "") };
            write!(f, "{before}{style}{text}{style:#}{after}  ")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let bold = Style::new().bold();
        let header: Vec<_> = self.header.iter().map(|h| (h.clone(), bold)).collect();
        self.line(f, &header, &widths)?;
        self.rows.iter().try_for_each(|row| self.line(f, row, &widths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_characters_and_not_by_bytes() {
        let mut table = Table::new(&["name", "n"]);
        table.row(vec!["é".into(), "1".into()]);
        table.row(vec!["abcdef".into(), "100".into()]);
        let text = anstream::adapter::strip_str(&table.to_string()).to_string();
        assert_eq!(text, "name      n  \né         1  \nabcdef  100  \n");
    }
}
