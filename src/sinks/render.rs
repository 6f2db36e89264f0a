//! Response bodies: encoded in memory, compressed while encoded, or streamed while encoded.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use super::negotiate::{Format, Wanted};
use crate::encode::FamilyWriter;
use crate::encode::drain::{CHUNK, Drain, Whole};
use crate::encode::protobuf::ProtobufEncoder;
use crate::encode::text::{Dialect, TextEncoder};

/// Encodes the families that `write` writes in the `wanted` format. Reserves `expected` bytes.
pub fn whole(wanted: impl Into<Wanted>, expected: usize, write: impl FnOnce(&mut FamilyWriter<'_>)) -> Vec<u8> {
    encode(wanted.into(), Vec::with_capacity(expected), Whole, write)
}

/// Produces a body: passes chunks to the drain, and returns the remainder.
pub trait Produce: FnOnce(&mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {}

impl<P: FnOnce(&mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8>> Produce for P {}

/// A producer of the families that `write` writes, in the `wanted` format.
pub fn families(wanted: impl Into<Wanted>, write: impl FnOnce(&mut FamilyWriter<'_>)) -> impl Produce {
    let wanted = wanted.into();
    move |drain: &mut dyn FnMut(&mut Vec<u8>)| encode(wanted, Vec::new(), |bytes: &mut Vec<u8>| drain(bytes), write)
}

/// Produces the whole body in memory.
pub fn collected(produce: impl Produce) -> Vec<u8> {
    let mut whole = Vec::new();
    let rest = produce(&mut |part: &mut Vec<u8>| whole.append(part));
    if whole.is_empty() {
        return rest;
    }
    whole.extend(rest);
    whole
}

/// Compresses a body in memory. Returns it with its uncompressed size.
pub fn gzipped(produce: impl Produce) -> (Vec<u8>, usize) {
    let mut size = 0;
    let counted = |drain: &mut dyn FnMut(&mut Vec<u8>)| {
        let rest = produce(&mut |bytes: &mut Vec<u8>| {
            size += bytes.len();
            drain(bytes);
        });
        size += rest.len();
        rest
    };
    let body = collected(compressed(counted));
    (body, size)
}

/// A producer that compresses a body while it is produced.
pub fn compressed(produce: impl Produce) -> impl Produce {
    move |drain: &mut dyn FnMut(&mut Vec<u8>)| {
        const TO_MEMORY: &str = "writing to memory does not fail";
        let mut encoder = GzEncoder::new(Vec::with_capacity(CHUNK), Compression::fast());
        let rest = produce(&mut |bytes: &mut Vec<u8>| {
            encoder.write_all(bytes).expect(TO_MEMORY);
            bytes.clear();
            if encoder.get_ref().len() >= CHUNK {
                drain(encoder.get_mut());
            }
        });
        encoder.write_all(&rest).expect(TO_MEMORY);
        encoder.finish().expect(TO_MEMORY)
    }
}

/// Streams a body that another thread produces. Calls `done` with its size.
pub fn streamed(produce: impl Produce + Send + 'static, done: impl FnOnce(usize) + Send + 'static) -> Streamed {
    /// Limit of chunks that are produced and not sent.
    const AHEAD: usize = 2;
    let (chunks, body) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut size = 0;
        let mut send = |bytes: &mut Vec<u8>| {
            size += bytes.len();
            let chunk = std::mem::replace(bytes, Vec::with_capacity(CHUNK));
            // Fails if the client disconnected: the remainder is dropped.
            let _ = chunks.blocking_send(Bytes::from(chunk));
        };
        let mut rest = produce(&mut send);
        send(&mut rest);
        done(size);
    });
    Streamed(body)
}

fn encode<D: Drain>(wanted: Wanted, out: Vec<u8>, drain: D, write: impl FnOnce(&mut FamilyWriter<'_>)) -> Vec<u8> {
    let Wanted { format, escaping, .. } = wanted;
    match format {
        Format::Protobuf => {
            let mut encoder = ProtobufEncoder::draining(out, drain);
            write(&mut FamilyWriter::escaping(&mut encoder, escaping));
            encoder.finish()
        }
        Format::Text | Format::OpenMetrics => {
            let dialect = if format == Format::Text { Dialect::Plain } else { Dialect::OpenMetrics };
            let mut encoder = TextEncoder::draining(dialect, out, drain);
            write(&mut FamilyWriter::escaping(&mut encoder, escaping));
            encoder.finish()
        }
    }
}

/// A body that arrives in chunks.
#[derive(Debug)]
pub struct Streamed(mpsc::Receiver<Bytes>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;

    use super::*;
    use crate::encode::Family;

    const MANY: Family<1> = Family::gauge("many", "A lot of them.", ["number"]);
    const FEW: Family<1> = Family::gauge("few", "Some of them.", ["number"]);

    fn write(out: &mut FamilyWriter<'_>) {
        for (family, count) in [(&MANY, 20_000), (&FEW, 10)] {
            let mut samples = out.family(family);
            (0..count).for_each(|number: u64| samples.sample([&number.to_string()], number));
        }
    }

    #[test]
    fn however_it_goes_out_it_is_the_same() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            let expected = whole(format, 0, write);
            assert!(expected.len() > 4 * CHUNK);

            let (zipped, size) = gzipped(families(format, write));
            let mut inflated = Vec::new();
            GzDecoder::new(zipped.as_slice()).read_to_end(&mut inflated).unwrap();
            assert!(inflated == expected);
            assert_eq!(size, expected.len());

            let collected = runtime.block_on(async {
                let body = streamed(compressed(families(format, write)), |_| {});
                body.collect().await.unwrap().to_bytes()
            });
            let mut inflated = Vec::new();
            GzDecoder::new(&*collected).read_to_end(&mut inflated).unwrap();
            assert!(inflated == expected);

            let (sender, receiver) = std::sync::mpsc::channel();
            let collected = runtime.block_on(async {
                let body = streamed(families(format, write), move |size| sender.send(size).unwrap());
                body.collect().await.unwrap().to_bytes()
            });
            assert!(collected == expected);
            assert_eq!(receiver.recv().unwrap(), expected.len());
        }
    }

    #[test]
    fn whoever_goes_away_ends_the_writing() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        runtime
            .block_on(async { drop(streamed(families(Format::Text, write), move |size| sender.send(size).unwrap())) });
        assert!(receiver.recv().unwrap() > CHUNK);
    }
}
