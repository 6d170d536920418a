//! How the nodes stand while they are waited for: bars on a terminal, elsewhere a line at each
//! change of height.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::light_node::LightNode;
use super::story::Story;
use crate::cli::table::size;

/// See above. Dropped, it leaves nothing on the terminal.
#[derive(Debug)]
pub(super) struct View {
    height: u32,
    /// Whether somebody else tells of whoever reaches that height.
    told_elsewhere: bool,
    /// None where there is no terminal.
    bars: Option<(MultiProgress, BTreeMap<String, ProgressBar>)>,
    told: BTreeMap<String, u32>,
}

impl View {
    /// Of nodes on their way to a height; whoever waits for them tells when they are there.
    pub(super) fn new(height: u32) -> Self {
        let mut view = Self::following(height);
        view.told_elsewhere = true;
        view
    }

    /// Of nodes that follow a tip, at this height now.
    pub(super) fn following(height: u32) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = terminal.then(|| (MultiProgress::new(), BTreeMap::new()));
        Self { height, told_elsewhere: false, bars, told: BTreeMap::new() }
    }

    /// The height that a full bar stands for.
    pub(super) fn aim(&mut self, height: u32) {
        self.height = height;
        for bar in self.bars.iter().flat_map(|(_, bars)| bars.values()) {
            bar.set_length(u64::from(height));
        }
    }

    /// Shows how a node stands.
    pub(super) fn show(&mut self, node: &LightNode, story: Story) {
        let Some(standing) = &node.standing else { return };
        let height = standing.height;
        if let Some((all, bars)) = &mut self.bars {
            let bar = bars.entry(node.name.clone()).or_insert_with(|| {
                let bar = all.add(ProgressBar::new(u64::from(self.height)));
                bar.set_style(style());
                bar.set_prefix(node.name.clone());
                bar
            });
            bar.set_message(traffic(node));
            bar.set_position(u64::from(height));
            return;
        }
        let told = self.told.insert(node.name.clone(), height);
        let changed = told.is_some_and(|told| told != height);
        if changed && !(self.told_elsewhere && height >= self.height) {
            story.tell(&node.name, format!("at height {height}; {}", traffic(node)));
        }
    }

    /// Prints something above the bars.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        match &self.bars {
            Some((all, _)) => all.suspend(print),
            None => print(),
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some((all, bars)) = &self.bars {
            bars.values().for_each(ProgressBar::finish_and_clear);
            // It fails where the terminal is gone.
            let _ = all.clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix:<7} [{bar:16}] {human_pos:>7}  {wide_msg}")
        .unwrap_or_else(|_invalid| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// Who it has headers from in this run, and what went through its sockets.
pub(super) fn traffic(node: &LightNode) -> String {
    let mut parts: Vec<String> = node
        .record
        .sources_of_run()
        .iter()
        .map(|(source, headers)| format!("{headers} from {source}"))
        .collect();
    for network in ["bitcoin", "libp2p"] {
        if let Some(bytes) = node.record.bytes(network) {
            let (received, sent) = (size(bytes.received), size(bytes.sent));
            parts.push(format!("{network} {received} in, {sent} out"));
        }
    }
    parts.join("; ")
}
