//! The page: well formed, complete, and nothing from elsewhere.

use ironlight_stress::report::{Bound, ErrorCount, Report, page};

use super::support::{passes, report};

fn pages() -> [String; 3] {
    let mut broken = passes("merkle-tree", 100);
    broken.bounds.push(Bound::equal("a bound <b>", &1, &2));
    broken.errors.push(ErrorCount { class: "odd & <i>".to_owned(), count: 3 });
    broken.name = r#"scenario "x" <script>"#.to_owned();
    let good = report(vec![passes("resilience", 1_000), passes("header-chain", 3_000)]);
    [page(&good), page(&report(vec![broken])), page(&report(Vec::new()))]
}

/// A tag as it stands between its brackets.
enum Tag<'a> {
    Opened(&'a str),
    Closed(&'a str),
    Whole,
}

fn tag(inside: &str) -> Tag<'_> {
    if inside.starts_with('!') || inside.ends_with('/') {
        return Tag::Whole;
    }
    match inside.strip_prefix('/') {
        Some(closed) => Tag::Closed(closed),
        None => Tag::Opened(inside.split(' ').next().unwrap()),
    }
}

/// The tags that are open at the end, which ought to be none.
fn unbalanced(page: &str) -> Vec<&str> {
    let mut open = Vec::new();
    for piece in page.split('<').skip(1) {
        let (inside, text) = piece.split_once('>').expect("a tag ends before the next begins");
        assert!(!text.contains('>'), "a bare bracket: {text}");
        assert_eq!(inside.matches('"').count() % 2, 0, "an open quote: {inside}");
        match tag(inside) {
            Tag::Opened(name) => open.push(name),
            Tag::Closed(name) => assert_eq!(open.pop(), Some(name), "{inside}"),
            Tag::Whole => {}
        }
    }
    open
}

#[test]
fn every_tag_is_closed_in_its_place() {
    for page in pages() {
        assert_eq!(unbalanced(&page), Vec::<&str>::new());
    }
}

#[test]
fn nothing_comes_from_elsewhere_and_nothing_runs() {
    for page in pages() {
        for word in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "onload"] {
            assert!(!page.contains(word), "{word}");
        }
        for target in page.split("href=\"").skip(1) {
            assert!(target.starts_with('#'), "{target:.40}");
        }
    }
}

#[test]
fn texts_of_a_report_are_never_markup() {
    let [_, page, _] = pages();
    for text in
        ["a bound &lt;b&gt;", "odd &amp; &lt;i&gt;", "scenario &quot;x&quot; &lt;script&gt;"]
    {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("<b>") && !page.contains("<i>"));
}

#[test]
fn the_page_says_what_ran_where_and_what_came_of_it() {
    let [good, broken, none] = pages();
    for text in [
        "resilience",
        "header-chain",
        "commit 0123456789ab",
        "2026-01-01 00:00 UTC",
        "Circuit breaker",
        "Operations a second",
        "Memory was not counted",
        "prefers-color-scheme: dark",
        "All ",
    ] {
        assert!(good.contains(text), "{text}");
    }
    assert!(broken.contains("bounds are broken") && none.contains("All 0 bounds hold"));
    let mut busy: Report = report(Vec::new());
    busy.machine.load = Some(7.0);
    assert!(page(&busy).contains("a loaded machine"));
    assert!(!good.contains("a loaded machine"));
}
