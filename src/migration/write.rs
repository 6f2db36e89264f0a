//! Writes the settings, and the lines that Telegraf still needs.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use taffrail::migrate::check::{Checked, FILE};
use taffrail::migrate::translation::Translation;
use taffrail::say;

use crate::Failure;

/// Writes the lines that Telegraf still needs into a new file, which others cannot read: they may contain secrets.
pub(super) fn write_kept(file: &Path, files: &[(String, String)], translation: &Translation) -> Result<(), Failure> {
    let (kept, mut text) = (translation.kept(), String::new());
    for (name, content) in files {
        let Some(kept) = kept.get(name) else { continue };
        let lines = content.lines().zip(1..).filter(|(_, number)| kept.contains(number));
        lines.for_each(|(line, _)| text.extend([line, "\n"]));
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let written = options.open(file).and_then(|mut new| new.write_all(text.as_bytes()));
    written.map_err(|error| format!("{}: cannot be written: {error}", file.display()))?;
    say!("wrote {}", file.display());
    Ok(())
}

/// Writes the settings. They may contain secrets, so only the owner and the group of the folder may read them. An earlier file
/// that differs is kept beside it.
pub(super) fn write(folder: &Path, checked: &Checked) -> Result<PathBuf, Failure> {
    let file = folder.join(FILE);
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| Failure::from(format!("{path}: cannot be written: {error}"))
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    if fs::symlink_metadata(&file).is_ok() && fs::read(&file).ok().as_deref() != Some(checked.toml.as_bytes()) {
        let mut numbers = 1..;
        let kept = loop {
            let kept = folder.join(format!("{FILE}.{}", numbers.next().unwrap_or(u32::MAX)));
            if fs::symlink_metadata(&kept).is_err() {
                break kept;
            }
        };
        fs::rename(&file, &kept).map_err(failed(&kept))?;
        say!("kept the earlier {} as {}", file.display(), kept.display());
    }
    // A new file under another name: what the name may be a link to stays.
    let mut new = tempfile_in(folder).map_err(failed(folder))?;
    new.1.write_all(checked.toml.as_bytes()).and_then(|()| fs::rename(&new.0, &file)).map_err(|error| {
        let _ = fs::remove_file(&new.0);
        failed(&file)(error)
    })?;
    Ok(file)
}

/// A new file in a folder, of the folder's group.
fn tempfile_in(folder: &Path) -> io::Result<(PathBuf, fs::File)> {
    let path = folder.join(format!(".{FILE}.{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let file = options.open(&path)?;
    #[cfg(unix)]
    {
        let group = std::os::unix::fs::MetadataExt::gid(&fs::metadata(folder)?);
        // Who may not give it away has the group already, or is the only reader.
        let _ = std::os::unix::fs::chown(&path, None, Some(group));
    }
    Ok((path, file))
}
