//! `file_sd_configs`: files that list targets.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Found, Group, interval};
use crate::config::{Globs, Key, KeyInfo, Section, yaml};
use crate::encode::names::check_any_label_name;
use crate::system::regular_file::{READ_TIMEOUT, read_text_within, within};

/// Files, by patterns.
#[derive(Clone, Debug)]
pub(in crate::collectors::prometheus) struct Files {
    /// A folder, and the pattern of names in it.
    patterns: Vec<(PathBuf, Globs)>,
    shown: String,
    pub(super) interval: Duration,
}

/// The last valid content of each file.
pub(super) type Known = HashMap<PathBuf, Vec<Group>>;

const FILES: Key<Vec<String>> =
    Key::optional("files", "Paths ending in .json, .yml or .yaml. The last part may be a glob pattern.");
const REFRESH_INTERVAL: Key<Duration> = Key::new("refresh_interval", "\"10s\"", "Interval of reading the files.");
pub(super) const KEYS: &[KeyInfo] = &[FILES.info(), REFRESH_INTERVAL.info()];

/// Maximum size of a file.
const MAX_BYTES: u64 = 16 << 20;

impl Files {
    pub(super) fn new(section: &mut Section<'_>) -> Files {
        let files = section.optional(&FILES).unwrap_or_default();
        if files.is_empty() {
            section.wrong("files", "required: at least one path");
        }
        let mut patterns = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let (folder, name) = file.rsplit_once('/').map_or((".", &**file), |(folder, name)| (folder, name));
            let folder = if folder.is_empty() { "/" } else { folder };
            let is_known = ["json", "yml", "yaml"].iter().any(|ending| name.ends_with(&format!(".{ending}")));
            if folder.contains(['*', '?', '[']) || !is_known {
                let message = "expected a path ending in .json, .yml or .yaml, with a pattern in its last part at most";
                section.wrong_element("files", index, message);
            }
            match Globs::new(vec![name.to_owned()]) {
                Ok(globs) => patterns.push((PathBuf::from(folder), globs)),
                Err(error) => section.wrong_element("files", index, error),
            }
        }
        Files { patterns, shown: files.join(", "), interval: interval(section, &REFRESH_INTERVAL) }
    }

    pub(super) fn summary(&self) -> &str {
        &self.shown
    }

    pub(super) async fn find(&self, known: &mut Known) -> Found {
        let (files, mut before) = (self.clone(), std::mem::take(known));
        let search = tokio::task::spawn_blocking(move || {
            let found = files.search(&mut before);
            (found, before)
        });
        match search.await {
            Ok((found, after)) => {
                *known = after;
                found
            }
            Err(_) => Found::default(),
        }
    }

    /// Reads all files. One that cannot be read keeps its previous targets.
    fn search(&self, known: &mut Known) -> Found {
        let (mut paths, mut problem) = (Vec::new(), None);
        for (folder, names) in &self.patterns {
            match self.paths(folder, names) {
                Ok(found) => paths.extend(found),
                // Files of a folder that cannot be listed stay.
                Err(reason) => {
                    problem = problem.or(Some(reason));
                    paths.extend(known.keys().filter(|path| path.parent() == Some(folder)).cloned());
                }
            }
        }
        paths.sort();
        paths.dedup();
        known.retain(|path, _| paths.contains(path));
        for path in paths {
            match read(&path) {
                Ok(groups) => drop(known.insert(path, groups)),
                Err(reason) => problem = problem.or(Some(reason)),
            }
        }
        let mut all: Vec<(&PathBuf, &Vec<Group>)> = known.iter().collect();
        all.sort_by_key(|(path, _)| *path);
        Found { groups: Some(all.into_iter().flat_map(|(_, groups)| groups.clone()).collect()), problem }
    }

    fn paths(&self, folder: &Path, names: &Globs) -> Result<Vec<PathBuf>, String> {
        if let Some([name]) = names.exact() {
            return Ok(vec![folder.join(name)]);
        }
        let listed = folder.to_owned();
        let list = move || {
            let entries = std::fs::read_dir(&listed)?;
            entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>()
        };
        let failed = |reason: &dyn std::fmt::Display| format!("{}: {reason}", folder.display());
        let found = within(folder, READ_TIMEOUT, list).map_err(|error| failed(&error))?;
        let found = found.map_err(|error| failed(&error))?;
        let matching = found.iter().filter_map(|name| name.to_str()).filter(|name| names.matches(name));
        Ok(matching.map(|name| folder.join(name)).collect())
    }
}

