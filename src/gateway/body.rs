//! The body of a push: unpacked, and bounded when it is.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

/// Why a body cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// An encoding that is not known; to read it as it is would take it for something else.
    #[error("unsupported Content-Encoding {0:?}; there are identity, gzip, snappy and zstd")]
    Encoding(String),
    /// It is not what it says, or was cut off.
    #[error("the body is no sound {encoding}: {reason}")]
    Unsound {
        /// The encoding.
        encoding: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It is too long, packed or unpacked.
    #[error("the body is longer than the {0} bytes of [gateway] max_body")]
    TooLong(usize),
}

/// The body as it was before it was packed; several encodings are undone from the last to the first.
///
/// # Errors
/// What is wrong with it. At most `limit` bytes are unpacked.
pub fn unpack(body: Vec<u8>, content_encoding: &str, limit: usize) -> Result<Vec<u8>, BodyError> {
    let encodings = content_encoding.split(',').map(str::trim).filter(|name| !name.is_empty());
    encodings.rev().try_fold(body, |body, encoding| unpack_one(body, encoding, limit))
}

fn unpack_one(body: Vec<u8>, name: &str, limit: usize) -> Result<Vec<u8>, BodyError> {
    let encoding = match name.to_ascii_lowercase().as_str() {
        "identity" => return Ok(body),
        "gzip" | "x-gzip" => "gzip",
        "snappy" => "snappy",
        "zstd" => "zstd",
        _ => return Err(BodyError::Encoding(name.to_owned())),
    };
    match encoding {
        // This is what is left of one that was cut off.
        _ if body.is_empty() => Err(BodyError::Unsound { encoding, reason: "it is empty".to_owned() }),
        "gzip" => read_all(encoding, MultiGzDecoder::new(body.as_slice()), limit),
        // Either format goes by this name: clients of Pushgateway frame it, remote write does not.
        "snappy" if body.starts_with(b"\xff\x06\x00\x00sNaPpY") => {
            read_all(encoding, snap::read::FrameDecoder::new(body.as_slice()), limit)
        }
        "snappy" => unpack_block(&body, limit),
        _ => unpack_zstd(&body, limit),
    }
}

