//! Operating system release.

use std::collections::HashMap;
use std::sync::Arc;

use crate::collectors::framework::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter};
use crate::host::portable::Names;
use crate::host::{Host, ReadError, Text, Watched};

pub(super) struct Os {
    files: [Watched<Arc<Release>>; 2],
}

/// Variables of os-release(5) by name.
type Release = HashMap<String, String>;

/// Content of `/etc/os-release`.
#[derive(Default)]
pub(super) struct OsReading {
    release: Arc<Release>,
}

impl Collector for Os {
    const ABOUT: About = About {
        name: "os",
        summary: "operating system release",
        reads: &["/etc/os-release", "/usr/lib/os-release"],
        families: &[INFO.info(), VERSION.info(), SUPPORT_END.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = OsReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        let files = ["etc/os-release", "usr/lib/os-release"];
        Os { files: files.map(|path| Watched::new(host.root_path(path))) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut OsReading) -> Result<(), ReadError> {
        if let Some(portable) = cx.host.by_sysinfo() {
            let Names { id, name, version, pretty_name, .. } = portable.names();
            let variables = [("ID", id), ("NAME", name), ("VERSION_ID", version), ("PRETTY_NAME", pretty_name)];
            reading.release = Arc::new(variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
            return Ok(());
        }
        let [etc, usr_lib] = &mut self.files;
        let release = match etc.get(cx.buffer, read_release) {
            Err(error) if error.is_absent() => usr_lib.get(cx.buffer, read_release),
            release => release,
        };
        reading.release = Arc::default();
        reading.release = release?.clone();
        Ok(())
    }
}

fn read_release(text: Text<'_>) -> Arc<Release> {
    let assignment = |line: crate::host::Line<'_>| {
        let line = String::from_utf8_lossy(line.bytes().trim_ascii()).into_owned();
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        Some((name.to_owned(), unquote(value)))
    };
    Arc::new(text.lines().filter_map(assignment).collect())
}

/// Removes the shell quoting from a value.
fn unquote(value: &str) -> String {
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(literal) = quoted('\'') {
        return literal.to_owned();
    }
    let mut plain = String::with_capacity(value.len());
    let mut characters = quoted('"').unwrap_or(value).chars();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}

const INFO: Family<12> = Family::gauge(
    "node_os_info",
    "Operating system release from os-release(5), always 1",
    [
        "build_id",
        "id",
        "id_like",
        "image_id",
        "image_version",
        "name",
        "pretty_name",
        "variant",
        "variant_id",
        "version",
        "version_codename",
        "version_id",
    ],
);
const VERSION: Family<3> =
    Family::gauge("node_os_version", "Operating system version as MAJOR.MINOR", ["id", "id_like", "name"]);
const SUPPORT_END: Family<0> =
    Family::gauge("node_os_support_end_timestamp_seconds", "End of support of the operating system, in Unix time", []);

impl Reading for OsReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if self.release.is_empty() {
            return;
        }
        let get = |name: &str| self.release.get(name).map_or("", String::as_str);
        let labels = [
            "BUILD_ID",
            "ID",
            "ID_LIKE",
            "IMAGE_ID",
            "IMAGE_VERSION",
            "NAME",
            "PRETTY_NAME",
            "VARIANT",
            "VARIANT_ID",
            "VERSION",
            "VERSION_CODENAME",
            "VERSION_ID",
        ];
        out.family(&INFO).sample(labels.map(get), 1u64);
        if let Some(version) = major_and_minor(get("VERSION_ID")) {
            out.family(&VERSION).sample([get("ID"), get("ID_LIKE"), get("NAME")], version);
        }
        if let Some(end) = midnight(get("SUPPORT_END")) {
            out.value(&SUPPORT_END, end);
        }
    }
}

/// Returns 22.04 for `22.04.1`.
fn major_and_minor(version: &str) -> Option<f64> {
    let mut parts = version.split('.');
    let major = parts.next().filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))?;
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    format!("{major}.{}0", parts.next().map(digits).unwrap_or_default()).parse().ok()
}

/// Unix time at 00:00 UTC of a day such as `2026-06-10`.
fn midnight(day: &str) -> Option<i64> {
    let mut parts = day.splitn(3, '-').map(|part| part.parse::<u16>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    tz::UtcDateTime::new(i32::from(year), month, day, 0, 0, 0, 0).ok().map(|time| time.unix_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lose_their_shell_quoting() {
        let plain = [r#""Debian GNU/Linux 12""#, r#"'a"b'"#, "debian", r#""say \"hi\" \$5""#].map(unquote);
        assert_eq!(plain, ["Debian GNU/Linux 12", "a\"b", "debian", "say \"hi\" $5"]);
    }

    #[test]
    fn a_version_becomes_a_number() {
        let numbers = ["12", "22.04", "9.3.1", "rolling", "", "3x"].map(major_and_minor);
        assert_eq!(numbers, [Some(12.0), Some(22.04), Some(9.3), None, None, None]);
        assert_eq!(midnight("2026-06-10"), Some(1_781_049_600));
        assert_eq!(midnight("soon"), None);
    }
}
