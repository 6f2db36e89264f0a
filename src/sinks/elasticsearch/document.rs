//! A point as a document: as Telegraf's output has it, with the names besides that Kibana knows hosts and containers by.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::sinks::json::{Object, tags, time_of};
use crate::sinks::parts::{Parts, unescaped};

/// What tells a point from all others: the same point sent twice is one document.
pub(super) type Id = [u8; 15];

/// The id of a point: the start of its SHA-256.
pub(super) fn id(point: &[u8]) -> Id {
    let digest = ring::digest::digest(&ring::digest::SHA256, point);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Appends a point's action and its document; nothing if it is none.
pub(super) fn push(out: &mut Vec<u8>, id: &Id, point: &[u8]) -> bool {
    let parts = Parts::of(point);
    let Some((parts, time)) = parts.and_then(|parts| time_of(&parts).map(|time| (parts, time))) else { return false };
    let mut action = Object::open(out);
    let mut create = action.object("create");
    create.string("_id", &BASE64_URL_SAFE_NO_PAD.encode(id));
    create.close();
    action.close();
    out.push(b'\n');
    let since = Duration::from_nanos(time.max(0).unsigned_abs());
    let time = humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string();
    let mut document = Object::open(out);
    document.string("@timestamp", &time);
    let measurement = unescaped(parts.measurement);
    document.string("measurement_name", &measurement);
    push_known_names(&mut document, &parts);
    let mut all = document.object("tag");
    for (key, value) in tags(&parts) {
        all.string(&key, &value);
    }
    all.close();
    let is_taken = ["@timestamp", "measurement_name", "tag", "host", "container"].contains(&&*measurement);
    let mut fields = document.object(&format!("{measurement}{}", if is_taken { "_" } else { "" }));
    for (key, value) in &parts.fields {
        fields.field(&unescaped(key), value);
    }
    fields.close();
    document.close();
    out.push(b'\n');
    true
}

/// The Elastic Common Schema's names of the host and the container.
fn push_known_names(document: &mut Object<'_>, parts: &Parts<'_>) {
    let tag = |wanted: &str| tags(parts).find(|(key, _)| key == wanted).map(|(_, value)| value);
    if let Some(host) = tag("host") {
        let mut object = document.object("host");
        object.string("name", &host);
        object.close();
    }
    let id = parts.fields.iter().find(|(key, _)| *key == b"container_id").map(|(_, value)| value);
    let (name, image) = (tag("container_name"), tag("container_image"));
    if id.is_some() || name.is_some() {
        let mut object = document.object("container");
        if let Some(id) = id {
            object.field("id", id);
        }
        if let Some(name) = name {
            object.string("name", &name);
        }
        if let Some(image) = image {
            let mut inner = object.object("image");
            inner.string("name", &image);
            inner.close();
        }
        object.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_document() {
        let mut out = Vec::new();
        let point = b"docker_container_mem,container_image=nginx,container_name=web\\ 1,host=a usage=3i,usage_percent=1,container_id=\"ab\\\"c\",ok=true 1500000000123456789\n";
        assert!(push(&mut out, &id(point), point));
        let text = String::from_utf8(out).unwrap();
        let (action, document) = text.trim_end().split_once('\n').unwrap();
        let action: serde_json::Value = serde_json::from_str(action).unwrap();
        assert_eq!(action["create"]["_id"].as_str().map(str::len), Some(20));
        let expected = r#"{"@timestamp":"2017-07-14T02:40:00.123Z","measurement_name":"docker_container_mem","host":{"name":"a"},"container":{"id":"ab\"c","name":"web 1","image":{"name":"nginx"}},"tag":{"container_image":"nginx","container_name":"web 1","host":"a"},"docker_container_mem":{"usage":3,"usage_percent":1.0,"container_id":"ab\"c","ok":true}}"#;
        assert_eq!(document, expected);
    }

    #[test]
    fn a_measurement_cannot_take_the_place_of_what_every_document_has() {
        let mut out = Vec::new();
        assert!(push(&mut out, &Id::default(), b"host v=1 1\n"));
        assert!(String::from_utf8(out).unwrap().contains(r#""host_":{"v":1.0}"#));
        assert!(!push(&mut Vec::new(), &Id::default(), b"no point\n"));
    }
}
