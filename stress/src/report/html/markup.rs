//! Tags that are always closed, and text that is always text.

use core::fmt::Write as _;

/// An element; attributes begin with a space, and what is inside is markup already.
pub(super) fn element(name: &str, attributes: &str, inner: &str) -> String {
    format!("<{name}{attributes}>{inner}</{name}>")
}

/// Text, or the value of an attribute, that is not markup.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A row of cells.
pub(super) fn cells(kind: &str, inner: &[String]) -> String {
    let cells: String = inner.iter().map(|inner| element(kind, "", inner)).collect();
    element("tr", "", &cells)
}

/// A table of a class that the style knows.
pub(super) fn table(class: &str, head: &[&str], rows: String) -> String {
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let head = element("thead", "", &cells("th", &head));
    let table = element("table", "", &(head + &element("tbody", "", &rows)));
    element("div", &format!(r#" class="{class}""#), &table)
}

/// Shapes and labels of one picture.
#[derive(Default)]
pub(super) struct Svg {
    shapes: String,
}

impl Svg {
    /// A bar, by its left upper corner and its size.
    pub(super) fn bar(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        // Writing to a string does not fail.
        let _ = write!(
            self.shapes,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        );
    }

    /// A line from one point to another.
    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = write!(
            self.shapes,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    /// A line through many points.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = write!(self.shapes, r#"<polyline class="{class}" points="{points}"/>"#);
    }

    /// A label; the anchor is `start`, `middle` or `end`.
    pub(super) fn label(&mut self, anchor: &str, (x, y): (f64, f64), text: &str) {
        let place = format!(r#" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}""#);
        self.shapes.push_str(&element("text", &place, &escaped(text)));
    }

    /// The picture, with what it shows for those who cannot see it.
    pub(super) fn finish(self, (width, height): (f64, f64), shows: &str) -> String {
        let box_ = format!(r#" viewBox="0 0 {width} {height}" role="img""#);
        element("svg", &box_, &(element("title", "", &escaped(shows)) + &self.shapes))
    }
}