fn read(path: &Path) -> Result<Vec<Group>, String> {
    let text = read_text_within(path, MAX_BYTES, READ_TIMEOUT).map_err(|error| error.to_string())?;
    let name = path.display().to_string();
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let groups =
        if is_json { of_json(&text).map_err(|reason| format!("{name}: {reason}")) } else { of_yaml(&name, &text) };
    let mut groups = groups?;
    for group in &mut groups {
        group.labels.insert("__meta_filepath".to_owned(), name.clone());
    }
    Ok(groups)
}

/// A group in a file or a response.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// The groups in JSON.
pub(super) fn of_json(text: &str) -> Result<Vec<Group>, String> {
    let listed: Vec<Listed> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let group = |listed: Listed| {
        let labels = listed.labels.unwrap_or_default();
        let wrong = labels.keys().find_map(|name| Some((name, check_any_label_name(name).err()?)));
        match wrong {
            Some((name, expected)) => Err(format!("labels: {expected}, found {name:?}")),
            None => Ok(Group { targets: listed.targets, labels }),
        }
    };
    listed.into_iter().map(group).collect()
}

/// The groups in YAML.
fn of_yaml(name: &str, text: &str) -> Result<Vec<Group>, String> {
    const TARGETS: Key<Vec<String>> = Key::new("targets", "[]", "");
    let first = |problems: crate::config::Problems| problems.lines().next().unwrap_or_default();
    let document = yaml::parse_list(name, text, "groups").map_err(first)?;
    let groups = |root: &mut Section<'_>| {
        let group = |mut table: Section<'_>| {
            let targets = table.get(&TARGETS);
            Group { targets, labels: table.table("labels").strings_that(|name, _| check_any_label_name(name)) }
        };
        root.tables("groups").into_iter().map(group).collect()
    };
    Section::check(&document, groups).map_err(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    fn files(folder: &Path, pattern: &str) -> Files {
        let toml = format!("files = [{:?}]", folder.join(pattern));
        let document = Document::parse("test", &toml, &|_| None).unwrap();
        Section::check(&document, Files::new).unwrap()
    }

    fn shown(found: &Found) -> String {
        let group = |group: &Group| {
            let labels = group.labels.iter().filter(|(name, _)| !name.starts_with("__"));
            let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
            format!("{}[{}]", group.targets.join("+"), labels.join(","))
        };
        found.groups.iter().flatten().map(group).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn targets_are_listed_in_json_and_yaml() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("a.json", r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}, {"targets": []}]"#);
        put("b.yml", "# A comment.\n---\n- targets:\n  - 'c:3'\n  labels:\n    n: 1\n- targets: [d:4]\n");
        put("c.yaml", "[{targets: [e:5]}]\n");
        put("d.txt", "no targets");
        let mut known = Known::default();
        let all = |known: &mut Known| {
            let mut found = files(folder.path(), "*.json").search(known);
            let mut others = Known::default();
            found.groups.as_mut().unwrap().extend(files(folder.path(), "*.yml").search(&mut others).groups.unwrap());
            found.groups.as_mut().unwrap().extend(files(folder.path(), "c.yaml").search(&mut others).groups.unwrap());
            found
        };
        let found = all(&mut known);
        assert_eq!((shown(&found).as_str(), &found.problem), ("a:1+b:2[x=y] [] c:3[n=1] d:4[] e:5[]", &None));
        let path = folder.path().join("a.json").display().to_string();
        assert_eq!(found.groups.unwrap()[0].labels["__meta_filepath"], path);
    }

    #[test]
    fn a_broken_file_keeps_its_targets() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.json"), folder.path().join("2.json"));
        std::fs::write(&one, r#"[{"targets": ["a:1"]}]"#).unwrap();
        std::fs::write(&two, r#"[{"targets": ["b:2"]}]"#).unwrap();
        let (files, mut known) = (files(folder.path(), "*.json"), Known::default());
        assert_eq!(shown(&files.search(&mut known)), "a:1[] b:2[]");
        for broken in ["[{", r#"[{"targets": ["c:1"], "odd": 1}]"#, r#"{"targets": []}"#] {
            std::fs::write(&one, broken).unwrap();
            let found = files.search(&mut known);
            assert_eq!(shown(&found), "a:1[] b:2[]");
            assert!(found.problem.unwrap().contains("1.json"));
        }
        std::fs::write(&one, "[]").unwrap();
        std::fs::remove_file(&two).unwrap();
        assert_eq!(files.search(&mut known), Found { groups: Some(Vec::new()), problem: None });
    }

    #[test]
    fn mistakes_in_yaml_have_a_position() {
        for text in ["- targets: [a:1]\n  odd: 1\n", "targets: [a:1]\n", "- [\n"] {
            assert!(of_yaml("x.yml", text).unwrap_err().starts_with("x.yml:"), "{text}");
        }
        assert_eq!(of_yaml("x.yml", ""), Ok(Vec::new()));
    }
}
