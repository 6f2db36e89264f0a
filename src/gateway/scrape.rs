//! What Prometheus pulls: all groups as one exposition, copied from their blocks.

use super::block::shown_labels;
use super::change::{Piece, Times};
use super::key::Key;
use super::state::{Held, MARKERS, Snapshot};
use crate::encode::drain::CHUNK;
use crate::encode::parse::model::{Kind, Measure, Metric};
use crate::encode::pushed::{self, Names};

/// How pushed families are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Text 0.0.4.
    Text(Names),
    /// Delimited protobuf.
    Protobuf,
}

impl Shape {
    /// The answer's content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Shape::Text(Names::Quoted) => "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
            Shape::Text(Names::Escaped) => "text/plain; version=0.0.4; charset=utf-8; escaping=values",
            Shape::Protobuf => crate::sinks::negotiate::Format::Protobuf.content_type(),
        }
    }
}

/// All families in the order of their names, handed over in parts; what is left comes back.
pub fn families(all: &Snapshot, shape: Shape, drain: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(CHUNK);
    let mut markers = markers(&all.groups, shape).into_iter().peekable();
    for (name, held) in &all.families {
        while let Some((_, mut marker)) = markers.next_if(|(marker, _)| **marker < **name) {
            drain(&mut out);
            drain(&mut marker);
        }
        if let Shape::Text(names) = shape {
            pushed::push_head(&mut out, name, held.kind, &held.help, names);
            for (_, block) in held.holders.iter() {
                out.extend_from_slice(block.text(names));
                if out.len() >= CHUNK {
                    drain(&mut out);
                }
            }
        } else {
            push_protobuf(&mut out, name, held);
            drain(&mut out);
        }
    }
    for (_, mut marker) in markers {
        drain(&mut out);
        drain(&mut marker);
    }
    out
}

/// The markers of all groups by name, in order. Keys lie all over the memory, so each is looked at once for both.
fn markers(groups: &[(u32, Key, Times)], shape: Shape) -> Vec<(&'static str, Vec<u8>)> {
    let mut bodies = MARKERS.each_ref().map(|_| Vec::new());
    if groups.is_empty() {
        return Vec::new();
    }
    if let Shape::Text(names) = shape {
        for (marker, body) in MARKERS.iter().zip(&mut bodies) {
            pushed::push_head(body, marker.name, Kind::Gauge, marker.help, names);
        }
    }
    let metric = Metric { labels: Vec::new(), measure: Measure::Number(0.0), timestamp: None, created: None };
    for (_, key, times) in groups {
        let labels = shown_labels(&metric, key);
        let values = MARKERS.each_ref().map(|marker| Measure::Number((marker.of)(*times)));
        for ((marker, body), value) in MARKERS.iter().zip(&mut bodies).zip(values) {
            match shape {
                Shape::Text(names) => pushed::push_metric(body, marker.name, &labels, &value, names),
                Shape::Protobuf => {
                    let of_marker = Metric { measure: value, ..metric.clone() };
                    pushed::push_metric_with(body, Kind::Gauge, &of_marker, labels.iter().copied());
                }
            }
        }
    }
    let finished = MARKERS.iter().zip(bodies).map(|(marker, metrics)| match shape {
        Shape::Text(_) => (marker.name, metrics),
        Shape::Protobuf => {
            let mut message = Vec::with_capacity(metrics.len() + 100);
            pushed::push_family_message(&mut message, marker.name, Kind::Gauge, marker.help, &metrics);
            (marker.name, message)
        }
    });
    finished.collect()
}

/// One message for the whole family, as every reader expects.
fn push_protobuf(out: &mut Vec<u8>, name: &str, held: &Held) {
    let mut metrics = Vec::new();
    for (_, block) in held.holders.iter() {
        block.read(name, held.kind, &held.help, &mut |family| {
            family.metrics.iter().for_each(|metric| pushed::push_metric_message(&mut metrics, held.kind, metric));
        });
    }
    pushed::push_family_message(out, name, held.kind, &held.help, &metrics);
}

/// The families of one group as text, handed over in parts; what is left comes back.
pub fn group(pieces: &[Piece], names: Names, drain: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        pushed::push_head(&mut out, &piece.name, piece.kind, &piece.help, names);
        out.extend_from_slice(piece.block.text(names));
        if out.len() >= CHUNK {
            drain(&mut out);
        }
    }
    out
}
