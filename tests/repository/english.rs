//! Turns of phrase that a native reader stumbles over stay out of what users read, and out of the sources.

use std::path::Path;
use std::process::Command;

use regex::RegexBuilder;

/// Each with what to write instead. Words are matched as a whole, in any case; a space is any space or line end.
const PHRASES: &[(&str, &str)] = &[
    (r"pull(s|ed|ing)", "scrape, expose"),
    (r"at the (most|least)", "at most, at least"),
    (r"mend(s|ed)?", "fix"),
    (r"whoever|anybody|everybody|nobody", "clients, users, any process, no one"),
    (r"their kin|and the like|and their like", "related"),
    (r"as you like", "at your option"),
    (r"in force", "active"),
    (r"all is well|whether it is well", "recovered, healthy"),
    (r"passes the tests", "runs the tests"),
    (r"starts by itself", "starts at boot"),
    (r"gets it pushed|what is pushed of", "writes to"),
    (r"has all of it|all of it is there", "starts everything"),
    (r"have images from", "can pull from"),
    (r"lowest bill", "lowest cost"),
    (r"tells? of|is told|are told|tells nothing", "reports"),
    (r"for ever", "forever"),
    (r"whole number", "integer"),
    (r"need not (stand|be said)", "does not have to be"),
    (r"did not arrive: the gateway", "was rejected"),
    (r"takes not|came of|shall be|at this pace", "present tense, active voice"),
    (r"the one before stays", "the previous one stays active"),
    (r"made-up", "synthetic"),
    (r"what differs (from|on)", "intentional differences"),
    (r"makes? way", "is closed, is replaced"),
    (r"under way", "in progress, in flight"),
    (r"besides take nothing", "in addition"),
    (r"passed over", "ignored"),
    (r"is it not there|where there is none", "if absent"),
];

/// Texts for users: all phrases stay out of these. Other files have only the first ones.
fn is_for_users(path: &str) -> bool {
    path == "README.md"
        || path == "CHANGELOG.md"
        || path == "SECURITY.md"
        || ["docs/", "conf/", ".github/"].iter().any(|folder| path.starts_with(folder))
}

/// Files of others, of the past, or with recorded text.
fn is_exempt(path: &str) -> bool {
    ["LICENSE", "Cargo.lock", "tests/", "proptest-regressions/", "deploy/grafana/prometheus/"]
        .iter()
        .any(|exempt| path.starts_with(exempt))
        || path.ends_with(".png")
}

#[test]
fn phrases_that_readers_stumble_over_stay_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join(".git").exists() {
        println!("this is no clone: Git knows no files");
        return;
    }
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let (mut read, mut found) = (0, Vec::new());
    for path in listed.split_terminator('\0').filter(|path| !is_exempt(path)) {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        read += 1;
        let phrases = if is_for_users(path) { PHRASES } else { &PHRASES[..2] };
        for (phrase, instead) in phrases {
            let pattern = format!(r"\b(?:{})\b", phrase.replace(' ', r"\s+(?:(?://[/!]?|#)\s+)?"));
            let pattern = RegexBuilder::new(&pattern).case_insensitive(true).build().unwrap();
            for hit in pattern.find_iter(&text).filter(|hit| hit.as_str() != "PULLED") {
                let line = text[..hit.start()].matches('\n').count() + 1;
                found.push(format!("{path}:{line}: {:?}: {instead}", hit.as_str()));
            }
        }
    }
    assert!(read > 300, "{read} files");
    assert!(found.is_empty(), "{found:#?}");
}
