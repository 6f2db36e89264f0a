//! The contents of segments: records of points.

use std::fs::File;
use std::io;

use super::age::Arrival;
use super::checkpoint::{Position, Span};
use crate::encode::lines::Lines;
use crate::store::{MAX_RECORD, OpenError, records};
use crate::system::{self, PrivateFolder, Stamp, Use};

/// Start of every segment; the last byte is the format version.
pub(super) const MAGIC: &[u8; 8] = b"TAFSPL\n\x01";
const EXTENSION: &str = "points";
/// Bytes of a record's payload before `ends`.
const HEADER_BYTES: usize = 12;
pub(super) const MAX_SEGMENT_BYTES: u64 = 4 << 20;
/// A segment is closed when it reaches its size, which its last record may exceed.
const MAX_FILE_BYTES: u64 = MAX_SEGMENT_BYTES + MAX_RECORD as u64;

pub(super) fn bytes_of(lines: &Lines, first: usize, end: usize) -> u64 {
    let until = |index: usize| index.checked_sub(1).map_or(0, |before| lines.ends()[before]);
    u64::from(until(end) - until(first))
}

/// The file name of a segment.
pub(super) fn name_of(number: u64) -> String {
    format!("{number:010}.{EXTENSION}")
}

/// The numbers of the segments in `folder`, in order.
pub(super) fn numbers(folder: &PrivateFolder) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = folder.names()?.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()
}

/// Whether this is the file name of a segment.
pub(super) fn is_name(name: &std::ffi::OsStr) -> bool {
    name.to_str().and_then(number_of).is_some()
}

/// What the queue knows about a segment.
#[derive(Debug)]
pub(super) struct SegmentInfo {
    /// Identity, size and times of the file after its last write.
    pub(super) stamp: Option<Stamp>,
    pub(super) file_bytes: u64,
    /// Points that wait, and their bytes.
    pub(super) points: u64,
    pub(super) point_bytes: u64,
    pub(super) written: Arrival,
    /// How often the segment was surveyed.
    pub(super) surveys: u32,
}

impl SegmentInfo {
    /// Whether its file is in the folder with the expected size; of an open segment, only the identity is compared.
    pub(super) fn is_in(&self, folder: &PrivateFolder, number: u64, is_written: bool) -> bool {
        let (Some(found), Some(known)) = (folder.stamp(&name_of(number)), self.stamp) else { return false };
        found.identity() == known.identity() && (is_written || found.size == known.size)
    }

    /// Whether its file is unchanged since it was last read or written. A file server may report times differently:
    /// the segment is then read once more.
    pub(super) fn is_as_it_was(&self, folder: &PrivateFolder, number: u64) -> bool {
        folder.stamp(&name_of(number)) == self.stamp
    }
}

/// The payload of a record of points that arrived at `time`.
pub(super) fn encode(lines: &Lines, time: i64) -> Vec<u8> {
    let mut payload = Vec::with_capacity(HEADER_BYTES + lines.count() * 4 + lines.bytes().len());
    payload.extend(time.to_le_bytes());
    payload.extend((lines.count() as u32).to_le_bytes());
    payload.extend(lines.ends().iter().flat_map(|end| end.to_le_bytes()));
    payload.extend_from_slice(lines.bytes());
    payload
}

/// A record's time and points.
fn decode(payload: &[u8]) -> Option<(i64, Lines)> {
    let time = i64::from_le_bytes(payload.get(..8)?.try_into().ok()?);
    let count = u32::from_le_bytes(payload.get(8..HEADER_BYTES)?.try_into().ok()?) as usize;
    let start = HEADER_BYTES.checked_add(count.checked_mul(4)?)?;
    let ends = payload.get(HEADER_BYTES..start)?.chunks_exact(4);
    let ends = ends.map(|end| u32::from_le_bytes(end.try_into().unwrap_or_default())).collect();
    Some((time, Lines::from_parts(payload[start..].to_vec(), ends)?))
}

/// Reads the record at `offset` of a segment that is valid up to `end`, and returns its length in bytes; `None` if
/// there is no intact record.
pub(super) fn read_record(file: &File, offset: u64, end: u64) -> io::Result<Option<(Lines, u64)>> {
    let mut head = [0; records::HEADER_BYTES];
    if offset + head.len() as u64 > end || !is_read(file, &mut head, offset)? {
        return Ok(None);
    }
    let length = u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]])) + records::HEADER_BYTES as u64;
    if offset + length > end {
        return Ok(None);
    }
    let mut bytes = vec![0; length as usize];
    let is_whole = is_read(file, &mut bytes, offset)?;
    let whole = is_whole.then(|| records::first(&bytes)).flatten();
    Ok(whole.and_then(|(payload, _)| decode(payload)).map(|(_, lines)| (lines, length)))
}

