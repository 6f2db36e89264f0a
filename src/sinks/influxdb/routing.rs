//! Routing of points by tag: a tag's value is the database, the bucket or the retention policy.

use super::destination::Destination;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::Timestamp;
use crate::encode::line::LineEncoder;
use crate::encode::lines::{Lines, RecordWriter};
use crate::encode::name::Name;
use crate::encode::point::{FieldValue, PointEncoder};
use crate::sinks::form::{OWN_FORMAT, PointFormat, own_format};

/// The tags that points are routed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// The tag of the database or the bucket.
    database: Option<Tag>,
    /// The tag of the retention policy.
    retention_policy: Option<Tag>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    key: String,
    /// Whether points are sent without it.
    is_excluded: bool,
}

const DATABASE_TAG: Key<String> = Key::optional(
    "database_tag",
    "A tag whose value is the database that a point goes to, for InfluxDB 1.x and 3; without it, it goes to `database`.",
);
const EXCLUDE_DATABASE_TAG: Key<bool> = Key::new("exclude_database_tag", "false", "Removes that tag from points.");
const BUCKET_TAG: Key<String> = Key::optional(
    "bucket_tag",
    "A tag whose value is the bucket that a point goes to, for InfluxDB 2.x; without it, it goes to `bucket`.",
);
const EXCLUDE_BUCKET_TAG: Key<bool> = Key::new("exclude_bucket_tag", "false", "Removes that tag from points.");
const RETENTION_POLICY_TAG: Key<String> = Key::optional(
    "retention_policy_tag",
    "A tag whose value is the retention policy of a point, for InfluxDB 1.x; without it, it is `retention_policy`.",
);
const EXCLUDE_RETENTION_POLICY_TAG: Key<bool> =
    Key::new("exclude_retention_policy_tag", "false", "Removes that tag from points.");

/// The settings in a sink's section.
pub(super) const KEYS: &[KeyInfo] = &[
    DATABASE_TAG.info(),
    EXCLUDE_DATABASE_TAG.info(),
    RETENTION_POLICY_TAG.info(),
    EXCLUDE_RETENTION_POLICY_TAG.info(),
    BUCKET_TAG.info(),
    EXCLUDE_BUCKET_TAG.info(),
];

/// The database or bucket and the retention policy from a point's tags; empty without the tag.
type Route<'r> = (&'r [u8], &'r [u8]);

/// The leading points of a batch that share a destination.
pub(super) struct Run {
    pub(super) count: usize,
    pub(super) destination: Destination,
    pub(super) body: Vec<u8>,
}

impl Routing {
    /// The settings in a sink's section, if there are any.
    pub(super) fn new(section: &mut Section<'_>, target: &Destination) -> Option<Routing> {
        let mut tag = |key: &Key<String>, exclude: &Key<bool>, is_theirs: bool| {
            let (tag, is_excluded) = (section.optional(key), section.get(exclude));
            if tag.is_some() && !is_theirs {
                section.wrong(
                    key.info().name,
                    "does not go with this version: InfluxDB 1.x takes database_tag and retention_policy_tag, 2.x bucket_tag, 3 database_tag",
                );
            }
            if tag.is_none() && is_excluded {
                section.wrong(exclude.info().name, format!("expected {} with it, found none", key.info().name));
            }
            tag.map(|key| Tag { key, is_excluded })
        };
        let is_bucket = matches!(target, Destination::Bucket { .. });
        let database = tag(&DATABASE_TAG, &EXCLUDE_DATABASE_TAG, !is_bucket);
        let bucket = tag(&BUCKET_TAG, &EXCLUDE_BUCKET_TAG, is_bucket);
        let is_database = matches!(target, Destination::Database { .. });
        let retention_policy = tag(&RETENTION_POLICY_TAG, &EXCLUDE_RETENTION_POLICY_TAG, is_database);
        let database = database.or(bucket);
        (database.is_some() || retention_policy.is_some()).then_some(Routing { database, retention_policy })
    }

    fn tags(&self) -> impl Iterator<Item = &Tag> {
        [&self.database, &self.retention_policy].into_iter().flatten()
    }

    /// Identifies the keys of the tags in a record, which is routed anew once they have changed.
    fn fingerprint(&self) -> String {
        let keys = [&self.database, &self.retention_policy].map(|tag| tag.as_ref().map(|tag| &tag.key));
        format!("{:08x}", crc32fast::hash(format!("{keys:?}").as_bytes()))
    }

