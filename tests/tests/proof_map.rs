//! docs/PROOF.md is complete and true: every claim of README has its proof there, and every proof that is named exists.

#[cfg(test)]
mod map {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use ironlight_tests::Daemon;

    /// What stands in place of a test where the command fails by itself.
    const THE_COMMAND: &str = "the command";

    pub(super) struct Entry {
        pub(super) claim: String,
        commands: Vec<String>,
        tests: Vec<String>,
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    pub(super) fn read(path: &str) -> String {
        std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The part of a page under a heading, up to the next one of its level.
    pub(super) fn section<'a>(page: &'a str, heading: &str) -> &'a str {
        let (_, after) = page
            .split_once(&format!("\n## {heading}\n"))
            .unwrap_or_else(|| panic!("no section {heading:?}"));
        after.split("\n## ").next().unwrap()
    }

    /// The cells of each row of the tables in a text, heads left out.
    pub(super) fn rows(text: &str) -> Vec<Vec<String>> {
        let lines: Vec<&str> = text.lines().collect();
        let is_rule = |at: usize| lines.get(at).is_some_and(|line| line.starts_with("|---"));
        (0..lines.len())
            .filter(|at| lines[*at].starts_with('|') && !is_rule(*at) && !is_rule(at + 1))
            .map(|at| cells(lines[at]))
            .collect()
    }

    fn cells(row: &str) -> Vec<String> {
        let row = row.trim().trim_start_matches('|').trim_end_matches('|');
        row.split('|').map(|cell| cell.trim().to_owned()).collect()
    }

    /// What stands between backticks.
    fn quoted(cell: &str) -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    pub(super) fn entries(heading: &str) -> Vec<Entry> {
        let page = read("docs/PROOF.md");
        let entry = |cells: Vec<String>| {
            assert_eq!(cells.len(), 4, "a row has four cells: {cells:?}");
            let tests = match cells[2].as_str() {
                THE_COMMAND => vec![THE_COMMAND.to_owned()],
                tests => quoted(tests),
            };
            Entry { claim: cells[0].clone(), commands: quoted(&cells[1]), tests }
        };
        rows(section(&page, heading)).into_iter().map(entry).collect()
    }

    pub(super) fn all() -> Vec<Entry> {
        ["Capabilities", "Sentences", "Figures"].into_iter().flat_map(entries).collect()
    }

    pub(super) fn claims(entries: &[Entry]) -> BTreeSet<String> {
        entries.iter().map(|entry| entry.claim.clone()).collect()
    }

    /// README's text on one line, so that a claim may be broken anywhere.
    pub(super) fn on_one_line(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Why an entry proves nothing; nothing if it does.
    pub(super) fn faults(entry: &Entry) -> Vec<String> {
        let mut faults = Vec::new();
        if entry.commands.is_empty() || entry.tests.is_empty() {
            faults.push(format!("{:?} names no command or no test", entry.claim));
        }
        let missing = |what: &String| format!("{:?}: {what} does not exist", entry.claim);
        faults.extend(entry.commands.iter().filter(|it| !is_command(it)).map(missing));
        faults.extend(entry.tests.iter().filter(|it| !is_test(it)).map(missing));
        faults
    }

    fn is_command(command: &str) -> bool {
        match command.split_whitespace().collect::<Vec<_>>()[..] {
            ["just", recipe, ..] => is_recipe(recipe),
            ["ironlight", ref words @ ..] => is_subcommand(words),
            ["cargo", "bench", "-p", "ironlight-benches", .., "--bench", name] => {
                root().join(format!("benches/benches/{name}.rs")).is_file()
            }
            _ => false,
        }
    }

    fn is_recipe(recipe: &str) -> bool {
        let head = |line: &str| line.split([' ', ':']).next() == Some(recipe) && line.contains(':');
        read("justfile").lines().any(head)
    }

    /// Each word is in the help of those before it, up to a command that has no commands of its own.
    fn is_subcommand(words: &[&str]) -> bool {
        for depth in 0..words.len() {
            let help = Daemon::command(&[&words[..depth], &["--help"]].concat());
            let help = String::from_utf8(help.stdout).unwrap();
            let Some((_, commands)) = help.split_once("Commands:") else { return depth > 0 };
            let is_it = |line: &str| line.split_whitespace().next() == Some(words[depth]);
            if !commands.lines().any(is_it) {
                return false;
            }
        }
        true
    }

    fn is_test(test: &str) -> bool {
        if test == THE_COMMAND {
            return true;
        }
        match test.split_once("::") {
            Some(("instructions", path)) => is_counted(path),
            Some((file, name)) => root().join(file).is_file() && has_test(&read(file), name),
            None => false,
        }
    }

    fn is_counted(path: &str) -> bool {
        let figures = read("benches/instructions.txt");
        figures.lines().any(|line| line.split_whitespace().next() == Some(path))
    }

    /// Whether a function of that name has `#[test]`, or tokio's, among the attributes above it.
    pub(super) fn has_test(source: &str, name: &str) -> bool {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let is_function = |line: &str| {
            let line = line.trim_start_matches("async ");
            line.strip_prefix("fn ").and_then(|rest| rest.split('(').next()) == Some(name)
        };
        let is_above = |line: &&&str| line.starts_with(['#', '/']);
        let is_test = |line: &&str| *line == "#[test]" || line.starts_with("#[tokio::test");
        lines
            .iter()
            .enumerate()
            .filter(|(_, line)| is_function(line))
            .any(|(at, _)| lines[..at].iter().rev().take_while(is_above).any(is_test))
    }

    /// Files that a page links to and that are not there.
    pub(super) fn broken_links(page: &str) -> Vec<String> {
        let text = read(page);
        let folder = root().join(page).parent().unwrap().to_path_buf();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let files = links
            .filter(|link| !link.contains("://"))
            .map(|link| link.split('#').next().unwrap_or_default().to_owned());
        files.filter(|file| !folder.join(file).exists()).collect()
    }
}

use map::{all, broken_links, claims, entries, faults, has_test, on_one_line, read, rows, section};

#[test]
fn every_capability_that_is_not_absent_has_a_proof() {
    let readme = read("README.md");
    let there = rows(section(&readme, "What it can do")).into_iter();
    let there = there.filter(|row| row[1] != "absent").map(|row| row[0].clone()).collect();
    assert_eq!(claims(&entries("Capabilities")), there);
}

#[test]
fn every_figure_has_a_proof() {
    let readme = read("README.md");
    let there = rows(section(&readme, "How fast, how small")).into_iter();
    let there = there.map(|row| row[0].clone()).collect();
    assert_eq!(claims(&entries("Figures")), there);
}

#[test]
fn every_sentence_stands_in_readme() {
    let readme = on_one_line(&read("README.md"));
    for entry in entries("Sentences") {
        assert!(readme.contains(&entry.claim), "README does not say {:?}", entry.claim);
    }
}

#[test]
fn every_command_and_every_test_exists() {
    let faults: Vec<String> = all().iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_page_that_is_linked_exists() {
    for page in ["README.md", "docs/PROOF.md", "CONTRIBUTING.md"] {
        assert_eq!(broken_links(page), Vec::<String>::new(), "linked in {page}");
    }
}

#[test]
fn a_function_that_is_no_test_is_no_proof() {
    let source = "#[test]\n#[ignore = \"needs data\"]\nfn one() {}\nfn two() {}\n";
    assert!(has_test(source, "one"));
    assert!(!has_test(source, "two") && !has_test(source, "on"));
    assert!(has_test("#[tokio::test(flavor = \"x\")]\nasync fn three() {}", "three"));
}
