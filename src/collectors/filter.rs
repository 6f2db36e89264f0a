//! Filters and renames points, tags and fields, of a sink or a collector: Telegraf's selectors and modifiers.

use std::collections::BTreeMap;

use crate::config::{Globs, Key, KeyInfo, Section, TableInfo};
use crate::encode::point::PointEncoder;
use crate::encode::remote::Rewrite;
use crate::encode::tags::{CommonTags, RESERVED_TAG};
use crate::encode::whole::{WholePoint, WholePoints};
use crate::encode::{PointWriter, Timestamp};

/// Selects and renames points.
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
const FIELDEXCLUDE: Key<Globs> = Key::optional("fieldexclude", "All fields except these.");
const TAGINCLUDE: Key<Globs> = Key::optional("taginclude", "Only these tags; all others are removed from points.");
const TAGEXCLUDE: Key<Globs> = Key::optional("tagexclude", "Removes these tags from points.");
const NAME_OVERRIDE: Key<String> = Key::optional("name_override", "Replaces the measurement of every point.");
const NAME_PREFIX: Key<String> = Key::new("name_prefix", "\"\"", "Prefix of every measurement.");
const NAME_SUFFIX: Key<String> = Key::new("name_suffix", "\"\"", "Suffix of every measurement.");

/// The settings in a sink's section.
pub(crate) const KEYS: &[KeyInfo] = &[
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
pub(crate) const TABLES: &[TableInfo] = &[TAGPASS, TAGDROP, RENAME_TAGS, RENAME_FIELDS];

const TAGPASS: TableInfo = TableInfo::open(
    "tagpass",
    "Keeps only points that have one of these tags with one of these values, as glob patterns.",
);
const TAGDROP: TableInfo =
    TableInfo::open("tagdrop", "Drops points that have one of these tags with one of these values, as glob patterns.");
const RENAME_TAGS: TableInfo = TableInfo::open("rename_tags", "Renames tags: old name, with the new one.");
const RENAME_FIELDS: TableInfo = TableInfo::open("rename_fields", "Renames fields: old name, with the new one.");

/// The settings that do not apply to series, which have no fields.
const OF_FIELDS: [&str; 3] = ["fieldinclude", "fieldexclude", "rename_fields"];

/// Reports settings that do not apply to series.
pub(crate) fn refuse_fields(section: &Section<'_>) {
    let keys: Vec<&str> = section.keys().collect();
    for key in OF_FIELDS.iter().filter(|key| keys.contains(key)) {
        section.wrong(key, "series have no fields; namepass, namedrop and tags choose among them");
    }
}

impl Filter {
    /// The settings in a section.
    pub(crate) fn new(section: &mut Section<'_>) -> Filter {
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
            rename_tags: renamed_tags(section.table("rename_tags")),
            rename_fields: section.table("rename_fields").strings(),
        }
    }

    /// Whether it changes nothing.
    pub fn is_plain(&self) -> bool {
        *self == Filter::default()
    }

    /// The filter for series; none if it changes nothing.
    pub fn of_series(&self) -> Option<Box<dyn Rewrite>> {
        if self.is_plain() { None } else { Some(Box::new(self.clone())) }
    }

    /// An encoder that filters each point before `encoder`.
    pub fn before<'f>(&'f self, encoder: &'f mut dyn PointEncoder) -> impl PointEncoder + 'f {
        WholePoints::new(move |point, time| self.write(point, time, &mut *encoder))
    }

    /// Writes the filtered point, unless nothing remains.
    fn write(&self, point: &WholePoint, time: Timestamp, out: &mut dyn PointEncoder) {
        let is_left = |key: &str| passes(self.fieldinclude.as_ref(), self.fieldexclude.as_ref(), key);
        if !self.is_wanted(point.measurement(), point.tags()) {
            return;
        }
        let none = CommonTags::default();
        let mut writer = PointWriter::new(out, &none, time);
        let mut left = writer.free_point(&self.name_of(point.measurement()), self.tags_of(point).into_iter());
        for (key, value) in point.fields().filter(|(key, _)| is_left(key)) {
            left.free_value(self.rename_fields.get(key).map_or(key, String::as_str), value);
        }
    }

    /// The remaining tags of a point under their new names, sorted and unique.
    fn tags_of<'p>(&'p self, point: &'p WholePoint) -> Vec<(&'p str, &'p str)> {
        let is_left = |(key, _): &(&str, &str)| passes(self.taginclude.as_ref(), self.tagexclude.as_ref(), key);
        let renamed = |(key, value)| (self.rename_tags.get(key).map_or(key, String::as_str), value);
        let mut tags: Vec<(&str, &str)> = point.tags().filter(is_left).map(renamed).collect();
        tags.sort_unstable();
        tags.dedup_by_key(|(key, _)| *key);
        tags
    }

    /// Whether a measurement with these tags passes.
    fn is_wanted<'t>(&self, name: &str, tags: impl Iterator<Item = (&'t str, &'t str)> + Clone) -> bool {
        let has_one_of = |wanted: &BTreeMap<String, Globs>| {
            tags.clone().any(|(key, value)| wanted.get(key).is_some_and(|globs| globs.matches(value)))
        };
        passes(self.namepass.as_ref(), self.namedrop.as_ref(), name)
            && (self.tagpass.is_empty() || has_one_of(&self.tagpass))
            && !has_one_of(&self.tagdrop)
    }

    fn name_of(&self, name: &str) -> String {
        format!("{}{}{}", self.name_prefix, self.name_override.as_deref().unwrap_or(name), self.name_suffix)
    }
}

