//! Selected sysctls.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::encode::family::Value;
use crate::host::text::Number;
use crate::host::{Host, HostFile, Line, ReadError};

/// Files below `/proc/sys`: sysctl(8).
pub(super) struct Sysctl {
    settings: Vec<Setting>,
}

struct Setting {
    name: String,
    file: HostFile,
    /// Names of the numbers in the file, if given.
    parts: Vec<String>,
    is_text: bool,
}

const INCLUDE: Key<Vec<String>> = Key::new(
    "include",
    "[]",
    "Numeric sysctls, `kernel.threads-max`; for several numbers with their names: `fs.file-nr:total,current,max`.",
);
const INCLUDE_INFO: Key<Vec<String>> =
    Key::new("include_info", "[]", "Text sysctls; each word becomes a label, numbered by `index`.");

impl Collector for Sysctl {
    const ABOUT: About = About {
        name: "sysctl",
        summary: "selected sysctls",
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
            for (index, text) in wanted.into_iter().enumerate() {
                let (name, parts) = text.split_once(':').unwrap_or((&text, ""));
                if name.split('.').any(|part| part.is_empty() || part.contains('/') || part == "..") {
                    section.wrong_element(
                        key,
                        index,
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
        if self.is_text {
            for (index, word) in text.lines().flat_map(Line::fields).enumerate() {
                reading.put(&INFO, [&index.to_string(), &self.name, &String::from_utf8_lossy(word)], 1u64);
            }
            return Ok(());
        }
        let line = text.first_line();
        let mut numbers = Vec::new();
        for field in line.fields() {
            let number = i128::parse(field).map(Value::from).or_else(|| f64::parse(field).map(Value::Float));
            numbers.push(number.ok_or_else(|| line.malformed("numbers", field))?);
        }
        match (numbers.as_slice(), self.parts.is_empty()) {
            ([number], true) => reading.put_keyed(&SINGLE_NUMBER, &self.name, [], *number),
            (numbers, true) => {
                for (index, number) in numbers.iter().enumerate() {
                    reading.put_keyed(&NUMBER, &self.name, [&index.to_string()], *number);
                }
            }
            (numbers, false) => {
                for (part, number) in self.parts.iter().zip(numbers) {
                    reading.put_keyed(&SINGLE_NUMBER, &format!("{}_{part}", self.name), [], *number);
                }
            }
        }
        Ok(())
    }
}

const NUMBER: Family<1> =
    Family::untyped("node_sysctl_KEY", "Value of the sysctl; `index` is the position of the number", ["index"]);
const SINGLE_NUMBER: Family<0> = Family::untyped("node_sysctl_KEY", "Value of the sysctl", []);
const INFO: Family<3> =
    Family::gauge("node_sysctl_info", "Word of the sysctl by its position, always 1", ["index", "name", "value"]);
