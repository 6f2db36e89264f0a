//! Reads a recorded host as a scrape does and encodes it, for benches/instructions.
//!
//! `scrape_host TREE SCRAPES` reads the host in TREE, unpacked from an archive of `tests/hosts` (`host_tree`), with the
//! collectors that are on by default, SCRAPES times, all in one thread, and prints how many bytes the last exposition has.

use std::path::Path;
use std::time::Instant;

use taffrail::collectors::Vocabularies;
use taffrail::collectors::settings::configure;
use taffrail::config::{Document, Section};
use taffrail::encode::FamilyWriter;
use taffrail::encode::text::{Dialect, TextEncoder};
use taffrail::host::{Host, Roots};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tree, scrapes] = &arguments[..] else {
        eprintln!("usage: scrape_host TREE SCRAPES");
        std::process::exit(2);
    };
    let scrapes: u32 = scrapes.parse().expect("SCRAPES is a number");
    let tree = Path::new(tree);
    let roots =
        Roots { proc: tree.join("proc"), sys: tree.join("sys"), root: tree.join("root"), udev: tree.join("udev/data") };
    let host = Host::live(roots);
    let document = Document::parse("default", "", &|_| None).expect("nothing is wrong with no settings");
    let mut collectors =
        Section::check(&document, |root| configure(&host, &[], &mut root.table("collectors"))).expect("nor here");
    collectors.retain(|configured| configured.on.families);
    let mut bytes = 0;
    let mut body = Vec::new();
    for _ in 0..scrapes {
        body.clear();
        let mut encoder = TextEncoder::new(Dialect::Plain, body);
        let mut writer = FamilyWriter::new(&mut encoder);
        let round = Instant::now();
        for configured in &mut collectors {
            let collected = configured.collector.collect(Vocabularies::FAMILIES, round, &host, &mut Vec::new());
            collected.families(&mut writer);
        }
        drop(writer);
        body = encoder.finish();
        bytes = body.len();
    }
    println!("{bytes} bytes");
}