/// A series' name is the measurement, and its labels are the tags.
impl Rewrite for Filter {
    fn family(&self, name: &str) -> Option<String> {
        // With one name for all families, the last one's type would apply to all.
        let is_told = self.name_override.is_none() && passes(self.namepass.as_ref(), self.namedrop.as_ref(), name);
        is_told.then(|| self.name_of(name))
    }

    fn series(&self, name: &str, labels: &[(&str, &str)]) -> Option<(String, Vec<(String, String)>)> {
        if !self.is_wanted(name, labels.iter().copied()) {
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

/// The tags in `section`.
pub fn tags(section: Section<'_>) -> BTreeMap<String, String> {
    if section.keys().any(|key| key == RESERVED_TAG) {
        section.wrong(RESERVED_TAG, RESERVED);
    }
    section.strings()
}

/// The new names of tags in `section`.
fn renamed_tags(section: Section<'_>) -> BTreeMap<String, String> {
    section.strings_that(|_, new| if new == RESERVED_TAG { Err(RESERVED) } else { Ok(()) })
}

const RESERVED: &str = "expected another name: InfluxDB rejects every point with a tag of this one";

/// The points of one collector: its filter, and the tags that they get.
#[derive(Debug, PartialEq, Eq)]
pub struct CollectorPoints {
    filter: Filter,
    /// They override common tags, not those of a point.
    tags: BTreeMap<String, String>,
}

/// The table of a collector's tags.
pub(crate) const COLLECTOR_TAGS: TableInfo =
    TableInfo::open("tags", "Tags of every point of the collector, in addition to `[tags]` and those of the sink.");

impl CollectorPoints {
    /// The settings in `[collectors.NAME.points]`, which has those of the collector too. `None` if they change nothing.
    pub(crate) fn new(collector: &mut Section<'_>) -> Option<CollectorPoints> {
        const TABLE: &str = "points";
        let keys = KEYS.iter().map(|key| key.name);
        collector.share(TABLE, keys.chain(TABLES.iter().chain([&COLLECTOR_TAGS]).map(|table| table.name)));
        let mut section = collector.table(TABLE);
        section.open();
        let points =
            CollectorPoints { filter: Filter::new(&mut section), tags: tags(section.table(COLLECTOR_TAGS.name)) };
        let changes = !points.filter.is_plain() || !points.tags.is_empty();
        changes.then_some(points)
    }

    /// Calls `write` with a writer whose points get the tags and pass the filter before `out`.
    pub(crate) fn write(&self, out: &mut PointWriter<'_>, write: impl FnOnce(&mut PointWriter<'_>)) {
        out.through(&self.tags, |encoder| self.filter.before(encoder), write);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::encode::line::LineEncoder;
    use crate::encode::lines::Lines;

    fn write(encoder: &mut dyn PointEncoder) {
        let none = CommonTags::default();
        let mut out = PointWriter::new(encoder, &none, Timestamp(5));
        let mut cpu = out.free_point("cpu", [("cpu", "cpu0"), ("host", "a")].into_iter());
        cpu.free_field::<f64>(&["usage_idle"], 1.0).free_field::<f64>(&["usage_user"], 2.0);
        drop(cpu);
        let tags = [("host", "a"), ("path", "/mnt/my disk"), ("x=y", "1")];
        let mut disk = out.free_point("disk", tags.into_iter());
        disk.free_field::<u64>(&["free"], 3).free_field::<str>(&["label"], "a, b=c \" d");
        drop(disk);
        out.free_point("mem", [("host", "b")].into_iter()).free_field::<u64>(&["free"], 4);
    }

    const POINTS: &str = "cpu,cpu=cpu0,host=a usage_idle=1,usage_user=2 5\n\
                          disk,host=a,path=/mnt/my\\ disk,x\\=y=1 free=3i,label=\"a, b=c \\\" d\" 5\n\
                          mem,host=b free=4i 5\n";

    fn filtered(settings: &str) -> String {
        let document = Document::parse("t", settings, &|_| None).unwrap();
        let filter = Section::check(&document, Filter::new).unwrap_or_else(|problems| panic!("{problems}"));
        let mut lines = Lines::default();
        write(&mut filter.before(&mut LineEncoder::new(&mut lines)));
        String::from_utf8(lines.bytes().to_vec()).unwrap()
    }

    #[test]
    fn points_are_selected_by_measurement_and_tags() {
        assert_eq!(filtered(""), POINTS);
        assert_eq!(filtered("namepass = ['c*', 'mem']\nnamedrop = 'cpu'"), "mem,host=b free=4i 5\n");
        assert_eq!(filtered("[tagpass]\nhost = 'b*'\ncpu = ['cpu0']").lines().count(), 2);
        assert_eq!(filtered("[tagdrop]\npath = '/mnt/my disk'").lines().count(), 2);
    }

    #[test]
    fn no_tag_gets_the_name_of_the_timestamp() {
        for table in ["[rename_tags]\nhost = 'time'", "[rename_tags]\nb = 'a'\nhost = 'time'"] {
            let document = Document::parse("t", table, &|_| None).unwrap();
            let problems: Vec<String> = Section::check(&document, Filter::new).unwrap_err().lines().collect();
            assert!(problems[0].ends_with(&format!("rename_tags.host: {RESERVED}")), "{problems:?}");
        }
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
    fn a_collectors_tags_and_filter_apply_to_its_points_alone() {
        let text =
            "[points]\npercpu = true\nname_override = 'm'\nfieldexclude = 'b'\n[points.tags]\nhost = 'h'\nroom = '1'";
        let document = Document::parse("t", text, &|_| None).unwrap();
        let points = Section::check(&document, |section| {
            let points = CollectorPoints::new(section);
            assert!(section.table("points").get(&Key::<bool>::new("percpu", "false", "")));
            points
        });
        let points = points.unwrap_or_else(|problems| panic!("{problems}")).unwrap();
        let (mut lines, common) = (Lines::default(), CommonTags::new(&BTreeMap::from([("host".into(), "a".into())])));
        let mut encoder = LineEncoder::new(&mut lines);
        let mut out = PointWriter::new(&mut encoder, &common, Timestamp(5));
        let write = |out: &mut PointWriter<'_>| {
            out.free_point("cpu", [("room", "own")].into_iter())
                .free_field::<u64>(&["a"], 1)
                .free_field::<u64>(&["b"], 2);
        };
        assert_eq!(out.at_most(1, |out| points.write(out, |out| (write(out), write(out)).0)), (1, 1));
        write(&mut out);
        assert_eq!(lines.bytes(), b"m,host=h,room=own a=1i 5\ncpu,host=a,room=own a=1i,b=2i 5\n".as_slice());

        let document = Document::parse("t", "[points]\nname_ovrride = 'm'", &|_| None).unwrap();
        let unknown =
            |section: &mut Section<'_>| (CollectorPoints::new(section), section.table("points").keys().count());
        assert!(Section::check(&document, |section| unknown(section).1).is_err());
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
        // An existing tag keeps its value or takes the other one, but occurs once.
        assert_eq!(filtered("namepass = 'cpu'\n[rename_tags]\ncpu = 'host'").matches("host=").count(), 1);
    }
}
