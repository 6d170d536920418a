//! A light node's log file, read back: what the nodes did is told in their own words.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cli::Failure;

/// A file of JSON lines that a node appends to.
#[derive(Clone, Debug)]
pub(super) struct NodeLog {
    path: PathBuf,
    /// Where reading begins.
    mark: u64,
}

/// An entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) level: String,
    pub(super) target: String,
    fields: Map<String, Value>,
}

impl NodeLog {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, mark: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there so far is passed over from now on.
    pub(super) fn pass_over(&mut self) {
        self.mark = std::fs::metadata(&self.path).map_or(0, |meta| meta.len());
    }

    /// The whole lines since the mark.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let failed = |error| format!("cannot read {}: {error}", self.path.display());
        let mut file = std::fs::File::open(&self.path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.mark)).map_err(failed)?;
        file.read_to_end(&mut bytes).map_err(failed)?;
        Ok(String::from_utf8_lossy(&bytes).lines().filter_map(Entry::parse).collect())
    }

    /// The first entry since the mark with a message.
    pub(super) fn first(&self, message: &str) -> Result<Option<Entry>, Failure> {
        Ok(self.entries()?.into_iter().find(|entry| entry.message() == message))
    }

    /// The last line, for an error.
    pub(super) fn last_line(&self) -> String {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().last().unwrap_or("nothing").to_owned()
    }
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let Value::Object(mut line) = serde_json::from_str(line).ok()? else { return None };
        let text = |line: &Map<String, Value>, name| {
            line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (level, target) = (text(&line, "level"), text(&line, "target"));
        let Some(Value::Object(fields)) = line.remove("fields") else { return None };
        Some(Self { level, target, fields })
    }

    pub(super) fn message(&self) -> &str {
        self.text("message").unwrap_or_default()
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    pub(super) fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field).and_then(Value::as_u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_before_the_mark_and_half_lines_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.log");
        let line = |height: u32| {
            format!(
                r#"{{"level":"INFO","target":"t","fields":{{"message":"new tip","height":{height}}}}}"#
            )
        };
        std::fs::write(&path, format!("{}\n", line(1))).unwrap();
        let mut log = NodeLog::new(path.clone());
        assert_eq!(log.first("new tip").unwrap().unwrap().number("height"), Some(1));
        log.pass_over();
        assert!(log.first("new tip").unwrap().is_none());
        std::fs::write(&path, format!("{}\n{}\n{{\"level\":", line(1), line(2))).unwrap();
        let entries = log.entries().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].number("height"), Some(2));
        assert_eq!((entries[0].level.as_str(), entries[0].text("height")), ("INFO", None));
    }
}
