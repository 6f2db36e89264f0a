//! Which points, tags and fields a sink sends, and under which names: Telegraf's selectors and modifiers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::parts::{Parts, escaped, unescaped};
use super::settings::Table;
use crate::config::{Globs, Key, KeyInfo, Section};
use crate::encode::point::Lines;
use crate::encode::remote::Rewrite;

/// What a sink sends of what is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    namepass: Option<Globs>,
    namedrop: Option<Globs>,
    fieldinclude: Option<Globs>,
    fieldexclude: Option<Globs>,
    taginclude: Option<Globs>,
    tagexclude: Option<Globs>,
    name_override: Option<String>,
    name_prefix: String,
    name_suffix: String,
    tagpass: BTreeMap<String, Globs>,
    tagdrop: BTreeMap<String, Globs>,
    rename_tags: BTreeMap<String, String>,
    rename_fields: BTreeMap<String, String>,
}

const NAMEPASS: Key<Globs> = Key::optional("namepass", "Only points of these measurements, as glob patterns.");
const NAMEDROP: Key<Globs> = Key::optional("namedrop", "No points of these measurements.");
const FIELDINCLUDE: Key<Globs> = Key::optional("fieldinclude", "Only these fields; a point without any is left out.");
const FIELDEXCLUDE: Key<Globs> = Key::optional("fieldexclude", "Not these fields.");
const TAGINCLUDE: Key<Globs> = Key::optional("taginclude", "Only these tags; the others are taken off points.");
const TAGEXCLUDE: Key<Globs> = Key::optional("tagexclude", "These tags are taken off points.");
const NAME_OVERRIDE: Key<String> = Key::optional("name_override", "The measurement of every point.");
const NAME_PREFIX: Key<String> = Key::new("name_prefix", "\"\"", "Put in front of every measurement.");
const NAME_SUFFIX: Key<String> = Key::new("name_suffix", "\"\"", "Put behind every measurement.");

/// The settings in a sink's section.
pub(super) const KEYS: [KeyInfo; 9] = [
    NAMEPASS.info(),
    NAMEDROP.info(),
    FIELDINCLUDE.info(),
    FIELDEXCLUDE.info(),
    TAGINCLUDE.info(),
    TAGEXCLUDE.info(),
    NAME_OVERRIDE.info(),
    NAME_PREFIX.info(),
    NAME_SUFFIX.info(),
];
/// The tables below it.
pub(super) const TABLES: [Table; 4] = [TAGPASS, TAGDROP, RENAME_TAGS, RENAME_FIELDS];
/// Those of a sink that sends series.
pub(super) const TABLES_OF_SERIES: [Table; 3] = [TAGPASS, TAGDROP, RENAME_TAGS];

const TAGPASS: Table =
    ("tagpass", "Only points that have one of these tags with one of these values, as glob patterns.", &[]);
const TAGDROP: Table = ("tagdrop", "No points that have one of these tags with one of these values.", &[]);
const RENAME_TAGS: Table = ("rename_tags", "Other names for tags.", &[]);
const RENAME_FIELDS: Table = ("rename_fields", "Other names for fields.", &[]);

/// The settings that series have no use for, which have no fields.
const OF_FIELDS: [&str; 3] = ["fieldinclude", "fieldexclude", "rename_fields"];

/// Those of a sink that sends series.
pub(super) const KEYS_OF_SERIES: [KeyInfo; 7] = [
    NAMEPASS.info(),
    NAMEDROP.info(),
    TAGINCLUDE.info(),
    TAGEXCLUDE.info(),
    NAME_OVERRIDE.info(),
    NAME_PREFIX.info(),
    NAME_SUFFIX.info(),
];

/// Reports settings that mean nothing for series.
pub(super) fn refuse_fields(section: &Section<'_>) {
    let keys: Vec<&str> = section.keys().collect();
    for key in OF_FIELDS.iter().filter(|key| keys.contains(key)) {
        section.wrong(key, "series have no fields; namepass, namedrop and tags choose among them");
    }
}

