//! The report page in a real browser: it renders, at any width, in both colour schemes, alone.
//!
//! `CHROMIUM_EXE` names the browser; `just page` finds it.

#[cfg(test)]
mod browser {
    use std::process::Command;

    use serde::Deserialize;

    /// What a script, added for the test alone, finds in the rendered page.
    #[derive(Debug, Deserialize)]
    pub(crate) struct Found {
        pub(crate) width: f64,
        /// How far the page reaches to the right.
        pub(crate) reaches: f64,
        pub(crate) background: String,
        pub(crate) headings: Vec<String>,
        /// Whatever was fetched beside the page itself.
        pub(crate) fetched: Vec<String>,
        /// For each picture its title, and its bars and points of curves together.
        pub(crate) pictures: Vec<(String, usize)>,
        /// Shapes and labels that lie outside of their picture.
        pub(crate) outside: Vec<String>,
    }

    const PROBE: &str = r#"<script>
        const pictures = [...document.querySelectorAll("svg")];
        const shapes = "rect, line, polyline, text";
        const outside = pictures.flatMap(svg => [...svg.querySelectorAll(shapes)].filter(shape => {
            const box = shape.getBBox(), all = svg.viewBox.baseVal;
            return !(box.x >= -0.5 && box.y >= -0.5 && box.x + box.width <= all.width + 0.5
                && box.y + box.height <= all.height + 0.5);
        }).map(shape => svg.querySelector("title").textContent + ": " + shape.outerHTML));
        const points = svg => svg.querySelectorAll("rect").length
            + [...svg.querySelectorAll("polyline")].reduce((sum, line) => sum + line.points.length, 0);
        const found = parent.document.createElement("pre");
        found.textContent = JSON.stringify({
            width: innerWidth, reaches: document.documentElement.scrollWidth,
            background: getComputedStyle(document.body).backgroundColor,
            headings: [...document.querySelectorAll("h2")].map(heading => heading.textContent),
            fetched: performance.getEntriesByType("resource").map(entry => entry.name),
            pictures: pictures.map(svg => [svg.querySelector("title").textContent, points(svg)]),
            outside
        }).replace(/[<>&]/g, letter => "\\u00" + letter.charCodeAt(0).toString(16));
        parent.document.body.append(found);
    </script></body>"#;

    /// Opens a page in frames of these widths: a window of Chromium's is never narrower than 500 px.
    pub(crate) fn open(page: &str, widths: &[u32], scheme: &str) -> Vec<Found> {
        let page = page.replace("</body>", PROBE).replace('&', "&amp;").replace('"', "&quot;");
        let frame = |width: &u32| {
            format!(
                r#"<iframe style="border:0" width="{width}" height="900" srcdoc="{page}"></iframe>"#
            )
        };
        let frames: String = widths.iter().map(frame).collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("frames.html");
        std::fs::write(&file, format!("<!doctype html><body>{frames}</body>")).unwrap();
        let exe = std::env::var_os("CHROMIUM_EXE").expect("CHROMIUM_EXE names no browser");
        let done = Command::new(exe)
            // Our own page, so that the sandbox, which not every account may make, is not missed.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND"])
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg("--dump-dom")
            .arg(&file)
            .output()
            .unwrap();
        let dom = String::from_utf8(done.stdout).unwrap();
        let found: Vec<Found> = dom
            .split("<pre>")
            .skip(1)
            .map(|rest| rest.split_once("</pre>").unwrap().0)
            .map(|json| serde_json::from_str(json).unwrap())
            .collect();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(found.len(), widths.len(), "{dom:.400}\n{said}");
        found
    }
}

#[cfg(test)]
mod made {
    use std::time::{Duration, Instant};

    use ironlight_stress::measure::{MemoryProbe, Silent, Surroundings};
    use ironlight_stress::report::{Bound, Curve, CurvePoint, Machine, Report};
    use ironlight_stress::runner::{Order, run};
    use ironlight_stress::scenario::Registry;

    /// As many bytes as are asked for.
    #[derive(Debug)]
    struct Fixed(u64);

    impl MemoryProbe for Fixed {
        fn current(&self) -> u64 {
            self.0
        }
        fn peak(&self) -> u64 {
            self.0
        }
        fn reset_peak(&self) {}
    }

    /// Of three scenarios: one with failures and states, one with one sample, one with all there is.
    pub(crate) fn report() -> Report {
        let start = Instant::now();
        let clock = || start.elapsed();
        let (memory, limit) = (Fixed(2_500_000), Duration::from_secs(3_600));
        let around =
            Surroundings { clock: &clock, memory: Some(&memory), progress: &Silent, limit };
        let registry = Registry::new();
        let of = |(name, count): (&str, u64)| {
            let order = Order { count: Some(count), ..Order::default() };
            run(registry.find(name).unwrap(), &order, around).unwrap()
        };
        let scenarios = [("resilience", 1_000), ("header-chain", 2), ("concurrent-headers", 1_000)];
        let mut results: Vec<_> = scenarios.into_iter().map(of).collect();
        let word = "unbroken".repeat(20);
        results[2].bounds.push(Bound::equal("a long text", &word, &"other".to_owned()));
        let point = |at: u64| CurvePoint { at_ns: at * 1_000_000, value: 3.5 + at as f64 };
        let (name, unit) = ("resident memory".to_owned(), "MB".to_owned());
        results[2].curves.push(Curve { name, unit, points: (0..600).map(point).collect() });
        let machine = Machine { cores: 2, ..Machine::default() };
        let (program, commit) = ("0.1.0".to_owned(), None);
        Report { format: Report::FORMAT, program, commit, began: 1_767_225_600, machine, results }
    }
}

#[test]
#[ignore = "needs Chromium"]
fn the_page_renders_at_any_width_in_both_colour_schemes_and_fetches_nothing() {
    let page = ironlight_stress::report::page(&made::report());
    let schemes = ["0", "1"].map(|scheme| browser::open(&page, &[400, 1_200], scheme));
    for found in schemes.iter().flatten() {
        assert_eq!(found.headings, ["resilience", "header-chain", "concurrent-headers"]);
        assert_eq!(found.fetched, Vec::<String>::new());
        assert!(found.reaches <= found.width, "{} reaches {}", found.width, found.reaches);
        assert_eq!(found.outside, Vec::<String>::new(), "at width {}", found.width);
        // Four pictures each, one of states and one of resident memory.
        assert_eq!(found.pictures.len(), 3 * 4 + 2);
        for (title, points) in &found.pictures {
            assert!(*points > 0, "{title} shows nothing");
        }
    }
    let [dark, light] = schemes.map(|found| found[0].background.clone());
    assert_ne!(dark, light);
}
