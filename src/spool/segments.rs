//! What stands in the segments: records of points.

use std::fs::File;
use std::io;

use super::age::Written;
use super::places::{Place, Stretch};
use crate::encode::point::Lines;
use crate::store::{MAX_RECORD, OpenError, records};
use crate::system::{self, OwnFolder, Stamp, Use};

/// What every segment begins with; the last byte is the format's version.
pub(super) const MAGIC: &[u8; 8] = b"TAFSPL\n\x01";
const EXTENSION: &str = "points";
/// Bytes of a record's payload before `ends`.
const HEAD: usize = 12;
pub(super) const LARGEST_SEGMENT: u64 = 4 << 20;
/// A segment is closed once it is large enough, which its last record may go beyond.
const LARGEST_FILE: u64 = LARGEST_SEGMENT + MAX_RECORD as u64;

pub(super) fn bytes_of(lines: &Lines, first: usize, end: usize) -> u64 {
    let until = |index: usize| index.checked_sub(1).map_or(0, |before| lines.ends()[before]);
    u64::from(until(end) - until(first))
}

impl About {
    /// Whether its file is in the folder as it was left; while it is written to, only whether it is the same one.
    pub(super) fn is_in(&self, folder: &OwnFolder, number: u64, is_written: bool) -> bool {
        let (Some(found), Some(known)) = (folder.stamp(&name_of(number)), self.stamp) else { return false };
        // The time of a change is told differently by servers of files and their clients.
        found.identity() == known.identity() && (is_written || found.size == known.size)
    }
}

/// The name of a segment.
pub(super) fn name_of(number: u64) -> String {
    format!("{number:010}.{EXTENSION}")
}

/// The numbers of the segments in `folder`, in order.
pub(super) fn numbers(folder: &OwnFolder) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = folder.names()?.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()
}

/// Whether a segment may be called so.
pub(super) fn is_name(name: &std::ffi::OsStr) -> bool {
    name.to_str().and_then(number_of).is_some()
}

/// What is known of a segment.
#[derive(Debug)]
pub(super) struct About {
    /// Which file it is, as it was when it was last written to.
    pub(super) stamp: Option<Stamp>,
    pub(super) file_bytes: u64,
    /// Points that wait, and their bytes.
    pub(super) points: u64,
    pub(super) point_bytes: u64,
    pub(super) written: Written,
}

/// The payload of a record of points that came in at `time`.
pub(super) fn encode(lines: &Lines, time: i64) -> Vec<u8> {
    let mut payload = Vec::with_capacity(HEAD + lines.count() * 4 + lines.bytes().len());
    payload.extend(time.to_le_bytes());
    payload.extend((lines.count() as u32).to_le_bytes());
    payload.extend(lines.ends().iter().flat_map(|end| end.to_le_bytes()));
    payload.extend_from_slice(lines.bytes());
    payload
}

/// A record's time and points.
fn decode(payload: &[u8]) -> Option<(i64, Lines)> {
    let time = i64::from_le_bytes(payload.get(..8)?.try_into().ok()?);
    let count = u32::from_le_bytes(payload.get(8..HEAD)?.try_into().ok()?) as usize;
    let start = HEAD.checked_add(count.checked_mul(4)?)?;
    let ends = payload.get(HEAD..start)?.chunks_exact(4);
    let ends = ends.map(|end| u32::from_le_bytes(end.try_into().unwrap_or_default())).collect();
    Some((time, Lines::from_parts(payload[start..].to_vec(), ends)?))
}

pub(super) enum Found {
    /// Points, and the bytes that the record takes.
    Record(Lines, u64),
    /// Nothing whole here; perhaps at this offset.
    NextAt(u64),
    Nothing,
}