impl Filter {
    /// The settings in a sink's section.
    pub(super) fn new(section: &mut Section<'_>) -> Filter {
        Filter {
            namepass: section.optional(&NAMEPASS),
            namedrop: section.optional(&NAMEDROP),
            fieldinclude: section.optional(&FIELDINCLUDE),
            fieldexclude: section.optional(&FIELDEXCLUDE),
            taginclude: section.optional(&TAGINCLUDE),
            tagexclude: section.optional(&TAGEXCLUDE),
            name_override: section.optional(&NAME_OVERRIDE),
            name_prefix: section.get(&NAME_PREFIX),
            name_suffix: section.get(&NAME_SUFFIX),
            tagpass: section.table("tagpass").entries(),
            tagdrop: section.table("tagdrop").entries(),
            rename_tags: section.table("rename_tags").strings(),
            rename_fields: section.table("rename_fields").strings(),
        }
    }

    /// Whether it leaves everything as it is.
    pub fn is_plain(&self) -> bool {
        *self == Filter::default()
    }

    /// The same for series; nothing if it leaves them as they are.
    pub fn of_series(&self) -> Option<Box<dyn Rewrite>> {
        if self.is_plain() { None } else { Some(Box::new(self.clone())) }
    }

    /// What is left of `lines`.
    pub fn apply(&self, lines: &Lines) -> Lines {
        let (mut left, mut out) = (Lines::default(), Vec::new());
        for line in lines.iter() {
            out.clear();
            // What is not a point is none of ours; it stays as it is.
            match Parts::of(line) {
                Some(parts) if self.write(&parts, &mut out) => left.push(&out),
                Some(_) => {}
                None => left.push(line),
            }
        }
        left
    }

    /// Writes a point as it is left, unless nothing is.
    fn write(&self, parts: &Parts<'_>, out: &mut Vec<u8>) -> bool {
        let name = unescaped(parts.measurement);
        if !passes(self.namepass.as_ref(), self.namedrop.as_ref(), &name) || !self.tags_pass(parts) {
            return false;
        }
        self.write_name(parts.measurement, out);
        let mut tags: Vec<(Cow<'_, [u8]>, &[u8])> = Vec::new();
        for (key, value) in &parts.tags {
            if passes(self.taginclude.as_ref(), self.tagexclude.as_ref(), &unescaped(key)) {
                tags.push((renamed(&self.rename_tags, key), value));
            }
        }
        tags.sort();
        tags.dedup_by(|later, earlier| later.0 == earlier.0);
        for (key, value) in tags {
            out.extend([b",", &*key, b"=", value].concat());
        }
        let mut separator = b' ';
        for (key, value) in &parts.fields {
            if passes(self.fieldinclude.as_ref(), self.fieldexclude.as_ref(), &unescaped(key)) {
                out.push(separator);
                out.extend([&*renamed(&self.rename_fields, key), b"=", value].concat());
                separator = b',';
            }
        }
        out.extend_from_slice(parts.time);
        separator == b','
    }

    fn tags_pass(&self, parts: &Parts<'_>) -> bool {
        let has_one_of = |wanted: &BTreeMap<String, Globs>| {
            parts
                .tags
                .iter()
                .any(|(key, value)| wanted.get(&*unescaped(key)).is_some_and(|globs| globs.matches(&unescaped(value))))
        };
        (self.tagpass.is_empty() || has_one_of(&self.tagpass)) && !has_one_of(&self.tagdrop)
    }

    fn name_of(&self, name: &str) -> String {
        format!("{}{}{}", self.name_prefix, self.name_override.as_deref().unwrap_or(name), self.name_suffix)
    }

    fn write_name(&self, name: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&escaped(&self.name_prefix, b", "));
        match &self.name_override {
            Some(name) => out.extend_from_slice(&escaped(name, b", ")),
            None => out.extend_from_slice(name),
        }
        out.extend_from_slice(&escaped(&self.name_suffix, b", "));
    }
}

/// A series' name is the measurement, and its labels are the tags.
impl Rewrite for Filter {
    fn family(&self, name: &str) -> Option<String> {
        // Under one name for all, the last family's type would be everybody's.
        let is_told = self.name_override.is_none() && passes(self.namepass.as_ref(), self.namedrop.as_ref(), name);
        is_told.then(|| self.name_of(name))
    }

