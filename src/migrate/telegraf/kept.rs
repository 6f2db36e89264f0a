//! The lines that Telegraf still needs where it runs beside Taffrail for the inputs that Taffrail does not have.

use std::collections::BTreeSet;

use super::read::Block;
use crate::migrate::needed::Inputs;

/// Tables without which those inputs would not work as before.
const WITH_INPUTS: [&str; 7] = ["agent", "global_tags", "tags", "outputs", "processors", "aggregators", "secretstores"];

/// The inputs of the files, and what all of them need.
pub(super) fn inputs(files: &[(String, String)], roots: &[Block]) -> Inputs {
    let mut inputs = Inputs::default();
    for ((file, _), root) in files.iter().zip(roots) {
        let shared = inputs.shared.entry(file.clone()).or_default();
        for block in root.tables.iter().filter(|block| WITH_INPUTS.contains(&block.path[0].as_str())) {
            add(block, shared);
        }
        let kinds = root.tables.iter().filter(|block| block.path[0] == "inputs");
        for plugin in kinds.flat_map(|kind| &kind.tables) {
            let mut lines = BTreeSet::new();
            add(plugin, &mut lines);
            inputs.each.push((file.clone(), lines));
        }
    }
    inputs
}

/// Adds the lines of a table and of everything below it.
fn add(block: &Block, lines: &mut BTreeSet<usize>) {
    let settings = block.settings.iter().map(|setting| setting.lines);
    for (first, last) in block.lines.into_iter().chain(settings) {
        lines.extend(first..=last);
    }
    block.tables.iter().for_each(|below| add(below, lines));
}
