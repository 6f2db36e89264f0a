//! The crates that Taffrail is built from follow deny.toml: permissive licences, and no second version without a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use toml::de::DeTable;

/// What deny.toml allows.
struct Rules {
    licences: BTreeSet<String>,
    /// Old versions that may exist beside a newer one, as `name@version`.
    duplicates: BTreeSet<String>,
}

impl Rules {
    fn read() -> Rules {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
        let rules = DeTable::parse(&text).unwrap();
        let list =
            |section: &str, key: &str| rules.get_ref()[section].get_ref()[key].get_ref().as_array().unwrap().clone();
        let licences = list("licenses", "allow").iter().map(|one| one.get_ref().as_str().unwrap().to_owned()).collect();
        let mut duplicates = BTreeSet::new();
        for skip in list("bans", "skip").iter() {
            let text = |key: &str| skip.get_ref()[key].get_ref().as_str().unwrap().to_owned();
            assert!(!text("reason").is_empty());
            duplicates.insert(text("crate"));
        }
        Rules { licences, duplicates }
    }
}

/// A crate of the build.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
}

/// All crates of the build and the tests, on any platform.
fn crates() -> BTreeSet<Crate> {
    const ARGUMENTS: &str =
        "tree --locked --all-features --target=all --edges=normal,build,dev --prefix=none -f {p}|{l}";
    let mut command = Command::new(env!("CARGO"));
    command.args(ARGUMENTS.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let all = text.lines().map(|line| {
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|').unwrap();
        let mut words = package.split(' ');
        let [name, version] = [words.next().unwrap(), words.next().unwrap().strip_prefix('v').unwrap()];
        Crate { name: name.to_owned(), version: version.to_owned(), licence: licence.to_owned() }
    });
    all.collect()
}

/// Whether the expression (SPDX, or the older `A/B`) is met by the allowed licences.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let is_met = either(&mut words, allowed);
    is_met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut is_met = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        is_met |= both(words, allowed);
    }
    is_met
}

fn both(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut is_met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        is_met &= one(words, allowed);
    }
    is_met
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let is_met = either(words, allowed);
        return words.next() == Some(")") && is_met;
    }
    // A licence with an exception has to be listed with it.
    let name = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{word} WITH {}", words.next().unwrap_or_default()),
        None => word.to_owned(),
    };
    allowed.contains(&name)
}

/// The part of a version that decides which others are compatible.
fn compatible(version: &str) -> &str {
    let end = if version.starts_with("0.") { 2 } else { 0 };
    &version[..end + version[end..].find('.').unwrap()]
}

/// The versions that exist beside a newer one, as `name@version`.
fn duplicates(crates: &BTreeSet<Crate>) -> BTreeSet<String> {
    let mut versions: BTreeMap<&str, BTreeSet<Vec<u64>>> = BTreeMap::new();
    for one in crates {
        let compatible = compatible(&one.version).split('.').map(|number| number.parse().unwrap()).collect();
        versions.entry(&one.name).or_default().insert(compatible);
    }
    let older = versions.into_iter().flat_map(|(name, versions)| {
        let count = versions.len();
        versions.into_iter().take(count - 1).map(move |version| {
            let version: Vec<_> = version.iter().map(u64::to_string).collect();
            format!("{name}@{}", version.join("."))
        })
    });
    older.collect()
}

#[test]
#[ignore = "downloads the crates of other platforms"]
fn crates_of_all_platforms_follow_the_rules() {
    let (crates, rules) = (crates(), Rules::read());
    assert!(crates.len() > 100);
    let refused = crates.iter().filter(|one| !is_allowed(&one.licence, &rules.licences));
    let refused: Vec<_> = refused.map(|one| format!("{} {}: {}", one.name, one.version, one.licence)).collect();
    assert!(refused.is_empty(), "deny.toml does not allow {refused:#?}");
    assert_eq!(duplicates(&crates), rules.duplicates, "deny.toml lists other versions");
}

#[test]
fn licence_expressions_are_evaluated() {
    let allowed: BTreeSet<String> = ["MIT", "ISC"].map(str::to_owned).into();
    for (expression, expected) in [
        ("MIT", true),
        ("Apache-2.0", false),
        ("MIT OR Apache-2.0", true),
        ("Apache-2.0 / MIT", true),
        ("MIT AND ISC", true),
        ("MIT AND Apache-2.0", false),
        ("(MIT OR Apache-2.0) AND ISC", true),
        ("(MIT OR Apache-2.0) AND Zlib", false),
        ("Apache-2.0 AND ISC OR MIT", true),
        ("MIT WITH LLVM-exception", false),
        ("MIT WITH LLVM-exception OR ISC", true),
        ("(MIT", false),
        ("", false),
        ("MIT ISC", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn versions_are_compatible_by_their_first_number_that_is_not_zero() {
    let of = |all: &[(&str, &str)]| {
        let one = |&(name, version): &(&str, &str)| Crate {
            name: name.into(),
            version: version.into(),
            licence: "MIT".into(),
        };
        duplicates(&all.iter().map(one).collect()).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of(&[("a", "1.2.3"), ("b", "0.9.0")]), [""; 0]);
    assert_eq!(of(&[("a", "1.2.3"), ("a", "2.0.0"), ("a", "10.0.0")]), ["a@1", "a@2"]);
    assert_eq!(of(&[("a", "0.9.3"), ("a", "0.10.0"), ("a", "1.0.0")]), ["a@0.10", "a@0.9"]);
}
