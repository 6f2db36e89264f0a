//! A point as a document: in Telegraf's layout, plus the Elastic Common Schema names of host and container.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};

use crate::encode::Timestamp;
use crate::encode::lines::RecordWriter;
use crate::encode::point::PointEncoder;
use crate::encode::whole::{WholePoint, WholePoints};
use crate::sinks::form::{OWN_FORMAT, PointFormat, own_format};
use crate::sinks::json::Object;

/// Identifies a point: the same point sent twice is one document.
pub(super) type Id = [u8; 15];

/// Points as documents. A record is the id and the document.
pub(super) struct Documents;

impl PointFormat for Documents {
    fn encode(&self, lines: &mut dyn RecordWriter, write: &mut dyn FnMut(&mut dyn PointEncoder)) {
        let (mut document, mut record) = (Vec::new(), Vec::new());
        write(&mut WholePoints::new(|point: &WholePoint, time: Timestamp| {
            document.clear();
            push(&mut document, point, time);
            record.clear();
            record.push(OWN_FORMAT);
            record.extend_from_slice(&id(&[&document, &time.0.to_le_bytes()]));
            record.extend_from_slice(&document);
            lines.push(&record);
        }));
    }
}

/// The start of the SHA-256 of `parts`.
fn id(parts: &[&[u8]]) -> Id {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

/// A record as it is sent.
pub(super) struct Document<'r> {
    /// Its id.
    pub(super) id: Id,
    /// The JSON; none if it is not a point.
    json: Option<Cow<'r, [u8]>>,
}

impl<'r> Document<'r> {
    /// The document of a record. From line protocol, it gets the id under which an earlier version may have sent it.
    pub(super) fn new(record: &'r [u8]) -> Document<'r> {
        let own = own_format(record, &Documents);
        let is_line = !record.starts_with(&[OWN_FORMAT]);
        let (of_record, json) = match own {
            Some(Cow::Borrowed(own)) => (own.first_chunk().copied(), own.get(size_of::<Id>()..).map(Cow::Borrowed)),
            Some(Cow::Owned(mut own)) => (None, Some(Cow::Owned(own.split_off(size_of::<Id>().min(own.len()))))),
            None => (None, None),
        };
        let id = of_record.filter(|_| !is_line).unwrap_or_else(|| id(&[record]));
        Document { id, json }
    }

    /// Appends the action and the document; false if it is not a point.
    pub(super) fn push(&self, out: &mut Vec<u8>) -> bool {
        let Some(json) = &self.json else { return false };
        let mut action = Object::open(out);
        let mut create = action.object("create");
        create.string("_id", &BASE64_URL_SAFE_NO_PAD.encode(self.id));
        create.close();
        action.close();
        out.push(b'\n');
        out.extend_from_slice(json);
        out.push(b'\n');
        true
    }
}

fn push(out: &mut Vec<u8>, point: &WholePoint, time: Timestamp) {
    let since = Duration::from_nanos(time.0.max(0).unsigned_abs());
    let time = humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string();
    let mut document = Object::open(out);
    document.string("@timestamp", &time);
    let measurement = point.measurement();
    document.string("measurement_name", measurement);
    push_known_names(&mut document, point);
    document.tags("tag", point);
    let is_taken = ["@timestamp", "measurement_name", "tag", "host", "container"].contains(&measurement);
    document.fields(&format!("{measurement}{}", if is_taken { "_" } else { "" }), point);
    document.close();
}

/// The Elastic Common Schema's names of the host and the container.
fn push_known_names(document: &mut Object<'_>, point: &WholePoint) {
    if let Some(host) = point.tag("host") {
        let mut object = document.object("host");
        object.string("name", host);
        object.close();
    }
    let id = point.fields().find(|(key, _)| *key == "container_id").map(|(_, value)| value);
    let (name, image) = (point.tag("container_name"), point.tag("container_image"));
    if id.is_some() || name.is_some() {
        let mut object = document.object("container");
        if let Some(id) = id {
            object.field("id", id);
        }
        if let Some(name) = name {
            object.string("name", name);
        }
        if let Some(image) = image {
            let mut inner = object.object("image");
            inner.string("name", image);
            inner.close();
        }
        object.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::lines::Lines;
    use crate::sinks::form::write_line;

    #[test]
    fn a_point_is_a_document() {
        let mut out = Vec::new();
        let point = b"docker_container_mem,container_image=nginx,container_name=web\\ 1,host=a usage=3i,usage_percent=1,container_id=\"ab\\\"c\",ok=true 1500000000123456789\n";
        let mut lines = Lines::default();
        Documents.encode(&mut lines, &mut |encoder| write_line(point, encoder));
        assert!(Document::new(lines.bytes()).push(&mut out));
        let text = String::from_utf8(out).unwrap();
        let (action, document) = text.trim_end().split_once('\n').unwrap();
        let action: serde_json::Value = serde_json::from_str(action).unwrap();
        assert_eq!(action["create"]["_id"].as_str().map(str::len), Some(20));
        let expected = r#"{"@timestamp":"2017-07-14T02:40:00.123Z","measurement_name":"docker_container_mem","host":{"name":"a"},"container":{"id":"ab\"c","name":"web 1","image":{"name":"nginx"}},"tag":{"container_image":"nginx","container_name":"web 1","host":"a"},"docker_container_mem":{"usage":3,"usage_percent":1.0,"container_id":"ab\"c","ok":true}}"#;
        assert_eq!(document, expected);
        let mut of_line = Vec::new();
        assert!(Document::new(point).push(&mut of_line), "as an earlier version persisted it");
        assert_eq!(String::from_utf8(of_line).unwrap().trim_end().split_once('\n').unwrap().1, expected);
        assert_eq!(Document::new(point).id, id(&[point]));
    }

    #[test]
    fn a_measurement_cannot_take_the_place_of_what_every_document_has() {
        let mut out = Vec::new();
        assert!(Document::new(b"host v=1 1\n").push(&mut out));
        assert!(String::from_utf8(out).unwrap().contains(r#""host_":{"v":1.0}"#));
        assert!(!Document::new(b"no point\n").push(&mut Vec::new()));
    }
}
