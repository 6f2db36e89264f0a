//! No circles of imports between the files of `src`: each file can be read before those that use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// The path of a module or of an item, from the crate's root.
type ModulePath = Vec<String>;

/// The files that a file imports, each with the first line that does and what it imports.
type Imports = BTreeMap<ModulePath, (usize, ModulePath)>;

static USE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)^[ \t]*(pub(?:\([^)]*\))? )?use ([^;]+);").unwrap());
static INLINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b\w+(?:::\w+)+").unwrap());

/// A file of `src` without its comments and its tests. Line numbers are those of the file.
struct Module {
    file: String,
    code: String,
    uses: Vec<Used>,
}

/// A name that `use` brings into scope.
struct Used {
    name: String,
    path: ModulePath,
    line: usize,
    is_reexport: bool,
}

impl Module {
    fn new(file: String, module: &[String], text: &str) -> Module {
        let code = without_tests_and_comments(text);
        let mut uses = Vec::new();
        for found in USE.captures_iter(&code) {
            for (path, name) in use_tree(&found[2]) {
                let Some(path) = absolute(module, &path) else { continue };
                let line = line_at(&code, found.get(2).unwrap().start());
                uses.push(Used { name, path, line, is_reexport: found.get(1).is_some() });
            }
        }
        Module { file, code, uses }
    }

    /// The path that a name in scope stands for.
    fn used(&self, name: &str) -> Option<&ModulePath> {
        self.uses.iter().find(|used| used.name == name).map(|used| &used.path)
    }
}

struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    fn read() -> Modules {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut modules, mut folders) = (BTreeMap::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let relative = path.strip_prefix(&root).unwrap();
                    let file = relative.to_string_lossy().replace('\\', "/");
                    let module = module_of(relative);
                    modules.insert(module.clone(), Module::new(file, &module, &fs::read_to_string(&path).unwrap()));
                }
            }
        }
        Modules(modules)
    }

    /// The imports of every file, except what a folder's files share in its `mod.rs`.
    fn imports(&self) -> BTreeMap<&ModulePath, Imports> {
        self.0.iter().map(|(path, module)| (path, self.imports_of(path, module))).collect()
    }

    fn imports_of(&self, path: &ModulePath, module: &Module) -> Imports {
        let mut imports = Imports::new();
        let mut add = |imported: &[String], line: usize| {
            if let Some(other) = self.definer(imported, 0).filter(|other| !path.starts_with(other)) {
                let first = imports.entry(other.clone()).or_insert_with(|| (line, imported.to_vec()));
                if line < first.0 {
                    *first = (line, imported.to_vec());
                }
            }
        };
        let code = blank(&USE, &module.code);
        for used in &module.uses {
            if !used.is_reexport || Regex::new(&format!(r"\b{}\b", used.name)).unwrap().is_match(&code) {
                add(&used.path, used.line);
            }
        }
        for found in INLINE.find_iter(&code) {
            let written: ModulePath = found.as_str().split("::").map(str::to_owned).collect();
            if let Some(imported) = self.resolved(path, module, &written) {
                add(&imported, line_at(&code, found.start()));
            }
        }
        imports
    }

    /// A path in the code, from the crate's root: none if it is of another crate or of a type.
    fn resolved(&self, path: &[String], module: &Module, written: &[String]) -> Option<ModulePath> {
        if let Some(used) = module.used(&written[0]) {
            return Some([used, &written[1..]].concat());
        }
        let child = [path, &written[..1]].concat();
        if self.0.contains_key(&child) {
            return Some([path, written].concat());
        }
        absolute(path, written)
    }

    /// The module that defines the item of this path, behind all re-exports.
    fn definer(&self, path: &[String], depth: usize) -> Option<&ModulePath> {
        let length = (0..=path.len()).rev().find(|&length| self.0.contains_key(&path[..length]))?;
        let (holder, module) = self.0.get_key_value(&path[..length])?;
        let used = path.get(length).and_then(|item| module.used(item));
        match used.filter(|_| depth < 8) {
            Some(used) => self.definer(&[used, &path[length + 1..]].concat(), depth + 1),
            None => Some(holder),
        }
    }
}