/// Reads the record at `offset` of a segment that is sound up to `end`.
pub(super) fn read_record(file: &File, offset: u64, end: u64) -> io::Result<Found> {
    let mut head = [0; records::HEAD];
    if offset + head.len() as u64 > end || !is_read(file, &mut head, offset)? {
        return Ok(Found::Nothing);
    }
    let length = u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]])) + records::HEAD as u64;
    if offset + length <= end {
        let mut bytes = vec![0; length as usize];
        if is_read(file, &mut bytes, offset)?
            && let Some((payload, _)) = records::first(&bytes)
            && let Some((_, lines)) = decode(payload)
        {
            return Ok(Found::Record(lines, length));
        }
    }
    let mut rest = vec![0; (end - offset) as usize];
    let next = if is_read(file, &mut rest, offset)? { records::next(&rest) } else { None };
    Ok(next.map_or(Found::Nothing, |skipped| Found::NextAt(offset + skipped as u64)))
}

/// Fills `bytes`, unless the file ends before.
fn is_read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    Ok(system::read_up_to(file, bytes, offset)? == bytes.len())
}

/// Reads a whole segment, and tells what of it waits. The end of the last one may be torn, which is then cut off.
pub(super) fn scan(
    folder: &OwnFolder,
    number: u64,
    may_be_torn: bool,
    stretches: &[Stretch],
    damage: &mut Vec<String>,
) -> Result<Option<About>, OpenError> {
    let path = folder.path().join(name_of(number));
    let (bytes, stamp) = match read(folder, number) {
        Ok(read) => read,
        // Somebody else put it there: it is not ours, and ours is not behind it.
        Err(error) if error.kind() == io::ErrorKind::Other => {
            damage.push(format!("{}: {error}, which is passed over", path.display()));
            return Ok(None);
        }
        Err(reason) => return Err(OpenError::Io { path, what: "cannot be read", reason }),
    };
    let (same, version) = (MAGIC.len() - 1, bytes.get(MAGIC.len() - 1));
    if bytes.get(..same) == Some(&MAGIC[..same]) && version.is_some_and(|version| *version != MAGIC[same]) {
        return Err(OpenError::Version(path));
    }
    let written = Written::Before(None);
    let mut about = About { stamp: Some(stamp), file_bytes: 0, points: 0, point_bytes: 0, written };
    let mut at = MAGIC.len().min(bytes.len());
    let is_cut_off = may_be_torn && MAGIC.starts_with(&bytes);
    if !is_cut_off && !bytes.starts_with(MAGIC) {
        damage.push(format!("{}: the start is damaged", path.display()));
    }
    while at < bytes.len() {
        let whole = records::first(&bytes[at..]).and_then(|(payload, length)| Some((decode(payload)?, length)));
        if let Some(((time, lines), length)) = whole {
            let place = Place { segment: number, offset: at as u64, points: 0 };
            if let Some(before) = stretches.iter().find_map(|stretch| stretch.has(place)) {
                let before = (before as usize).min(lines.count());
                about.points += (lines.count() - before) as u64;
                about.point_bytes += bytes_of(&lines, before, lines.count());
                about.written.add(time);
            }
            at += length;
            continue;
        }
        match records::next(&bytes[at..]) {
            Some(skipped) => {
                damage.push(format!(
                    "{}: damaged from byte {at} to {}, which is passed over",
                    path.display(),
                    at + skipped
                ));
                at += skipped;
            }
            None => {
                if !may_be_torn {
                    damage.push(format!("{}: damaged from byte {at} to its end, which is passed over", path.display()));
                }
                break;
            }
        }
    }
    about.file_bytes = at as u64;
    Ok(Some(about))
}

/// A whole segment, and which file it is.
fn read(folder: &OwnFolder, number: u64) -> io::Result<(Vec<u8>, Stamp)> {
    let file = folder.file(&name_of(number), Use::Read)?;
    let found = file.metadata()?;
    if found.len() > LARGEST_FILE {
        return Err(io::Error::other(format!("larger than any segment, {} bytes", found.len())));
    }
    let mut bytes = vec![0; found.len() as usize];
    let read = system::read_up_to(&file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok((bytes, Stamp::from(&found)))
}
