//! Content-Encoding: decompression of request bodies within a limit.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

/// Why a body cannot be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// An unknown encoding.
    #[error("unsupported Content-Encoding {0:?}; there are identity, gzip, snappy and zstd")]
    Encoding(String),
    /// The same encoding twice. Most likely a proxy repeated the header without compressing the body again.
    #[error("Content-Encoding names {0:?} twice")]
    Twice(String),
    /// The body is corrupt or truncated.
    #[error("the body is no sound {encoding}: {reason}")]
    Corrupt {
        /// The encoding.
        encoding: &'static str,
        /// What is invalid.
        reason: String,
    },
    /// It is too long, compressed or decompressed.
    #[error("the body is longer than the {0} bytes of [gateway] max_body")]
    TooLong(usize),
}

/// Decompresses a body; several encodings are undone from the last to the first.
///
/// # Errors
/// The body is invalid, or decompresses to more than `limit` bytes.
pub fn unpack(body: Vec<u8>, content_encoding: &str, limit: usize) -> Result<Vec<u8>, BodyError> {
    codings(content_encoding)?.iter().try_fold(body, |body, encoding| unpack_one(&body, encoding, limit))
}

/// The encodings of a `Content-Encoding` header in lower case, in the order in which they are undone.
///
/// # Errors
/// It names one twice.
pub fn codings(content_encoding: &str) -> Result<Vec<String>, BodyError> {
    let encodings = content_encoding.split(',').map(|name| name.trim().to_ascii_lowercase());
    let mut encodings: Vec<String> = encodings.filter(|name| !name.is_empty() && name != "identity").collect();
    if let Some(twice) = (1..encodings.len()).find(|at| encodings[..*at].contains(&encodings[*at])) {
        return Err(BodyError::Twice(encodings[twice].clone()));
    }
    encodings.reverse();
    Ok(encodings)
}

/// Undoes the encoding of this name.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_one(body: &[u8], name: &str, limit: usize) -> Result<Vec<u8>, BodyError> {
    let encoding = match name {
        "gzip" | "x-gzip" => "gzip",
        "snappy" => "snappy",
        "zstd" => "zstd",
        _ => return Err(BodyError::Encoding(name.to_owned())),
    };
    match encoding {
        // A truncated body. The encoding of an empty body is not empty.
        _ if !has_data(encoding, body) => Err(BodyError::Corrupt { encoding, reason: "it holds no data".to_owned() }),
        "gzip" => read_all(encoding, MultiGzDecoder::new(body), limit),
        // The name stands for two formats: Pushgateway clients use frames, remote write a raw block.
        "snappy" if body.starts_with(SNAPPY_FRAMES) => read_all(encoding, snap::read::FrameDecoder::new(body), limit),
        "snappy" => unpack_block(body, limit),
        _ => unpack_zstd(body, limit),
    }
}

/// The stream identifier at the start of framed snappy.
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Whether it contains a data frame, possibly of zero bytes; skippable frames do not count.
fn has_data(encoding: &str, body: &[u8]) -> bool {
    let skippable: fn(&[u8]) -> Option<usize> = match encoding {
        "snappy" if body.starts_with(SNAPPY_FRAMES) => snappy_padding,
        "zstd" => zstd_skippable,
        _ => return !body.is_empty(),
    };
    let mut rest = body;
    while let Some(length) = skippable(rest) {
        rest = rest.get(length..).unwrap_or_default();
    }
    !rest.is_empty()
}

/// The length of the skippable snappy chunk at the start.
fn snappy_padding(bytes: &[u8]) -> Option<usize> {
    const HEAD: usize = 4;
    let [kind, length @ ..] = bytes.first_chunk::<HEAD>()?;
    let length = u32::from_le_bytes([length[0], length[1], length[2], 0]) as usize;
    (*kind >= 0x80).then_some(HEAD + length)
}

/// The length of the skippable zstd frame at the start.
fn zstd_skippable(bytes: &[u8]) -> Option<usize> {
    const HEAD: usize = 8;
    let head = bytes.first_chunk::<HEAD>()?;
    let is_skippable = head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
    is_skippable.then(|| HEAD + u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize)
}

