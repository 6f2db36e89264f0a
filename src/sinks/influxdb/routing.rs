//! Points that say themselves where they go: a tag's value is the database, the bucket or the retention policy.

use super::settings::Target;
use crate::config::{Key, Section};
use crate::encode::point::Lines;
use crate::sinks::parts::{Parts, unescaped};

/// Which tags say where points go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// That of the database or the bucket.
    place: Option<Tag>,
    /// That of the retention policy.
    retention_policy: Option<Tag>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    key: String,
    /// Whether points go without it.
    is_taken_off: bool,
}

pub(super) const DATABASE_TAG: Key<String> = Key::optional(
    "database_tag",
    "A tag whose value is the database that a point goes to, for InfluxDB 1.x and 3; without it, it goes to `database`.",
);
pub(super) const EXCLUDE_DATABASE_TAG: Key<bool> =
    Key::new("exclude_database_tag", "false", "Send points without that tag.");
pub(super) const BUCKET_TAG: Key<String> = Key::optional(
    "bucket_tag",
    "A tag whose value is the bucket that a point goes to, for InfluxDB 2.x; without it, it goes to `bucket`.",
);
pub(super) const EXCLUDE_BUCKET_TAG: Key<bool> =
    Key::new("exclude_bucket_tag", "false", "Send points without that tag.");
pub(super) const RETENTION_POLICY_TAG: Key<String> = Key::optional(
    "retention_policy_tag",
    "A tag whose value is the retention policy of a point, for InfluxDB 1.x; without it, it is `retention_policy`.",
);
pub(super) const EXCLUDE_RETENTION_POLICY_TAG: Key<bool> =
    Key::new("exclude_retention_policy_tag", "false", "Send points without that tag.");

/// Where a point goes: database or bucket, and retention policy.
type Place = (Option<String>, Option<String>);

/// The first points of a batch that go to one place.
pub(super) struct Run {
    pub(super) count: usize,
    pub(super) target: Target,
    pub(super) body: Vec<u8>,
}

impl Routing {
    /// The settings in a sink's section, if there are any.
    pub(super) fn new(section: &mut Section<'_>, target: &Target) -> Option<Routing> {
        let mut tag = |key: &Key<String>, exclude: &Key<bool>, is_theirs: bool| {
            let (tag, is_taken_off) = (section.optional(key), section.get(exclude));
            if tag.is_some() && !is_theirs {
                section.wrong(
                    key.info().name,
                    "does not go with this version: InfluxDB 1.x takes database_tag and retention_policy_tag, 2.x bucket_tag, 3 database_tag",
                );
            }
            if tag.is_none() && is_taken_off {
                section.wrong(exclude.info().name, format!("expected {} with it, found none", key.info().name));
            }
            tag.map(|key| Tag { key, is_taken_off })
        };
        let is_bucket = matches!(target, Target::Bucket { .. });
        let database = tag(&DATABASE_TAG, &EXCLUDE_DATABASE_TAG, !is_bucket);
        let bucket = tag(&BUCKET_TAG, &EXCLUDE_BUCKET_TAG, is_bucket);
        let is_database = matches!(target, Target::Database { .. });
        let retention_policy = tag(&RETENTION_POLICY_TAG, &EXCLUDE_RETENTION_POLICY_TAG, is_database);
        let place = database.or(bucket);
        (place.is_some() || retention_policy.is_some()).then_some(Routing { place, retention_policy })
    }

    /// Puts together what goes to one place, so that it makes few requests; in the order in which it came otherwise.
    pub(in crate::sinks) fn sort(&self, lines: &Lines) -> Lines {
        let mut all: Vec<(Place, &[u8])> = lines.iter().map(|line| (self.place(line), line)).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut sorted = Lines::default();
        all.iter().for_each(|(_, line)| sorted.push(line));
        sorted
    }

    pub(super) fn first_run(&self, lines: &Lines, usual: &Target) -> Run {
        let mut all = lines.iter().map(|line| (self.place(line), line)).peekable();
        let place = all.peek().map(|(place, _)| place.clone()).unwrap_or_default();
        let (mut count, mut body) = (0, Vec::new());
        for (_, line) in all.take_while(|(other, _)| *other == place) {
            self.write(line, &mut body);
            count += 1;
        }
        Run { count, target: usual.with_place(place.0, place.1), body }
    }

    fn place(&self, line: &[u8]) -> Place {
        let Some(parts) = Parts::of(line) else { return Place::default() };
        let value = |tag: &Option<Tag>| {
            let key = &tag.as_ref()?.key;
            parts.tags.iter().find(|(tag, _)| *unescaped(tag) == **key).map(|(_, value)| unescaped(value).into_owned())
        };
        (value(&self.place), value(&self.retention_policy))
    }

    fn write(&self, line: &[u8], out: &mut Vec<u8>) {
        let off: Vec<&str> = [&self.place, &self.retention_policy]
            .into_iter()
            .flatten()
            .filter(|tag| tag.is_taken_off)
            .map(|tag| tag.key.as_str())
            .collect();
        let Some(parts) = Parts::of(line).filter(|_| !off.is_empty()) else {
            out.extend_from_slice(line);
            return;
        };
        out.extend_from_slice(parts.measurement);
        for (key, value) in parts.tags.iter().filter(|(key, _)| !off.contains(&&*unescaped(key))) {
            out.extend([b",", *key, b"=", value].concat());
        }
        for (index, (key, value)) in parts.fields.iter().enumerate() {
            out.extend([if index == 0 { b" " } else { b"," }, *key, b"=", value].concat());
        }
        out.extend_from_slice(parts.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_go_where_their_tags_say() {
        let tag = |key: &str, is_taken_off| Some(Tag { key: key.to_owned(), is_taken_off });
        let routing = Routing { place: tag("db", true), retention_policy: tag("rp", false) };
        let mut lines = Lines::default();
        for line in
            ["a,db=x\\ y,h=1 v=\"a b\",w=2i 1\n", "b,h=1 v=1 1\n", "c,db=x\\ y v=1 2\n", "d,db=x\\ y,rp=r v=1 2\n"]
        {
            lines.push(line.as_bytes());
        }
        let usual = Target::Table { database: "usual".to_owned(), token: None };
        let mut rest = routing.sort(&lines);
        let mut runs = Vec::new();
        while !rest.is_empty() {
            let run = routing.first_run(&rest, &usual);
            rest.take_first(run.count);
            runs.push((run.target.name().to_owned(), String::from_utf8(run.body).unwrap()));
        }
        let expected =
            [("usual", "b,h=1 v=1 1\n"), ("x y", "a,h=1 v=\"a b\",w=2i 1\nc v=1 2\n"), ("x y", "d,rp=r v=1 2\n")];
        assert_eq!(runs, expected.map(|(place, body)| (place.to_owned(), body.to_owned())));
    }
}