    /// Appends a line without the excluded tags.
    fn push_without_excluded(&self, line: &[u8], out: &mut Vec<u8>) {
        if !self.tags().any(|tag| tag.is_excluded) {
            return out.extend_from_slice(line);
        }
        let (mut start, mut is_escaped) = (0, false);
        for (at, byte) in line.iter().enumerate() {
            let is_end = !is_escaped && matches!(byte, b',' | b' ');
            is_escaped = !is_escaped && *byte == b'\\';
            if !is_end {
                continue;
            }
            let part = &line[start..at];
            if !part.strip_prefix(b",").is_some_and(|tag| self.is_excluded(tag)) {
                out.extend_from_slice(part);
            }
            start = at;
            if *byte == b' ' {
                break;
            }
        }
        out.extend_from_slice(&line[start..]);
    }

    /// Whether points are sent without this tag, which is `key=value` in line protocol.
    fn is_excluded(&self, tag: &[u8]) -> bool {
        let mut key = Vec::new();
        let mut bytes = tag.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'=' => break,
                b'\\' => key.push(bytes.next_if(|next| matches!(next, b',' | b'=' | b' ')).unwrap_or(byte)),
                byte => key.push(byte),
            }
        }
        self.tags().any(|tag| tag.is_excluded && tag.key.as_bytes() == key)
    }
}

/// Records are `fingerprint NUL database NUL policy NUL line`, with all tags, sorted by destination, so that few requests
/// are needed.
impl PointFormat for Routing {
    fn encode(&self, out: &mut dyn RecordWriter, write: &mut dyn FnMut(&mut dyn PointEncoder)) {
        let (mut lines, mut routes) = (Lines::default(), Vec::new());
        let line = LineEncoder::new(&mut lines);
        write(&mut RoutedEncoder { routing: self, line, route: <_>::default(), routes: &mut routes });
        let mut routed: Vec<_> = routes.iter().zip(lines.iter()).collect();
        routed.sort_by_key(|(route, _)| *route);
        let (own, fingerprint) = ([OWN_FORMAT], self.fingerprint());
        for ((database, policy), line) in routed {
            let parts = [fingerprint.as_bytes(), database.as_bytes(), policy.as_bytes(), line].join(&SEPARATOR);
            out.push(&[own.as_slice(), &parts].concat());
        }
    }
}

/// Separates the parts of a record; no name contains it.
const SEPARATOR: u8 = 0;

/// Writes line protocol, and records the route of each line.
struct RoutedEncoder<'a> {
    routing: &'a Routing,
    line: LineEncoder<'a>,
    /// The route of the open point.
    route: (String, String),
    routes: &'a mut Vec<(String, String)>,
}

impl PointEncoder for RoutedEncoder<'_> {
    fn begin(&mut self, measurement: Name<'_>) {
        self.route.0.clear();
        self.route.1.clear();
        self.line.begin(measurement);
    }

    fn tag(&mut self, key: Name<'_>, value: Name<'_>) {
        let is_key = |tag: &Option<Tag>| tag.as_ref().is_some_and(|tag| tag.key == key.text());
        if is_key(&self.routing.database) {
            value.text().clone_into(&mut self.route.0);
        }
        if is_key(&self.routing.retention_policy) {
            value.text().clone_into(&mut self.route.1);
        }
        self.line.tag(key, value);
    }

    fn field(&mut self, key: Name<'_>, value: FieldValue<'_>) {
        self.line.field(key, value);
    }

    fn end(&mut self, time: Timestamp) {
        self.line.end(time);
        self.routes.push(std::mem::take(&mut self.route));
    }

    fn discard(&mut self) {
        self.line.discard();
    }
}