fn module_of(relative: &Path) -> ModulePath {
    let mut path: PathBuf = relative.with_extension("");
    if path.ends_with("mod") || path == Path::new("lib") {
        path.pop();
    }
    path.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// The text with blank lines instead of comments, of the tests at its end and of what only tests use.
fn without_tests_and_comments(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let (mut code, mut is_for_tests) = (String::new(), false);
    for line in text.lines() {
        let trimmed = line.trim_start();
        if !is_for_tests && !trimmed.starts_with("//") {
            code += line.split(" // ").next().unwrap();
        }
        code.push('\n');
        is_for_tests = trimmed == "#[cfg(test)]";
    }
    code
}

/// The text with spaces instead of what `found` finds, so that lines keep their numbers.
fn blank(found: &Regex, text: &str) -> String {
    let spaces = |found: &regex::Captures| found[0].replace(|c| c != '\n', " ");
    found.replace_all(text, spaces).into_owned()
}

fn line_at(text: &str, position: usize) -> usize {
    1 + text[..position].matches('\n').count()
}

/// The paths of `a::{b, c::{d, e as f}}`, each with the name that it has in scope.
fn use_tree(text: &str) -> Vec<(ModulePath, String)> {
    let text = text.trim();
    let parts = |text: &str| -> ModulePath {
        text.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let Some((head, tail)) = text.split_once('{') else {
        let (path, alias) = text.split_once(" as ").map_or((text, None), |(path, alias)| (path, Some(alias)));
        let mut path = parts(path);
        if path.len() > 1 {
            path.pop_if(|last| last == "self");
        }
        let name = alias.map(|alias| alias.trim().to_owned()).or_else(|| path.last().cloned());
        return name.map(|name| (path, name)).into_iter().collect();
    };
    let (head, tail) = (parts(head), &tail[..tail.rfind('}').unwrap()]);
    let (mut branches, mut depth, mut start) = (Vec::new(), 0, 0);
    for (position, byte) in tail.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                branches.push(&tail[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    branches.push(&tail[start..]);
    let branches = branches.into_iter().filter(|branch| !branch.trim().is_empty()).flat_map(|branch| {
        // `a::{self}` is `a` itself.
        if branch.trim() == "self" {
            vec![(vec![], head.last().cloned().unwrap_or_default())]
        } else {
            use_tree(branch)
        }
    });
    branches.map(|(path, name)| ([head.clone(), path].concat(), name)).collect()
}

/// A path in `module` from the crate's root: none if it begins with something other than `crate`, `super` or `self`,
/// unless it is written in a `use` of a child module, as in `use child::Item`.
fn absolute(module: &[String], path: &[String]) -> Option<ModulePath> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat()),
        _ => Some([module, path].concat()),
    }
}

/// The groups of at least two files of which each imports the others, directly or not.
fn circles<'m>(imports: &BTreeMap<&'m ModulePath, Imports>) -> BTreeSet<BTreeSet<&'m ModulePath>> {
    let reachable = |from: &'m ModulePath| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for other in imports[module].keys() {
                let (other, _) = imports.get_key_value(other).unwrap();
                if seen.insert(*other) {
                    next.push(other);
                }
            }
        }
        seen
    };
    let reachable: BTreeMap<_, _> = imports.keys().map(|module| (*module, reachable(module))).collect();
    let circle = |module: &&'m ModulePath| {
        reachable[module].iter().copied().filter(|other| reachable[other].contains(module)).collect()
    };
    imports.keys().map(circle).filter(|circle: &BTreeSet<_>| !circle.is_empty()).collect()
}

#[test]
fn no_file_imports_another_that_imports_it() {
    let modules = Modules::read();
    let imports = modules.imports();
    let count: usize = imports.values().map(BTreeMap::len).sum();
    assert!(imports.len() > 300 && count > 900, "only {count} imports of {} files are understood", imports.len());

    let file = |module: &ModulePath| modules.0[module].file.as_str();
    let mut report = String::new();
    for circle in circles(&imports) {
        let files: Vec<&str> = circle.iter().map(|module| file(module)).collect();
        writeln!(report, "a circle of imports: {}", files.join(", ")).unwrap();
        for module in &circle {
            for (_, (line, path)) in imports[module].iter().filter(|(other, _)| circle.contains(other)) {
                writeln!(report, "    src/{}:{line} uses {}", file(module), path.join("::")).unwrap();
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let path = |text: &str| -> ModulePath { text.split("::").map(str::to_owned).collect() };
    let used = |text: &str, name: &str| (path(text), name.to_owned());
    assert_eq!(
        use_tree("super::{a, b::{C, d as e}, f::{self}}"),
        [used("super::a", "a"), used("super::b::C", "C"), used("super::b::d", "e"), used("super::f", "f")]
    );
    let module = path("gateway::state");
    assert_eq!(absolute(&module, &path("super::super::host")), Some(path("host")));
    assert_eq!(absolute(&module, &path("crate::encode::Family")), Some(path("encode::Family")));
    assert_eq!(absolute(&module, &path("parts::Part")), Some(path("gateway::state::parts::Part")));
    assert_eq!(absolute(&[], &path("super::a")), None);

    let modules: BTreeMap<ModulePath, Module> = [
        ("a", "pub use self::b::B;\nmod b;\n"),
        ("a::b", "pub struct B;\n"),
        ("c", "// use crate::d;\nuse crate::a;\n\nlet b = a::B;\n#[cfg(test)]\nuse crate::d;\n"),
        ("d", "pub use super::a::B as C;\n"),
    ]
    .into_iter()
    .map(|(name, text)| (path(name), Module::new(format!("{name}.rs"), &path(name), text)))
    .collect();
    let modules = Modules(modules);
    assert_eq!(modules.definer(&path("d::C"), 0), Some(&path("a::b")));
    let imports = modules.imports();
    assert!(imports[&path("a")].is_empty() && imports[&path("d")].is_empty());
    assert_eq!(imports[&path("c")], Imports::from([(path("a"), (2, path("a"))), (path("a::b"), (4, path("a::B")))]));
}
