//! What Prometheus pulls: all groups as one exposition, copied from their blocks.

use super::block::{gauge, shown_labels};
use super::change::{Piece, Times};
use super::key::Key;
use super::state::{Held, MARKERS, Marker, Snapshot};
use crate::encode::drain::CHUNK;
use crate::encode::parse::model::Kind;
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
    let mut markers = MARKERS.iter().peekable();
    for (name, held) in &all.families {
        while let Some(marker) = markers.next_if(|marker| *marker.name < **name) {
            push_marker(&mut out, marker, &all.groups, shape, drain);
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
    markers.for_each(|marker| push_marker(&mut out, marker, &all.groups, shape, drain));
    out
}

/// A marker of all groups.
fn push_marker(
    out: &mut Vec<u8>,
    marker: &Marker,
    groups: &[(u32, Key, Times)],
    shape: Shape,
    drain: &mut dyn FnMut(&mut Vec<u8>),
) {
    if groups.is_empty() {
        return;
    }
    let mut metrics = Vec::new();
    if let Shape::Text(names) = shape {
        pushed::push_head(out, marker.name, Kind::Gauge, marker.help, names);
    }
    for (_, key, times) in groups {
        let gauge = gauge(marker.name, marker.help, (marker.of)(*times));
        let metric = &gauge.metrics[0];
        let labels = shown_labels(metric, key);
        match shape {
            Shape::Text(names) => pushed::push_metric(out, marker.name, &labels, &metric.measure, names),
            Shape::Protobuf => pushed::push_metric_with(&mut metrics, Kind::Gauge, metric, labels.into_iter()),
        }
        if out.len() >= CHUNK {
            drain(out);
        }
    }
    if shape == Shape::Protobuf {
        pushed::push_family_message(out, marker.name, Kind::Gauge, marker.help, &metrics);
        drain(out);
    }
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

/// The families of one group as text.
pub fn group(pieces: &[Piece], names: Names) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        pushed::push_head(&mut out, &piece.name, piece.kind, &piece.help, names);
        out.extend_from_slice(piece.block.text(names));
    }
    out
}