fn unpack_block(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let corrupt = |error: snap::Error| BodyError::Corrupt { encoding: "snappy", reason: error.to_string() };
    if snap::raw::decompress_len(body).map_err(corrupt)? > limit {
        return Err(BodyError::TooLong(limit));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(corrupt)
}

/// RFC 8878: consecutive frames, whose checksums and declared sizes are verified; skippable frames are skipped. Blocks over
/// the format's limit of 128 KiB are refused.
fn unpack_zstd(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    zrip::decompress_with_limit(body, limit).map_err(|error| match error {
        zrip::DecompressError::OutputTooSmall => BodyError::TooLong(limit),
        error => BodyError::Corrupt { encoding: "zstd", reason: error.to_string() },
    })
}

fn read_all(encoding: &'static str, reader: impl Read, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut unpacked = Vec::new();
    let read: io::Result<usize> = reader.take(limit as u64 + 1).read_to_end(&mut unpacked);
    match read {
        Ok(_) if unpacked.len() > limit => Err(BodyError::TooLong(limit)),
        Ok(_) => Ok(unpacked),
        Err(error) => Err(BodyError::Corrupt { encoding, reason: error.to_string() }),
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
                assert!(unpacked.is_err(), "{encoding} up to {end}");
            }
        }
    }

    #[test]
    fn nothing_is_unpacked_only_where_it_was_packed() {
        const SKIPPABLE: &[u8] = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc";
        let two = [gzip(BODY), gzip(b"")].concat();
        assert_eq!(unpack(two, "gzip", 100).as_deref(), Ok(BODY));
        assert_eq!(unpack([SKIPPABLE, &zstd(BODY)].concat(), "zstd", 100).as_deref(), Ok(BODY));
        for (encoding, packed) in [("gzip", gzip(b"")), ("zstd", zstd(b"")), ("snappy", b"\0".to_vec()), ("", vec![])] {
            assert_eq!(unpack(packed, encoding, 100).as_deref(), Ok(b"".as_slice()), "{encoding}");
        }
        let without = [
            ("gzip", vec![]),
            ("zstd", vec![]),
            ("snappy", vec![]),
            ("zstd", SKIPPABLE.to_vec()),
            ("zstd", [SKIPPABLE, SKIPPABLE].concat()),
            ("zstd", SKIPPABLE[..9].to_vec()),
            ("snappy", SNAPPY_FRAMES.to_vec()),
            ("snappy", [SNAPPY_FRAMES, b"\xfe\x02\x00\x00ab"].concat()),
        ];
        for (encoding, packed) in without {
            let unpacked = unpack(packed.clone(), encoding, 100);
            assert!(matches!(unpacked, Err(BodyError::Corrupt { .. })), "{encoding} {packed:?}: {unpacked:?}");
        }
    }

    #[test]
    fn nothing_stands_behind_what_is_packed() {
        let block = snap::raw::Encoder::new().compress_vec(BODY).unwrap();
        for (encoding, packed) in [
            ("gzip", gzip(BODY)),
            ("gzip", gzip(b"")),
            ("snappy", block),
            ("snappy", b"\0".to_vec()),
            ("snappy", snappy_frames(BODY)),
            ("zstd", zstd(BODY)),
            ("zstd", zstd(b"")),
        ] {
            for behind in [b"\0".as_slice(), b"x", b"x 1\n", b"\x1f", b"\x28\xb5\x2f\xfd"] {
                let unpacked = unpack([&packed, behind].concat(), encoding, 1000);
                assert!(matches!(unpacked, Err(BodyError::Corrupt { .. })), "{encoding} {behind:?}: {unpacked:?}");
            }
        }
    }

    #[test]
    fn an_encoding_is_named_once() {
        for names in ["gzip, gzip", "gzip,zstd,GZIP", "snappy, identity, snappy"] {
            assert!(matches!(unpack(gzip(&gzip(BODY)), names, 100), Err(BodyError::Twice(_))), "{names}");
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
                // Some bits have no meaning: gzip's time and its final padding, an unused bit of zstd. Snappy skips chunks of
                // reserved types.
                let is_harmless = unpacked.as_ref() == Ok(&sound) || (encoding == "snappy" && bit / 8 == 10);
                assert!(unpacked.is_err() || is_harmless, "{encoding}: bit {bit}: {unpacked:?}");
            }
        }
        // One digit has changed in transit.
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
        let is_corrupt = |packed: Vec<u8>| matches!(unpack(packed, "zstd", 1 << 20), Err(BodyError::Corrupt { .. }));
        assert_eq!(unpack(frame(b"\x20\x04", b""), "zstd", 9).as_deref(), Ok(&b"x 1\n"[..]));
        assert!(is_corrupt(frame(b"\x20\x05", b"")), "more is declared");
        assert!(is_corrupt(frame(b"\x20\x03", b"")), "less is declared");
        assert!(is_corrupt(frame(b"\x21\x07\x04", b"")), "a dictionary");
        assert!(is_corrupt(frame(b"\x28\x04", b"")), "a reserved bit");
        assert!(is_corrupt(frame(b"\x24\x04", b"\0\0\0\0")), "another checksum");
        assert!(is_corrupt(frame(b"\x00\xff", b"")), "a window of terabytes");
        assert_eq!(unpack(frame(b"\xa0\x00\x00\x00\x40", b""), "zstd", 9), Err(BodyError::TooLong(9)));
        // 32,511 copies of 34 bytes, encoded in eight bytes. A block is at most 128 KiB.
        let block = b"\x20\x00\x00x 1\n\x45\x00\x00\x00\xfe\xff\x54\x00\x00\x1f\x01";
        assert!(is_corrupt([&b"\x28\xb5\x2f\xfd\x00\x58"[..], block].concat()), "a block that is too large");
    }
}
