//! Chosen settings of the kernel.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::encode::family::Value;
use crate::host::{Host, HostFile, ReadError};

/// Files below `/proc/sys`: sysctl(8).
pub(super) struct Sysctl {
    settings: Vec<Setting>,
}

struct Setting {
    name: String,
    file: HostFile,
    /// What the numbers of the file are called, if they have names.
    parts: Vec<String>,
    is_text: bool,
}

const INCLUDE: Key<Vec<String>> = Key::new(
    "include",
    "[]",
    "Settings that are numbers, `kernel.threads-max`; of several numbers, their names may follow: `fs.file-nr:total,current,max`.",
);
const INCLUDE_INFO: Key<Vec<String>> = Key::new("include_info", "[]", "Settings that are texts, which become labels.");

impl Collector for Sysctl {
    const ABOUT: About = About {
        name: "sysctl",
        summary: "settings of the kernel that are chosen",
        reads: &["/proc/sys/**"],
        on_by_default: Vocabularies::NONE,
        keys: &[INCLUDE.info(), INCLUDE_INFO.info()],
        families: &[NUMBER.info(), INFO.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let (numbers, texts) = (section.get(&INCLUDE), section.get(&INCLUDE_INFO));
        let mut settings = Vec::new();
        for (key, wanted, is_text) in [("include", numbers, false), ("include_info", texts, true)] {
            for text in wanted {
                let (name, parts) = text.split_once(':').unwrap_or((&text, ""));
                if name.split('.').any(|part| part.is_empty() || part.contains('/') || part == "..") {
                    section.wrong(
                        key,
                        format!("expected the name of a setting, such as kernel.threads-max, found {text:?}"),
                    );
                }
                settings.push(Setting {
                    file: host.proc(format!("sys/{}", name.replace('.', "/"))).one_record(),
                    name: name.to_owned(),
                    parts: parts.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
                    is_text,
                });
            }
        }
        Sysctl { settings }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for setting in &mut self.settings {
            let read = setting.read(cx.buffer, reading);
            if let Err(problem) = read {
                cx.problem(problem);
            }
        }
        Ok(())
    }
}

impl Setting {
    fn read(&mut self, buffer: &mut Vec<u8>, reading: &mut Gathered) -> Result<(), ReadError> {
        let text = self.file.read(buffer)?;
        let line = text.first_line();
        if self.is_text {
            reading.put(&INFO, ["0", &self.name, &text.trimmed()], 1u64);
            return Ok(());
        }
        let mut numbers = Vec::new();
        for field in line.fields() {
            let digits = std::str::from_utf8(field).ok();
            let number = digits.and_then(|digits| {
                digits.parse().map(Value::Signed).or_else(|_| digits.parse().map(Value::Float)).ok()
            });
            numbers.push(number.ok_or_else(|| line.malformed("numbers", field))?);
        }
        match (numbers.as_slice(), self.parts.is_empty()) {
            ([number], true) => reading.put_keyed(&NUMBER_ALONE, &self.name, [], *number),
            (numbers, true) => {
                for (index, number) in numbers.iter().enumerate() {
                    reading.put_keyed(&NUMBER, &self.name, [&index.to_string()], *number);
                }
            }
            (numbers, false) => {
                for (part, number) in self.parts.iter().zip(numbers) {
                    reading.put_keyed(&NUMBER_ALONE, &format!("{}_{part}", self.name), [], *number);
                }
            }
        }
        Ok(())
    }
}

const NUMBER: Family<1> =
    Family::untyped("node_sysctl_KEY", "What the setting is; `index` tells several numbers apart.", ["index"]);
const NUMBER_ALONE: Family<0> = Family::untyped("node_sysctl_KEY", "What the setting is.", []);
const INFO: Family<3> = Family::gauge("node_sysctl_info", "What the setting is; 1.", ["index", "name", "value"]);
