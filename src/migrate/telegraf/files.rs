//! The files that Telegraf reads.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::migrate::input_file::{FileError, read_text};

/// The names and texts of files. Of a directory, these are the `*.conf` in it and in all directories below it, in the
/// order of their paths.
///
/// # Errors
/// One of them cannot be read.
pub fn configuration_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, FileError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    let read = |path: &PathBuf| Ok((path.display().to_string(), read_text(path)?));
    files.iter().map(read).collect()
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let entries = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>());
    let mut entries = entries.map_err(FileError::of(directory))?;
    entries.sort();
    for entry in entries {
        // Directories such as `..data` are Kubernetes's, and their files are there a second time.
        let is_hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
        let is_link = entry.symlink_metadata().is_ok_and(|entry| entry.is_symlink());
        match entry.is_dir() {
            true if !is_hidden && !is_link => walk(&entry, files)?,
            // A FIFO would hold the command up.
            false if entry.is_file() && entry.extension().is_some_and(|extension| extension == "conf") => {
                files.push(entry)
            }
            _ => {}
        }
    }
    Ok(())
}