    fn series(&self, name: &str, labels: &[(&str, &str)]) -> Option<(String, Vec<(String, String)>)> {
        let has_one_of = |wanted: &BTreeMap<String, Globs>| {
            labels.iter().any(|(key, value)| wanted.get(*key).is_some_and(|globs| globs.matches(value)))
        };
        let is_wanted = passes(self.namepass.as_ref(), self.namedrop.as_ref(), name)
            && (self.tagpass.is_empty() || has_one_of(&self.tagpass))
            && !has_one_of(&self.tagdrop);
        if !is_wanted {
            return None;
        }
        let is_left = |(key, _): &&(&str, &str)| passes(self.taginclude.as_ref(), self.tagexclude.as_ref(), key);
        let renamed = |(key, value): &(&str, &str)| {
            (self.rename_tags.get(*key).map_or(*key, String::as_str).to_owned(), (*value).to_owned())
        };
        let left: BTreeMap<String, String> = labels.iter().filter(is_left).map(renamed).collect();
        Some((self.name_of(name), left.into_iter().collect()))
    }
}

fn passes(include: Option<&Globs>, exclude: Option<&Globs>, name: &str) -> bool {
    include.is_none_or(|globs| globs.matches(name)) && !exclude.is_some_and(|globs| globs.matches(name))
}

fn renamed<'k>(names: &BTreeMap<String, String>, key: &'k [u8]) -> Cow<'k, [u8]> {
    match names.get(&*unescaped(key)) {
        Some(name) => Cow::Owned(escaped(name, b",= ")),
        None => Cow::Borrowed(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    const POINTS: &str = "cpu,cpu=cpu0,host=a usage_idle=1,usage_user=2 5\n\
                          disk,host=a,path=/mnt/my\\ disk,x\\=y=1 free=3i,label=\"a, b=c \\\" d\" 5\n\
                          mem,host=b free=4i 5\n";

    fn filtered(settings: &str) -> String {
        let document = Document::parse("t", settings, &|_| None).unwrap();
        let filter = Section::check(&document, Filter::new).unwrap_or_else(|problems| panic!("{problems}"));
        let mut lines = Lines::default();
        POINTS.split_inclusive('\n').for_each(|line| lines.push(line.as_bytes()));
        String::from_utf8(filter.apply(&lines).bytes().to_vec()).unwrap()
    }

    #[test]
    fn points_are_selected_by_measurement_and_tags() {
        assert_eq!(filtered(""), POINTS);
        assert_eq!(filtered("namepass = ['c*', 'mem']\nnamedrop = 'cpu'"), "mem,host=b free=4i 5\n");
        assert_eq!(filtered("[tagpass]\nhost = 'b*'\ncpu = ['cpu0']").lines().count(), 2);
        assert_eq!(filtered("[tagdrop]\npath = '/mnt/my disk'").lines().count(), 2);
    }

    #[test]
    fn tags_and_fields_are_taken_off_and_points_without_fields_left_out() {
        assert_eq!(
            filtered("fieldinclude = 'free'\ntaginclude = ['path', 'x=y']"),
            "disk,path=/mnt/my\\ disk,x\\=y=1 free=3i 5\nmem free=4i 5\n"
        );
        assert_eq!(
            filtered("namepass = 'disk'\nfieldexclude = 'free'\ntagexclude = '*'"),
            "disk label=\"a, b=c \\\" d\" 5\n"
        );
    }

    #[test]
    fn what_passes_is_left_byte_by_byte() {
        let filter = Filter { namepass: Some(Globs::new(vec!["*".to_owned()]).unwrap()), ..Filter::default() };
        let hosts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
        let mut checked = 0;
        for host in std::fs::read_dir(hosts).unwrap().map(|entry| entry.unwrap().path()) {
            let Ok(text) = std::fs::read_to_string(host.join("expected.influx")) else { continue };
            let mut lines = Lines::default();
            text.split_inclusive('\n').for_each(|line| lines.push(line.as_bytes()));
            assert_eq!(String::from_utf8_lossy(filter.apply(&lines).bytes()), text, "{}", host.display());
            checked += lines.count();
        }
        assert!(checked > 500, "{checked}");
    }

    #[test]
    fn names_are_changed() {
        assert_eq!(
            filtered(
                "namepass = 'cpu'\nname_prefix = 'my '\nname_suffix = '_1'\n[rename_tags]\nhost = 'a host'\n[rename_fields]\nusage_idle = 'i,dle'"
            ),
            "my\\ cpu_1,a\\ host=a,cpu=cpu0 i\\,dle=1,usage_user=2 5\n"
        );
        assert_eq!(filtered("namepass = 'mem'\nname_override = 'm'"), "m,host=b free=4i 5\n");
        // A tag that is there already keeps its value or takes the other's, but is there once.
        assert_eq!(filtered("namepass = 'cpu'\n[rename_tags]\ncpu = 'host'").matches("host=").count(), 1);
    }
}
