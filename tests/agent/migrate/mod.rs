//! `taffrail migrate`: a corpus of set-ups with what becomes of them, and what holds for any.
//!
//! A case is a folder of an archive in `tests/goldens/migrate`: the input, the expected settings and the expected report.
//! `TAFFRAIL_BLESS=1 cargo test --test agent migrate` writes the expected files anew.

mod any;
mod command;
mod flags;
mod machine;
mod telegraf;
mod telegraf_targets;
mod yaml;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use taffrail::migrate::check::{Checked, check_in, problems_of};
use taffrail::migrate::report;
use taffrail::migrate::translation::{Outcome, Translation};

use crate::harness::recorded::archive::{Entry, Tree};

/// The cases of an archive, each with its files.
fn cases(archive: &Path) -> (Tree, BTreeSet<String>) {
    let tree = Tree::read(archive).unwrap();
    let text = tree.to_string();
    let files = text.lines().filter_map(|line| line.strip_prefix("file "));
    let names = files.filter_map(|file| Some(file.split_once('/')?.0.to_owned())).collect();
    (tree, names)
}

/// Compares every case of an archive with what `translate` makes of it, and checks what holds for any.
fn corpus(program: &str, least: usize, translate: impl Fn(&str, &Tree) -> Translation) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/migrate/{program}.tree"));
    let (mut tree, names) = cases(&archive);
    assert!(names.len() >= least, "{} cases of {program}", names.len());
    let is_blessed = std::env::var_os("TAFFRAIL_BLESS").is_some();
    for name in &names {
        let checked = check_in(translate(name, &tree), &|_| None);
        assert_is_sound(&checked);
        let report = report::text(&checked.translation);
        for (file, found) in [("expected.toml", checked.toml), ("expected.report", report)] {
            let path = format!("{name}/{file}");
            if is_blessed {
                tree = without(&tree, &path);
                tree.add(PathBuf::from(&path), Entry::File(found.clone().into_bytes())).unwrap();
            }
            assert_eq!(found, tree.text(&path).unwrap_or_default(), "{program} {path}");
        }
    }
    if is_blessed {
        std::fs::write(&archive, tree.to_string()).unwrap();
    }
}

fn without(tree: &Tree, path: &str) -> Tree {
    let text = tree.to_string();
    let (mut kept, mut is_kept) = (String::new(), true);
    for line in text.split_inclusive('\n') {
        if line.starts_with("file ") || line.starts_with("link ") || line.starts_with("folder ") {
            is_kept = line.trim_end() != format!("file {path}");
        }
        kept.push_str(if is_kept { line } else { "" });
    }
    Tree::parse(&kept).unwrap()
}

/// The output is what `taffrail check` accepts, and a line that is refused says what to do.
fn assert_is_sound(checked: &Checked) {
    let environment = |name: &str| {
        let is_unset = checked.translation.variables.contains_key(name);
        std::env::var_os(name).or_else(|| is_unset.then(|| "placeholder".into()))
    };
    for problem in problems_of(&checked.toml, &environment).into_iter().flat_map(|problems| problems.list) {
        // The value of a variable that is not set here may be any.
        let start = problem.position.as_ref().map_or(0, |position| position.span.start);
        let line = checked.toml[start..].lines().next().unwrap_or_default();
        let is_open = checked.translation.variables.keys().any(|name| line.contains(&format!("${{{name}}}")));
        assert!(is_open, "{}: {}\n{}", problem.key, problem.message, checked.toml);
    }
    for entry in &checked.translation.entries {
        let is_explained = entry.outcome == Outcome::Same || !entry.outcome.remark().is_empty();
        assert!(is_explained, "{entry:?}");
        assert!(!entry.text.contains("geheim"), "{entry:?}");
    }
}

/// Every line is in the report, or is blank or a comment.
fn assert_no_line_vanishes(text: &str, translation: &Translation) {
    let lines = translation.entries.iter().filter_map(|entry| entry.source.lines);
    let reported: BTreeSet<usize> = lines.flat_map(|(first, last)| first..=last).collect();
    let all = text.lines().count();
    assert!(reported.iter().all(|line| (1..=all).contains(line)), "{reported:?} of {all} lines:\n{text}");
    assert_eq!(reported.len() + translation.comments, all, "{reported:?} of {all} lines:\n{text}");
}
