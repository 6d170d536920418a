//! Every public type, trait and free function has an example in its documentation, or says where
//! one is that uses it: `[module](super)`, or another item of the same concern that has its own.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

const FENCE: &str = "```";

/// A public item with its documentation.
struct Item {
    path: PathBuf,
    line: usize,
    name: String,
    docs: String,
}

/// What the sources say: items, and the files whose own documentation has an example.
#[derive(Default)]
struct Sources {
    items: Vec<Item>,
    modules: HashSet<PathBuf>,
}

#[cfg(test)]
mod reading {
    use super::*;

    /// The item that a line at the left margin begins, if it is one of those that need an example.
    pub(super) fn name(line: &str) -> Option<&str> {
        let mut words = line.strip_prefix("pub ")?.split_whitespace();
        let kind = words.find(|word| !matches!(*word, "const" | "async" | "unsafe"))?;
        let named = matches!(kind, "struct" | "enum" | "trait" | "fn" | "union");
        let name = words.next().filter(|_| named)?;
        name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    }

    fn is_test(path: &Path) -> bool {
        let name = path.file_name().unwrap().to_string_lossy();
        name.ends_with("tests.rs") || name == "testing.rs" || name == "by_hand.rs"
    }

    pub(super) fn read(dir: &Path, sources: &mut Sources) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, sources);
            } else if path.extension().is_some_and(|end| end == "rs") && !is_test(&path) {
                read_file(&path, &fs::read_to_string(&path).unwrap(), sources);
            }
        }
    }

    pub(super) fn read_file(path: &Path, text: &str, sources: &mut Sources) {
        let mut docs = String::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with("//!") && line.contains(FENCE) {
                sources.modules.insert(path.to_path_buf());
            } else if let Some(doc) = line.strip_prefix("///") {
                docs.push_str(doc);
                docs.push('\n');
            } else if !line.starts_with("#[") && !line.starts_with([' ', ')', ']']) {
                if let Some(name) = name(line) {
                    let (path, docs) = (path.to_path_buf(), docs.clone());
                    sources.items.push(Item { path, line: number + 1, name: name.into(), docs });
                }
                docs.clear();
            }
        }
    }

    /// The module that a file's items see as `super`: its folder's `mod.rs`, or for that file
    /// itself the one above.
    pub(super) fn parent(path: &Path) -> PathBuf {
        let dir = path.parent().unwrap();
        let dir = if path.ends_with("mod.rs") { dir.parent().unwrap() } else { dir };
        dir.join("mod.rs")
    }

    /// What the sentence about the example links to: texts and targets, `[text](target)`.
    pub(super) fn links(docs: &str) -> Vec<(String, String)> {
        let sentences = docs.split_inclusive(". ").filter(|part| part.contains("example"));
        let mut links = Vec::new();
        for part in sentences.flat_map(|sentence| sentence.split('[').skip(1)) {
            let Some((text, after)) = part.split_once(']') else { continue };
            let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
            links.push((text.trim_matches('`').into(), target.map_or("", |found| found.0).into()));
        }
        links
    }
}

use reading::{links, parent, read, read_file};

/// Whether a link leads to an example.
fn leads(sources: &Sources, item: &Item, text: &str, target: &str) -> bool {
    match (text, target) {
        (_, "self") => sources.modules.contains(&item.path),
        (_, "super") => sources.modules.contains(&parent(&item.path)),
        (_, "super::super") => sources.modules.contains(&parent(&parent(&item.path))),
        (text, _) => {
            let owner = text.split("::").next().unwrap_or(text);
            let near = |other: &&Item| other.path.parent() == item.path.parent();
            let of_that_name = |other: &&Item| other.name == owner && other.docs.contains(FENCE);
            sources.items.iter().filter(near).any(|other| of_that_name(&other))
        }
    }
}

/// Those without an example, as `file:line: name`.
fn without_example(sources: &Sources) -> Vec<String> {
    let has = |item: &Item| {
        item.docs.contains(FENCE)
            || links(&item.docs).iter().any(|(text, target)| leads(sources, item, text, target))
    };
    let missing = sources.items.iter().filter(|item| !has(item));
    missing.map(|item| format!("{}:{}: {}", item.path.display(), item.line, item.name)).collect()
}

#[test]
fn every_public_item_has_an_example_or_says_where_one_is() {
    let mut sources = Sources::default();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    assert!(sources.items.len() > 250, "found only {} items", sources.items.len());
    let mut places = HashMap::new();
    for item in &sources.items {
        *places.entry(item.docs.contains(FENCE)).or_insert(0) += 1;
    }
    println!("with an example of their own: {places:?}");
    let missing = without_example(&sources);
    assert!(missing.is_empty(), "without an example:\n{}", missing.join("\n"));
}

#[test]
fn the_check_sees_what_is_missing_and_where() {
    let mut sources = Sources::default();
    let text = "//! A module.\n\n/// One.\n#[derive(Debug)]\npub struct One {\n    /// ```\n    a: u8,\n}\n\n\
                /// Two.\n/// ```\n/// ```\npub const fn two() {}\n\n/// See [`two`] for an example.\n\
                pub enum Three {}\n\n/// See [`One`] for an example.\npub trait Four {}\n\n\
                /// The [module](super) has an example.\npub async fn five() {}\npub(crate) fn six() {}\n";
    read_file(Path::new("src/a/b.rs"), text, &mut sources);
    let missing = ["src/a/b.rs:5: One", "src/a/b.rs:19: Four", "src/a/b.rs:22: five"];
    assert_eq!(without_example(&sources), missing);
    read_file(Path::new("src/a/mod.rs"), "//! ```\n//! ```\n", &mut sources);
    assert_eq!(without_example(&sources), missing[..2]);
}
