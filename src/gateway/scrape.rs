//! What Prometheus pulls: all groups as one exposition, copied from their blocks.

use std::sync::Arc;

use super::change::Piece;
use super::state::Held;
use crate::encode::drain::CHUNK;
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

/// All families, handed over in parts; what is left comes back.
pub fn families(all: &[(Arc<str>, Held)], shape: Shape, drain: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(CHUNK);
    for (name, held) in all {
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
    out
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