fn unpack_block(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let unsound = |error: snap::Error| BodyError::Unsound { encoding: "snappy", reason: error.to_string() };
    if snap::raw::decompress_len(body).map_err(unsound)? > limit {
        return Err(BodyError::TooLong(limit));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(unsound)
}

/// RFC 8878: frames one behind the other, with checksums and declared sizes held to; skippable frames are passed over. A
/// block that would become more than the 128 KiB that it may is not unpacked.
fn unpack_zstd(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    zrip::decompress_with_limit(body, limit).map_err(|error| match error {
        zrip::DecompressError::OutputTooSmall => BodyError::TooLong(limit),
        error => BodyError::Unsound { encoding: "zstd", reason: error.to_string() },
    })
}

fn read_all(encoding: &'static str, reader: impl Read, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut unpacked = Vec::new();
    let read: io::Result<usize> = reader.take(limit as u64 + 1).read_to_end(&mut unpacked);
    match read {
        Ok(_) if unpacked.len() > limit => Err(BodyError::TooLong(limit)),
        Ok(_) => Ok(unpacked),
        Err(error) => Err(BodyError::Unsound { encoding, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const BODY: &[u8] = b"some_metric 3.14\nother_metric 2.71\n";

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn snappy_frames(body: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(body).unwrap();
        encoder.into_inner().unwrap()
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        zrip::compress(body, 1).unwrap()
    }

    #[test]
    fn every_encoding_is_undone() {
        let block = snap::raw::Encoder::new().compress_vec(BODY).unwrap();
        for (encoding, packed) in [
            ("", BODY.to_vec()),
            ("identity", BODY.to_vec()),
            ("gzip", gzip(BODY)),
            ("GZIP", gzip(BODY)),
            ("snappy", snappy_frames(BODY)),
            ("snappy", block),
            ("zstd", zstd(BODY)),
            ("gzip, zstd", zstd(&gzip(BODY))),
        ] {
            assert_eq!(unpack(packed, encoding, 100).as_deref(), Ok(BODY), "{encoding}");
        }
        assert_eq!(unpack(Vec::new(), "br", 9), Err(BodyError::Encoding("br".to_owned())));
    }

    #[test]
    fn what_is_too_long_is_not_unpacked_whole() {
        let zeros = vec![0; 1 << 20];
        let block = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        for (encoding, packed) in
            [("gzip", gzip(&zeros)), ("snappy", snappy_frames(&zeros)), ("snappy", block), ("zstd", zstd(&zeros))]
        {
            assert_eq!(unpack(packed, encoding, 1000), Err(BodyError::TooLong(1000)), "{encoding}");
        }
    }

    #[test]
    fn what_was_cut_off_is_not_taken() {
        for (encoding, packed) in [("gzip", gzip(BODY)), ("snappy", snappy_frames(BODY)), ("zstd", zstd(BODY))] {
            for end in 0..packed.len() {
                let unpacked = unpack(packed[..end].to_vec(), encoding, 1000);
                // Snappy's format has no end: what stops before the first piece of data is sound.
                let is_sound = encoding == "snappy" && end == 10;
                assert_eq!(unpacked.is_ok(), is_sound, "{encoding} up to {end}");
            }
        }
    }

    /// `x 1\n` as `zstd --check` writes it: magic number, descriptor with checksum, size, one raw block, checksum.
    const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x24\x04\x21\x00\x00x 1\n\xd5\xe4\xf1\x67";

    /// RFC 8878, section 3.1.2.
    const SKIPPABLE: &[u8] = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc";

    #[test]
    fn what_was_damaged_is_not_taken() {
        for (encoding, packed) in [("gzip", gzip(BODY)), ("snappy", snappy_frames(BODY)), ("zstd", ZSTD.to_vec())] {
            let sound = unpack(packed.clone(), encoding, 1000).unwrap();
            for bit in 0..packed.len() * 8 {
                let mut damaged = packed.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let unpacked = unpack(damaged, encoding, 1000);
                // Some bits say nothing: gzip's time, what fills its last byte, an unused bit of zstd. Snappy passes over
                // pieces of types that are for others.
                let is_harmless = unpacked.as_ref() == Ok(&sound) || (encoding == "snappy" && bit / 8 == 10);
                assert!(unpacked.is_err() || is_harmless, "{encoding}: bit {bit}: {unpacked:?}");
            }
        }
        // A digit was changed on the way.
        let damaged = b"\x28\xb5\x2f\xfd\x24\x0c\x61\x00\x00zz_a 91111111\n\x9e\xf9\xbc\xca";
        let error = unpack(damaged.to_vec(), "zstd", 1000).unwrap_err().to_string();
        assert!(error.starts_with("the body is no sound zstd: "), "{error}");
    }

    #[test]
    fn several_parts_are_one_body() {
        let twice = |packed: &[u8]| [packed, packed].concat();
        for (encoding, packed) in [
            ("gzip", twice(&gzip(b"x 1\n"))),
            ("snappy", twice(&snappy_frames(b"x 1\n"))),
            ("zstd", twice(ZSTD)),
            ("zstd", [SKIPPABLE, ZSTD, SKIPPABLE, SKIPPABLE, &zstd(b"x 1\n"), SKIPPABLE].concat()),
        ] {
            assert_eq!(unpack(packed, encoding, 8).as_deref(), Ok(&b"x 1\nx 1\n"[..]), "{encoding}");
        }
        for (encoding, packed) in [("gzip", gzip(BODY)), ("snappy", snappy_frames(BODY)), ("zstd", ZSTD.to_vec())] {
            assert_eq!(unpack(twice(&packed), encoding, 7), Err(BodyError::TooLong(7)), "{encoding}");
            for more in [&b"x 1\n"[..], &[0; 16]] {
                let followed = [&packed, more].concat();
                assert!(unpack(followed, encoding, 1000).is_err(), "{encoding} followed by {more:?}");
            }
        }
        for end in 1..SKIPPABLE.len() {
            assert!(unpack([ZSTD, &SKIPPABLE[..end]].concat(), "zstd", 100).is_err(), "up to {end}");
        }
    }

    #[test]
    fn zstd_is_held_to_what_it_declares() {
        let frame =
            |descriptor: &[u8], more: &[u8]| [b"\x28\xb5\x2f\xfd", descriptor, b"\x21\x00\x00x 1\n", more].concat();
        let unsound = |packed: Vec<u8>| matches!(unpack(packed, "zstd", 1 << 20), Err(BodyError::Unsound { .. }));
        assert_eq!(unpack(frame(b"\x20\x04", b""), "zstd", 9).as_deref(), Ok(&b"x 1\n"[..]));
        assert!(unsound(frame(b"\x20\x05", b"")), "more is declared");
        assert!(unsound(frame(b"\x20\x03", b"")), "less is declared");
        assert!(unsound(frame(b"\x21\x07\x04", b"")), "a dictionary");
        assert!(unsound(frame(b"\x28\x04", b"")), "a reserved bit");
        assert!(unsound(frame(b"\x24\x04", b"\0\0\0\0")), "another checksum");
        assert!(unsound(frame(b"\x00\xff", b"")), "a window of terabytes");
        assert_eq!(unpack(frame(b"\xa0\x00\x00\x00\x40", b""), "zstd", 9), Err(BodyError::TooLong(9)));
        // 32,511 copies of 34 bytes, in eight bytes: a block may become 128 KiB.
        let block = b"\x20\x00\x00x 1\n\x45\x00\x00\x00\xfe\xff\x54\x00\x00\x1f\x01";
        assert!(unsound([&b"\x28\xb5\x2f\xfd\x00\x58"[..], block].concat()), "a block that is too large");
    }
}
