//! A tree of files as one text, which `git diff` can show: the archives `*.tree` of recorded hosts.
//!
//! ```text
//! taffrail-tree 1
//! file proc/loadavg
//! |0.00 0.01 0.05 1/123 4711
//! file sys/no-end-of-line
//! \one\n
//! \two
//! folder sys/empty
//! link sys/class/net/eth0 -> ../../devices/eth0
//! ```
//!
//! Below `file` stands what it holds. `|` begins a line of text, which is as it is and ends with a line feed. `\` begins
//! bytes with escapes (`\\`, `\n`, `\r`, `\t`, `\0`, `\xNN`), which end where they end; what is not UTF-8, has control
//! characters or no line feed at its end is written so. Names and the targets of links have the same escapes. Entries are
//! in the order of their paths, folder by folder, bytewise. A folder is named where it is empty. Modes and times are not
//! kept, as Git does not keep them either.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

const FORMAT: &str = "taffrail-tree 1";
/// What stands between a link and its target.
const ARROW: &str = " -> ";
/// A line of bytes that are no text is cut into pieces of so many.
const PIECE: usize = 64;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file, with what it holds.
    File(Vec<u8>),
    /// A symbolic link, with its target.
    Link(PathBuf),
    /// A folder in which nothing is.
    Folder,
}

/// A tree of files, by their paths below its root. No entry is below another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, Entry>);

impl Tree {
    /// The tree that the archive `path` holds. Errors name the file and, where its text is wrong, the line.
    pub fn read(path: &Path) -> io::Result<Tree> {
        let text = fs::read_to_string(path).map_err(|error| of(path, error))?;
        Tree::parse(&text).map_err(|problem| of(path, invalid(problem)))
    }

    /// The tree that `text` describes. Errors begin with the number of the line.
    pub fn parse(text: &str) -> Result<Tree, String> {
        let mut tree = Tree::default();
        let mut lines = (1..).zip(text.split_terminator('\n')).peekable();
        if lines.next().is_none_or(|(_, line)| line != FORMAT) {
            return Err(format!("line 1: an archive begins with the line \"{FORMAT}\""));
        }
        if !text.ends_with('\n') {
            return Err("the last line is cut off".to_owned());
        }
        while let Some((number, line)) = lines.next() {
            let mut content = Vec::new();
            while let Some((number, line)) = lines.next_if(|(_, line)| line.starts_with(['|', '\\'])) {
                read_content(line, &mut content).map_err(|problem| format!("line {number}: {problem}"))?;
            }
            let entry = entry(line, content).and_then(|(path, entry)| tree.add(path, entry));
            entry.map_err(|problem| format!("line {number}: {problem}"))?;
        }
        Ok(tree)
    }

    /// What the file `path` of the tree holds; `None` if there is no such file, or it is no text.
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.0.get(Path::new(path))? {
            Entry::File(content) => std::str::from_utf8(content).ok(),
            _ => None,
        }
    }

    /// The tree in the folder `root`. What is neither a file nor a folder nor a link is an error.
    pub fn pack(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        tree.pack_below(root, Path::new(""))?;
        Ok(tree)
    }

    fn pack_below(&mut self, root: &Path, folder: &Path) -> io::Result<()> {
        let whole = root.join(folder);
        let mut is_empty = true;
        for entry in fs::read_dir(&whole).map_err(|error| of(&whole, error))? {
            is_empty = false;
            let entry = entry.map_err(|error| of(&whole, error))?;
            let (path, whole) = (folder.join(entry.file_name()), entry.path());
            let kind = entry.file_type().map_err(|error| of(&whole, error))?;
            let entry = if kind.is_dir() {
                self.pack_below(root, &path)?;
                continue;
            } else if kind.is_file() {
                fs::read(&whole).map(Entry::File)
            } else if kind.is_symlink() {
                fs::read_link(&whole).map(Entry::Link)
            } else {
                Err(invalid("is neither a file nor a folder nor a link"))
            };
            self.0.insert(path, entry.map_err(|error| of(&whole, error))?);
        }
        if is_empty && folder != "" {
            self.0.insert(folder.to_owned(), Entry::Folder);
        }
        Ok(())
    }

    /// Makes the folder `root`, which must not be there, with all files.
    pub fn unpack(&self, root: &Path) -> io::Result<()> {
        fs::create_dir(root).map_err(|error| of(root, error))?;
        for (path, entry) in &self.0 {
            let path = root.join(path);
            let folder = if *entry == Entry::Folder { Some(&*path) } else { path.parent() };
            folder.map_or(Ok(()), fs::create_dir_all).map_err(|error| of(&path, error))?;
            match entry {
                Entry::File(content) => fs::write(&path, content),
                Entry::Link(target) => symlink(target, &path),
                Entry::Folder => Ok(()),
            }
            .map_err(|error| of(&path, error))?;
        }
        Ok(())
    }

    /// Adds an entry. A path that leads out of the tree, or through what is no folder, is an error.
    pub fn add(&mut self, path: PathBuf, entry: Entry) -> Result<(), String> {
        let mut names = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
        if names.any(|name| matches!(name, b"" | b"." | b"..") || name.contains(&0)) {
            return Err(format!("{path:?} is no path below the root"));
        }
        if let Entry::Link(target) = &entry
            && (target == "" || target.as_os_str().as_bytes().contains(&0))
        {
            return Err(format!("{path:?} leads to {target:?}, which is no path"));
        }
        let above = path.ancestors().skip(1).find(|above| self.0.contains_key(*above));
        let below = || self.0.range(path.clone()..).map(|(other, _)| &**other).next();
        if let Some(other) = above.or_else(|| below().filter(|other| other.starts_with(&path))) {
            return Err(format!("{path:?} cannot be beside the entry {other:?}"));
        }
        self.0.insert(path, entry);
        Ok(())
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{FORMAT}")?;
        for (path, entry) in &self.0 {
            let path = escaped(path.as_os_str().as_bytes());
            match entry {
                Entry::File(content) => {
                    writeln!(out, "file {path}")?;
                    content.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| write_content(line, out))?;
                }
                Entry::Link(target) => {
                    // In a path, unlike in a target, an arrow would end it.
                    let path = path.replace(ARROW, "\\x20-> ");
                    writeln!(out, "link {path}{ARROW}{}", escaped(target.as_os_str().as_bytes()))?;
                }
                Entry::Folder => writeln!(out, "folder {path}")?,
            }
        }
        Ok(())
    }
}

