//! The lines that Telegraf still needs where it runs beside Taffrail for the inputs that Taffrail does not have.

use std::collections::BTreeSet;

use super::present::{SMART, is_probe, is_program, is_scraping};
use super::read::Block;
use super::server_tables::SERVERS;
use super::tables::{INPUTS, PROCSTAT, STATSD};

/// Tables without which those inputs would not work as before.
const WITH_INPUTS: [&str; 7] = ["agent", "global_tags", "tags", "outputs", "processors", "aggregators", "secretstores"];

/// Where tables are: the file, and their first and last line.
type Places<'f> = BTreeSet<(&'f str, (usize, usize))>;

/// The lines of each file, from 1; none if all inputs are there. `missing` has the heads of those that are not.
pub(super) fn kept(files: &[(String, String)], roots: &[Block], missing: &Places<'_>) -> Vec<BTreeSet<usize>> {
    let mut is_needed = false;
    let mut kept = Vec::new();
    for ((file, _), root) in files.iter().zip(roots) {
        let is_missing =
            |plugin: &&Block| is_unknown(plugin) || plugin.lines.is_some_and(|lines| missing.contains(&(file, lines)));
        let mut lines = BTreeSet::new();
        for block in &root.tables {
            let kind = block.path[0].as_str();
            if WITH_INPUTS.contains(&kind) {
                add(block, &mut lines);
            }
            if kind == "inputs" {
                for plugin in block.tables.iter().filter(is_missing) {
                    is_needed = true;
                    add(plugin, &mut lines);
                }
            }
        }
        kept.push(lines);
    }
    if is_needed { kept } else { Vec::new() }
}

fn is_unknown(plugin: &Block) -> bool {
    let inputs = INPUTS.iter().map(|input| input.name).chain(SERVERS.iter().map(|server| server.name));
    let mut known = inputs.chain([PROCSTAT.name, STATSD]).chain(SMART);
    !is_program(plugin)
        && !is_scraping(plugin)
        && !is_probe(plugin)
        && !known.any(|known| plugin.path.last().is_some_and(|name| name == known))
}

/// Adds the lines of a table and of everything below it.
fn add(block: &Block, lines: &mut BTreeSet<usize>) {
    let settings = block.settings.iter().map(|setting| setting.lines);
    for (first, last) in block.lines.into_iter().chain(settings) {
        lines.extend(first..=last);
    }
    block.tables.iter().for_each(|below| add(below, lines));
}
