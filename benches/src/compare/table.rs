//! How tables look, on a terminal and in Markdown.

use comfy_table::{CellAlignment, Table, presets};

/// A column with its heading.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column<H> {
    /// Of words, from the left.
    Words(H),
    /// Of numbers, from the right.
    Figures(H),
}

/// A table with these columns and no rows.
pub(super) fn table<H: Into<String>>(columns: impl IntoIterator<Item = Column<H>>) -> Table {
    let (headings, alignments): (Vec<String>, Vec<_>) = columns
        .into_iter()
        .map(|column| match column {
            Column::Words(heading) => (heading.into(), CellAlignment::Left),
            Column::Figures(heading) => (heading.into(), CellAlignment::Right),
        })
        .unzip();
    let mut table = Table::new();
    table.set_header(headings);
    for (column, alignment) in table.column_iter_mut().zip(alignments) {
        column.set_cell_alignment(alignment);
    }
    table
}

/// The table as text.
pub(super) fn show(mut table: Table, markdown: bool) -> String {
    table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
    table.to_string()
}

/// What `show` makes of a figure, or a dash where there is none.
pub(super) fn or_dash<T>(figure: Option<T>, show: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), show)
}

/// A whole number with commas between thousands.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut out = String::new();
    if number <= -0.5 {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right() {
        let made = || {
            let mut table = table([Column::Words("what"), Column::Figures("a second")]);
            table.add_row(["calls".to_owned(), or_dash(Some(7.0), grouped)]);
            table.add_row(["sends".to_owned(), or_dash(None, grouped)]);
            table
        };
        let markdown =
            "| what  | a second |\n|-------|----------|\n| calls |        7 |\n| sends |        – |";
        assert_eq!(show(made(), true), markdown);
        let terminal = show(made(), false);
        assert!(terminal.contains("│ calls ┆        7 │"), "{terminal}");
    }

    #[test]
    fn groups_thousands() {
        assert_eq!(grouped(0.4), "0");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(1_000.0), "1,000");
        assert_eq!(grouped(12_345_678.4), "12,345,678");
        assert_eq!(grouped(-1_234.0), "-1,234");
    }
}