/// The entry that `line` begins, with its path; `content` stood below it.
fn entry(line: &str, content: Vec<u8>) -> Result<(PathBuf, Entry), String> {
    let path = |text| unescaped(text).map(|bytes| PathBuf::from(OsString::from_vec(bytes)));
    let entry = match line.split_once(' ') {
        Some(("file", name)) => return Ok((path(name)?, Entry::File(content))),
        Some(("folder", name)) => (path(name)?, Entry::Folder),
        Some(("link", rest)) => {
            let (name, target) = rest.split_once(ARROW).ok_or("a link is \"link PATH -> TARGET\"")?;
            (path(name)?, Entry::Link(path(target)?))
        }
        _ => {
            return Err(format!(
                "{line:?} is neither \"file\", \"folder\" nor \"link\" with a path, nor part of a file"
            ));
        }
    };
    if content.is_empty() { Ok(entry) } else { Err("only files hold something".to_owned()) }
}

fn read_content(line: &str, content: &mut Vec<u8>) -> Result<(), String> {
    match line.strip_prefix('|') {
        Some(text) => content.extend([text.as_bytes(), b"\n"].concat()),
        None => content.extend(unescaped(&line[1..])?),
    }
    Ok(())
}

fn write_content(line: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = line.strip_suffix(b"\n").and_then(|text| str::from_utf8(text).ok());
    match text.filter(|text| !text.contains(|c: char| c.is_control() && c != '\t')) {
        Some(text) => writeln!(out, "|{text}"),
        None => line.chunks(PIECE).try_for_each(|piece| writeln!(out, "\\{}", escaped(piece))),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let hexadecimal = |text: &mut String, bytes: &[u8]| text.extend(bytes.iter().map(|byte| format!("\\x{byte:02x}")));
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match ESCAPES.iter().find(|(_, meant)| *meant == c) {
                Some((letter, _)) => text.extend(['\\', *letter]),
                None if c.is_control() => hexadecimal(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => text.push(c),
            }
        }
        hexadecimal(&mut text, chunk.invalid());
    }
    text
}

const ESCAPES: [(char, char); 5] = [('\\', '\\'), ('n', '\n'), ('r', '\r'), ('t', '\t'), ('0', '\0')];

fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('\\');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    while let Some(part) = parts.next() {
        let wrong = || format!("\"\\{part}\" begins with no escape");
        let mut rest = part.chars();
        match rest.next() {
            // Two backslashes, with what is up to the next.
            None => {
                bytes.push(b'\\');
                rest = parts.next().ok_or_else(wrong)?.chars();
            }
            Some('x') => {
                let digits = part.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                bytes.push(u8::from_str_radix(digits.ok_or_else(wrong)?, 16).map_err(|_| wrong())?);
                rest = part[3..].chars();
            }
            Some(letter) => {
                let escape = ESCAPES.iter().find(|(known, _)| *known == letter).ok_or_else(wrong)?;
                bytes.push(escape.1 as u8);
            }
        }
        bytes.extend_from_slice(rest.as_str().as_bytes());
    }
    Ok(bytes)
}

fn of(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}