/// The leading records of `lines` that share a destination: `usual`, unless they name another. Line protocol persisted
/// by an earlier version, and records that were routed by other tags, are routed here.
pub(super) fn first_run(lines: &Lines, routing: Option<&Routing>, usual: &Destination) -> Run {
    let fingerprint = routing.map(Routing::fingerprint);
    let (mut of_run, mut count, mut body) = (None, 0, Vec::new());
    for record in lines.iter() {
        let routed = record.strip_prefix(&[OWN_FORMAT]).and_then(split);
        let line = routed.map_or(record, |(_, _, line)| line);
        let is_current =
            routed.is_some_and(|(print, ..)| fingerprint.as_ref().is_some_and(|own| own.as_bytes() == print));
        let anew = routing.filter(|_| !is_current).and_then(|routing| own_format(line, routing));
        let route = match (&anew, routed) {
            (Some(anew), _) => split(anew).map_or(Route::default(), |(_, route, _)| route),
            (None, Some((_, route, _))) if is_current => route,
            _ => Route::default(),
        };
        let of_run = of_run.get_or_insert_with(|| [route.0, route.1].map(<[u8]>::to_vec));
        if (of_run[0].as_slice(), of_run[1].as_slice()) != route {
            break;
        }
        match routing {
            Some(routing) => routing.push_without_excluded(line, &mut body),
            None => body.extend_from_slice(line),
        }
        count += 1;
    }
    let name = |bytes: Vec<u8>| Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|name| !name.is_empty());
    let [database, policy] = of_run.unwrap_or_default().map(name);
    Run { count, destination: usual.with_route(database, policy), body }
}

/// Splits a record into the fingerprint of its routing, its route and its line.
fn split(record: &[u8]) -> Option<(&[u8], Route<'_>, &[u8])> {
    let mut parts = record.splitn(4, |byte| *byte == SEPARATOR);
    Some((parts.next()?, (parts.next()?, parts.next()?), parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::form::write_line;

    #[test]
    fn points_go_where_their_tags_say() {
        let tag = |key: &str, is_excluded| Some(Tag { key: key.to_owned(), is_excluded });
        let routing = Routing { database: tag("db", true), retention_policy: tag("rp", false) };
        let mut lines = Lines::default();
        // Records of an earlier version.
        for line in
            ["a,db=x\\ y,h=1 v=\"a b\",w=2i 1\n", "b,h=1 v=1 1\n", "c,db=x\\ y v=1 2\n", "d,db=x\\ y,rp=r v=1 2\n"]
        {
            lines.push(line.as_bytes());
        }
        let usual = Destination::Table { database: "usual".to_owned(), token: None };
        let runs = |mut rest: Lines| {
            let mut runs = Vec::new();
            while !rest.is_empty() {
                let run = first_run(&rest, Some(&routing), &usual);
                rest.remove_first(run.count);
                runs.push((run.destination.name().to_owned(), String::from_utf8(run.body).unwrap()));
            }
            runs
        };
        let mut written = Lines::default();
        routing.encode(&mut written, &mut |encoder| lines.iter().for_each(|line| write_line(line, encoder)));
        let expected =
            [("usual", "b,h=1 v=1 1\n"), ("x y", "a,h=1 v=\"a b\",w=2i 1\nc v=1 2\n"), ("x y", "d,rp=r v=1 2\n")];
        let expected = expected.map(|(name, body)| (name.to_owned(), body.to_owned()));
        assert_eq!(runs(written.clone()), expected);
        // Settings that changed while records wait.
        let unrouted = first_run(&written, None, &usual);
        assert_eq!((unrouted.count, unrouted.destination.name()), (4, "usual"));
        assert!(unrouted.body.starts_with(b"b,h=1 v=1 1\na,db=x\\ y,h=1 v"), "with all tags");
        let by_host = Routing { database: tag("h", false), retention_policy: None };
        let anew = first_run(&written, Some(&by_host), &usual);
        assert_eq!((anew.count, anew.destination.name()), (2, "1"));
        assert!(anew.body.starts_with(b"b,h=1 v=1 1\na,db=x\\ y,h=1 v"));
        let kept = Routing { database: tag("db", false), ..routing.clone() };
        let mut after_first = written.clone();
        after_first.remove_first(1);
        assert!(first_run(&after_first, Some(&kept), &usual).body.starts_with(b"a,db=x\\ y,h=1 v"));
        let [sorted, unsorted] = [[1, 0, 2, 3], [0, 1, 2, 3]].map(|order| {
            let mut persisted = Lines::default();
            order.iter().for_each(|index| persisted.push(lines.iter().nth(*index).unwrap()));
            persisted
        });
        assert_eq!(runs(sorted), expected);
        assert_eq!(runs(unsorted).len(), 4);
    }
}
