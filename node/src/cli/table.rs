//! Tables and figures as people read them.

use std::time::Duration;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Lines of a table: the head, a rule, the rows; two spaces between columns. A row that is too
/// short is filled up with nothing, what is beyond the head is left out.
pub(super) fn render(head: &[(&str, Align)], rows: &[Vec<String>]) -> Vec<String> {
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(column, (title, _))| {
            let cells = rows.iter().map(|row| cell(row, column).chars().count());
            cells.chain([title.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: Vec<String>| {
        let padded = cells.into_iter().zip(head).zip(&widths).map(
            |((cell, (_, align)), &width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            },
        );
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let titles = head.iter().map(|(title, _)| (*title).to_owned()).collect();
    let rule = widths.iter().map(|&width| "-".repeat(width)).collect();
    let rows = rows.iter().map(|row| (0..head.len()).map(|column| cell(row, column)).collect());
    [titles, rule].into_iter().chain(rows).map(line).collect()
}

/// Bytes in units of a thousand.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..10_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        10_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// A time in milliseconds below a second, else in seconds.
pub(super) fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let head = [("node", Align::Left), ("bytes", Align::Right)];
        let rows = [vec!["n1".to_owned(), "7".to_owned()], vec!["node-22".to_owned()]];
        let lines = render(&head, &rows);
        assert_eq!(lines, ["node     bytes", "-------  -----", "n1           7", "node-22"]);
    }

    #[test]
    fn figures_have_two_or_three_digits_and_a_unit() {
        let sizes = [0, 999, 1_000, 9_999, 10_000, 999_999, 1_000_000, 13_560_000].map(size);
        let expected = ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "13.5 MB"];
        assert_eq!(sizes, expected);
        assert_eq!(time(Duration::from_micros(999_999)), "999 ms");
        assert_eq!(time(Duration::from_millis(1_250)), "1.25 s");
    }
}
