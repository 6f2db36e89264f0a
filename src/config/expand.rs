//! What stands for something else in a string of the configuration: variables, files, credentials.

use std::path::Path;

use crate::system::regular_file::{NotRead, PATIENCE, read_text_within};

/// Looks an environment variable up; where credentials cannot be read, also what `credential:NAME` is to stand for.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// A secret is short; what is longer is not one.
const MOST_BYTES: u64 = 64 * 1024;

/// Puts in, for `${NAME}` and `${NAME:-default}`, the environment's values; for `${file:PATH}` what that file holds; for
/// `${credential:NAME}` what systemd's `LoadCredential=NAME:…` gave. Line ends at the end of a file are left out. `$${`
/// stands for a literal `${`.
///
/// # Errors
/// What is missing, and how to mend it.
pub(super) fn expand(text: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(escaped) = before.strip_suffix('$') {
            expanded.push_str(escaped);
            expanded.push_str("${");
            rest = &reference[2..];
            continue;
        }
        expanded.push_str(before);
        let end = reference.find('}').ok_or("expected a closing } after ${; write $${ for a literal ${")?;
        expanded.push_str(&value_of(&reference[2..end], environment)?);
        rest = &reference[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value_of(reference: &str, environment: Environment<'_>) -> Result<String, String> {
    if let Some(path) = reference.strip_prefix("file:") {
        return read(Path::new(path));
    }
    if let Some(name) = reference.strip_prefix("credential:") {
        // Where credentials cannot be read, whoever asks may know what to take for them.
        if let Some(assumed) = environment(reference) {
            return Ok(assumed);
        }
        let folder = environment("CREDENTIALS_DIRECTORY").ok_or_else(|| {
            format!("there is no credential {name}, as CREDENTIALS_DIRECTORY is not set; systemd sets it where the unit has LoadCredential={name}:/a/path")
        })?;
        return read(&Path::new(&folder).join(name));
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let value = environment(name).filter(|value| default.is_none() || !value.is_empty());
    value
        .or_else(|| default.map(str::to_owned))
        .ok_or_else(|| format!("the environment variable {name} is not set; set it or write ${{{name}:-default}}"))
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = read_text_within(path, MOST_BYTES, PATIENCE).map_err(|error| match error.reason {
        NotRead::TooLarge(_) => format!("{}: expected a secret, found more than 64 KiB", path.display()),
        _ => error.to_string(),
    })?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/root".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn the_environment_is_put_into_strings() {
        let expanded = |text| expand(text, &environment);
        assert_eq!(expanded("${HOME}/x").unwrap(), "/root/x");
        assert_eq!(expanded("${NONE:-a:b}").unwrap(), "a:b");
        assert_eq!(expanded("${EMPTY:-d}${EMPTY}").unwrap(), "d");
        assert_eq!(expanded("cost $5 and $${HOME}").unwrap(), "cost $5 and ${HOME}");
        assert!(expanded("${NONE}").unwrap_err().contains("NONE is not set"));
        assert!(expanded("${HOME").is_err());
    }

    #[test]
    fn files_and_credentials_are_put_into_strings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret\r\n").unwrap();
        let credentials = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| folder.path().display().to_string());
        assert_eq!(expand(&format!("a ${{file:{}}} b", path.display()), &environment).unwrap(), "a s3cret b");
        assert_eq!(expand("${credential:token}", &credentials).unwrap(), "s3cret");
        let missing = expand("${credential:other}", &credentials).unwrap_err();
        assert!(missing.contains("/other: No such file"), "{missing}");
        let unset = expand("${credential:token}", &environment).unwrap_err();
        assert!(unset.contains("LoadCredential=token:"), "{unset}");
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(expand("${credential:token}", &credentials).unwrap_err().contains("64 KiB"));
    }
}
