//! References in strings: variables, files, credentials.

use std::ffi::OsString;
use std::path::Path;

use crate::system::regular_file::{READ_TIMEOUT, ReadFailure, read_text_within};

/// Looks up an environment variable, which may hold any bytes. Where credentials are unavailable, also the value of
/// `credential:NAME`.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// Maximum size of a secret.
const MAX_BYTES: u64 = 64 * 1024;

/// Expands `${NAME}` and `${NAME:-default}` from the environment, `${file:PATH}` to the content of a file, and
/// `${credential:NAME}` to a credential of systemd's `LoadCredential=NAME:…`. Trailing line ends of files are removed.
/// `$${` is a literal `${`, and `${1}` a group of a regular expression, which stays.
///
/// # Errors
/// What is missing, and the fix.
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
        match &reference[2..end] {
            group if !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()) => {
                expanded.push_str(&reference[..=end]);
            }
            name => expanded.push_str(&value_of(name, environment)?),
        }
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
        // The caller may supply a value where credentials are unavailable.
        if let Some(assumed) = environment(reference) {
            return text_of(reference, assumed);
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
        .or_else(|| default.map(OsString::from))
        .ok_or_else(|| format!("the environment variable {name} is not set; set it or write ${{{name}:-default}}"))
        .and_then(|value| text_of(name, value))
}

/// The value of a variable as text. The message omits it, as it may be a secret.
fn text_of(name: &str, value: OsString) -> Result<String, String> {
    value
        .into_string()
        .map_err(|_| format!("the environment variable {name}: expected text in UTF-8, found other bytes"))
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = read_text_within(path, MAX_BYTES, READ_TIMEOUT).map_err(|error| match error.reason {
        ReadFailure::TooLarge(_) => format!("{}: expected a secret, found more than 64 KiB", path.display()),
        _ => error.to_string(),
    })?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<OsString> {
        match name {
            "HOME" => Some("/root".into()),
            "EMPTY" => Some(OsString::new()),
            _ => None,
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_told_and_no_default_takes_its_place() {
        use std::os::unix::ffi::OsStringExt;

        let environment = |_: &str| Some(OsString::from_vec(b"s3cret\xff".to_vec()));
        for text in ["${TOKEN}", "${TOKEN:-other}"] {
            let problem = expand(text, &environment).unwrap_err();
            assert!(problem.contains("TOKEN: expected text") && !problem.contains("s3cret"), "{problem}");
        }
    }

    #[test]
    fn the_environment_is_put_into_strings() {
        let expanded = |text| expand(text, &environment);
        assert_eq!(expanded("${HOME}/x").unwrap(), "/root/x");
        assert_eq!(expanded("${NONE:-a:b}").unwrap(), "a:b");
        assert_eq!(expanded("${EMPTY:-d}${EMPTY}").unwrap(), "d");
        assert_eq!(expanded("cost $5 and $${HOME}").unwrap(), "cost $5 and ${HOME}");
        assert_eq!(expanded("${1}-${HOME}-$2").unwrap(), "${1}-/root-$2", "an environment variable is no number");
        assert!(expanded("${NONE}").unwrap_err().contains("NONE is not set"));
        assert!(expanded("${HOME").is_err());
    }

    #[test]
    fn files_and_credentials_are_put_into_strings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret\r\n").unwrap();
        let credentials = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| folder.path().as_os_str().to_owned());
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
