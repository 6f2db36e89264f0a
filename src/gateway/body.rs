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

fn unpack_one(body: Vec<u8>, encoding: &str, limit: usize) -> Result<Vec<u8>, BodyError> {
    match encoding.to_ascii_lowercase().as_str() {
        "identity" => Ok(body),
        "gzip" | "x-gzip" => read_all("gzip", MultiGzDecoder::new(body.as_slice()), limit),
        // Either format goes by this name: clients of Pushgateway frame it, remote write does not.
        "snappy" if body.starts_with(b"\xff\x06\x00\x00sNaPpY") => {
            read_all("snappy", snap::read::FrameDecoder::new(body.as_slice()), limit)
        }
        "snappy" => unpack_block(&body, limit),
        "zstd" => unpack_zstd(&body, limit),
        _ => Err(BodyError::Encoding(encoding.to_owned())),
    }
}

fn unpack_block(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let unsound = |error: snap::Error| BodyError::Unsound { encoding: "snappy", reason: error.to_string() };
    if snap::raw::decompress_len(body).map_err(unsound)? > limit {
        return Err(BodyError::TooLong(limit));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(unsound)
}

fn unpack_zstd(body: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let unsound = |reason: String| BodyError::Unsound { encoding: "zstd", reason };
    let (mut rest, mut unpacked) = (body, Vec::new());
    while !rest.is_empty() {
        let decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest).map_err(|error| unsound(error.to_string()))?;
        unpacked.extend(read_all("zstd", decoder, limit.saturating_sub(unpacked.len()))?);
    }
    Ok(unpacked)
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
        ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
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
            for end in 1..packed.len() {
                let unpacked = unpack(packed[..end].to_vec(), encoding, 1000);
                assert!(!unpacked.is_ok_and(|body| body == BODY), "{encoding} up to {end}");
            }
            assert!(unpack(packed[..packed.len() - 1].to_vec(), encoding, 1000).is_err(), "{encoding}");
        }
    }
}