/// Fills `bytes`; false if the file ends earlier.
fn is_read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    Ok(system::read_up_to(file, bytes, offset)? == bytes.len())
}

/// The readable part of a segment.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Waiting points in it, and their bytes.
    pub(super) points: u64,
    pub(super) point_bytes: u64,
    /// Arrival times of its records, in Unix seconds.
    pub(super) times: Vec<i64>,
    /// End of the readable data.
    pub(super) end: u64,
    /// The first intact record at or after the requested offset.
    pub(super) next: Option<u64>,
    /// Whether it begins like a segment.
    pub(super) is_ours: bool,
    /// Description of the unreadable data; `None` if all is readable.
    pub(super) damage: Option<String>,
}

/// Parses the bytes of a whole segment, and counts its waiting points. An incomplete end of a segment that `may_be_torn`
/// is not damage.
pub(super) fn survey(bytes: &[u8], number: u64, may_be_torn: bool, spans: &[Span], from: u64) -> Survey {
    let (mut survey, mut damage) = (Survey::default(), Vec::new());
    let (mut at, mut finder) = (MAGIC.len().min(bytes.len()), records::Finder::new(bytes));
    if at > 0 && !bytes.starts_with(MAGIC) && !(may_be_torn && MAGIC.starts_with(bytes)) {
        damage.push((0, at));
    }
    while at < bytes.len() {
        let whole = records::first(&bytes[at..]).and_then(|(payload, length)| Some((decode(payload)?, length)));
        if let Some(((time, lines), length)) = whole {
            survey.add(Position { segment: number, offset: at as u64, points: 0 }, time, &lines, spans);
            if at as u64 >= from {
                survey.next.get_or_insert(at as u64);
            }
            at += length;
            continue;
        }
        let next = finder.next(at);
        if next.is_some() || !may_be_torn {
            let end = next.unwrap_or(bytes.len());
            match damage.last_mut() {
                Some((_, before)) if *before == at => *before = end,
                _ => damage.push((at, end)),
            }
        }
        let Some(next) = next else { break };
        at = next;
    }
    survey.end = at as u64;
    survey.is_ours = bytes.starts_with(MAGIC);
    survey.damage = damage.first().map(|(from, to)| match damage.len() - 1 {
        0 => format!("damaged from byte {from} to {to}"),
        more => format!("damaged from byte {from} to {to}, and in {more} more places"),
    });
    survey
}

impl Survey {
    fn add(&mut self, position: Position, time: i64, lines: &Lines, spans: &[Span]) {
        let Some(before) = spans.iter().find_map(|span| span.has(position)) else { return };
        let before = (before as usize).min(lines.count());
        self.points += (lines.count() - before) as u64;
        self.point_bytes += bytes_of(lines, before, lines.count());
        self.times.push(time);
    }
}

/// Reads a segment of an earlier process. A file that is not a segment is `None`.
pub(super) fn scan(
    folder: &PrivateFolder,
    number: u64,
    may_be_torn: bool,
    spans: &[Span],
    damage: &mut Vec<String>,
) -> Result<Option<SegmentInfo>, OpenError> {
    let path = folder.path().join(name_of(number));
    let (bytes, stamp) = match read(folder, number) {
        Ok(read) => read,
        // It is not a segment of ours.
        Err(error) if is_foreign(&error) => {
            damage.push(format!("{}: {error}, which is passed over", path.display()));
            return Ok(None);
        }
        Err(reason) => return Err(OpenError::Io { path, what: "cannot be read", reason }),
    };
    let (same, version) = (MAGIC.len() - 1, bytes.get(MAGIC.len() - 1));
    if bytes.get(..same) == Some(&MAGIC[..same]) && version.is_some_and(|version| *version != MAGIC[same]) {
        return Err(OpenError::Version(path));
    }
    let found = survey(&bytes, number, may_be_torn, spans, 0);
    damage.extend(found.damage.map(|what| format!("{}: {what}, which is passed over", path.display())));
    let mut written = Arrival::Before(None);
    found.times.iter().for_each(|time| written.add(*time));
    let (points, point_bytes) = (found.points, found.point_bytes);
    Ok(Some(SegmentInfo { stamp: Some(stamp), file_bytes: found.end, points, point_bytes, written, surveys: 0 }))
}

/// Whether an error means that a file is not a segment of ours.
pub(super) fn is_foreign(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other
}

/// Reads a whole segment, and its file's stamp.
pub(super) fn read(folder: &PrivateFolder, number: u64) -> io::Result<(Vec<u8>, Stamp)> {
    let file = folder.file(&name_of(number), Use::Read)?;
    let found = file.metadata()?;
    if found.len() > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("larger than any segment, {} bytes", found.len())));
    }
    Ok((read_until(&file, found.len())?, Stamp::from(&found)))
}

/// Reads a file up to `end`, or to its end.
pub(super) fn read_until(file: &File, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; end as usize];
    let read = system::read_up_to(file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
