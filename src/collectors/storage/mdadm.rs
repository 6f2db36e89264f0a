//! md arrays (Linux software RAID).

use std::borrow::Cow;

use crate::collectors::framework::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::family::FamilyInfo;
use crate::encode::infos::{concat, infos};
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, Line, ReadError, Text, file};

pub(super) struct Mdadm {
    mdstat: HostFile,
}

/// `/proc/mdstat`: drivers/md/md.c, `md_seq_show`; and `/sys/block/md*/md`.
#[derive(Default)]
pub(super) struct MdadmReading {
    arrays: Vec<Array>,
}

#[derive(Debug, PartialEq)]
struct Array {
    name: String,
    /// Usually one of [`STATES`].
    state: Cow<'static, str>,
    required: u64,
    active: u64,
    failed: u64,
    down: u64,
    spare: u64,
    blocks: u64,
    synced: u64,
    /// `md/raid_disks` and `md/degraded` of sysfs.
    raid_disks: Option<u64>,
    degraded: Option<u64>,
}

impl Collector for Mdadm {
    const ABOUT: About = About {
        name: "mdadm",
        summary: "md arrays (Linux software RAID): state, disks and synchronisation",
        reads: &["/proc/mdstat", "/sys/block/md*/md/{raid_disks,degraded}"],
        needs: "the kernel module md",
        families: &concat::<FamilyInfo, 7>(&[&infos!(COLUMNS.0), &[DISKS.info(), STATE.info()]]),
        ..About::PLAIN
    };
    type Reading = MdadmReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Mdadm { mdstat: host.proc("mdstat") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut MdadmReading) -> Result<(), ReadError> {
        reading.arrays.clear();
        reading.arrays = read_arrays(self.mdstat.read(cx.buffer)?, cx.problems);
        for array in &mut reading.arrays {
            let folder = cx.host.sys_path(format!("block/{}/md", array.name));
            let mut number = |name| {
                let number = file::read_once(&folder.join(name), cx.buffer).and_then(read_count);
                cx.part(number).flatten()
            };
            array.raid_disks = number("raid_disks");
            // Exists only for arrays with redundancy.
            array.degraded = number("degraded");
        }
        Ok(())
    }
}

/// The count in a file of sysfs: `4`, or `6 (4)` while the array is reshaped. None if the file is empty.
fn read_count(text: Text<'_>) -> Result<Option<u64>, ReadError> {
    text.first_line().fields().optional("a count")
}

fn read_arrays(mdstat: Text<'_>, problems: &mut Vec<ReadError>) -> Vec<Array> {
    let lines: Vec<Line<'_>> = mdstat.lines().collect();
    let is_array = |line: &Line<'_>| {
        let bytes = line.bytes();
        let is_other = [&b"Personalities"[..], b"unused", b" "].iter().any(|start| bytes.starts_with(start));
        !is_other && !bytes.trim_ascii().is_empty()
    };
    let starts: Vec<usize> = (0..lines.len()).filter(|index| is_array(&lines[*index])).collect();
    let mut arrays = Vec::new();
    for (nth, start) in starts.iter().enumerate() {
        let end = starts.get(nth + 1).copied().unwrap_or(lines.len());
        match read_array(lines[*start], &lines[start + 1..end]) {
            Ok(array) => arrays.push(array),
            Err(error) => problems.push(error),
        }
    }
    arrays
}

/// Parses `md0 : active raid1 sdb1[1] sda1[0](F)` and the lines after it:
/// `523968 blocks super 1.2 [2/1] [U_]`, `[==>...]  recovery = 12.6% (33/261) finish=…`.
fn read_array(header: Line<'_>, details: &[Line<'_>]) -> Result<Array, ReadError> {
    let mut fields = header.fields();
    let name = String::from_utf8_lossy(fields.required("the name of an array")?).into_owned();
    fields.required("a colon")?;
    let state = match fields.required("the state of the array")? {
        b"active" => "active".into(),
        b"inactive" => "inactive".into(),
        other => String::from_utf8_lossy(other).into_owned().into(),
    };
    let members: Vec<&[u8]> = fields.filter(|field| field.contains(&b'[')).collect();
    let marked = |mark: &[u8]| members.iter().filter(|member| member.ends_with(mark)).count() as u64;
    let mut array = Array {
        name,
        state,
        required: 0,
        active: 0,
        failed: marked(b"(F)"),
        down: 0,
        spare: marked(b"(S)"),
        blocks: 0,
        synced: 0,
        raid_disks: None,
        degraded: None,
    };
    let sizes = details.first().ok_or_else(|| header.malformed("a line with the array's blocks after it", b""))?;
    read_sizes(*sizes, members.len() as u64, &mut array)?;
    array.synced = array.blocks;
    for line in &details[1..] {
        read_progress(*line, &mut array)?;
    }
    Ok(array)
}

/// Parses `523968 blocks super 1.2 [2/1] [U_]`. Arrays without redundancy have no brackets.
fn read_sizes(line: Line<'_>, members: u64, array: &mut Array) -> Result<(), ReadError> {
    let mut fields = line.fields();
    array.blocks = fields.number("the array's blocks")?;
    let disks = line.fields().find_map(|field| {
        let (total, active) = std::str::from_utf8(field).ok()?.strip_prefix('[')?.strip_suffix(']')?.split_once('/')?;
        Some((total.parse().ok()?, active.parse().ok()?))
    });
    let is_map = |field: &&[u8]| field.starts_with(b"[") && field.iter().any(|byte| matches!(byte, b'U' | b'_'));
    let map = line.fields().find(is_map).unwrap_or_default();
    array.down = map.iter().filter(|byte| **byte == b'_').count() as u64;
    (array.required, array.active) = disks.unwrap_or(match &*array.state {
        "active" => (members, members),
        _ => (0, 0),
    });
    Ok(())
}

/// Activities by the kernel's keyword, and their states.
const ACTIVITIES: [(&str, &str); 4] =
    [("recovery", "recovering"), ("resync", "resync"), ("check", "check"), ("reshape", "reshape")];
const STATES: [&str; 6] = ["active", "inactive", "recovering", "resync", "check", "reshape"];

/// Parses `[>...]  resync = 12.6% (33/261) finish=0.1min speed=33K/sec` or `resync=DELAYED`. Ignores the bitmap line.
fn read_progress(line: Line<'_>, array: &mut Array) -> Result<(), ReadError> {
    let text = String::from_utf8_lossy(line.bytes());
    let bar = text.find(']').filter(|_| text.trim_start().starts_with('[')).map_or(0, |end| end + 1);
    let Some((activity, progress)) = text[bar..].split_once('=') else { return Ok(()) };
    let activity = activity.trim();
    array.state = match ACTIVITIES.iter().find(|(word, _)| *word == activity) {
        Some((_, state)) => (*state).into(),
        None => activity.to_owned().into(),
    };
    if WAITING.contains(&progress.trim()) {
        array.synced = 0;
        return Ok(());
    }
    let done =
        progress.split_once('(').and_then(|(_, rest)| rest.split_once('/')).and_then(|(done, _)| done.parse().ok());
    array.synced = done.ok_or_else(|| line.malformed("how much is done, such as (33/261)", line.bytes()))?;
    Ok(())
}

/// What stands for the progress of an activity that has not begun here.
const WAITING: [&str; 3] = ["DELAYED", "PENDING", "REMOTE"];

type Column = (Family<1>, fn(&Array) -> Option<u64>);

const fn column(name: &'static str, help: &'static str, value: fn(&Array) -> Option<u64>) -> Column {
    (Family::gauge(name, help, ["device"]), value)
}

const COLUMNS: [Column; 5] = [
    column("node_md_blocks", "Blocks of 1 KiB in the array", |a| Some(a.blocks)),
    column("node_md_blocks_synced", "Synchronised blocks of 1 KiB in the array", |a| Some(a.synced)),
    column("node_md_degraded", "Missing disks of the array; only with redundancy", |a| a.degraded),
    column("node_md_disks_required", "Disks required by the array", |a| Some(a.required)),
    column("node_md_raid_disks", "Disks required by the array, from sysfs", |a| a.raid_disks),
];
const DISKS: Family<2> = Family::gauge("node_md_disks", "Disks of the array by state", ["device", "state"]);
const STATE: Family<2> =
    Family::gauge("node_md_state", "1 for the current state of the array, 0 for the others", ["device", "state"]);

impl Reading for MdadmReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (family, value) in &COLUMNS {
            let mut samples = out.family(family);
            for array in &self.arrays {
                if let Some(value) = value(array) {
                    samples.sample([&array.name], value);
                }
            }
        }
        let mut disks = out.family(&DISKS);
        for array in &self.arrays {
            for (state, count) in
                [("active", array.active), ("down", array.down), ("failed", array.failed), ("spare", array.spare)]
            {
                disks.sample([&array.name, state], count);
            }
        }
        drop(disks);
        let mut states = out.family(&STATE);
        for array in &self.arrays {
            for state in STATES {
                states.sample([&array.name, state], u64::from(array.state == state));
            }
            if !STATES.contains(&&*array.state) {
                states.sample([&array.name, &array.state], 1u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn arrays(mdstat: &str) -> (Vec<Array>, Vec<ReadError>) {
        let mut problems = Vec::new();
        let arrays = read_arrays(Text::new(Path::new("/proc/mdstat"), mdstat.as_bytes()), &mut problems);
        (arrays, problems)
    }

    #[test]
    fn a_broken_array_costs_only_itself() {
        let (arrays, problems) = arrays(
            "Personalities : [raid1]\n\
             md1 : active raid1 sdb1[1]\n\
             md2 : active raid1 sdb2[1] sda2[0](F)\n      523968 blocks [2/1] [_U]\n\n\
             unused devices: <none>\n",
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
        let found: Vec<_> = arrays.iter().map(|a| (a.name.as_str(), a.required, a.active, a.failed, a.down)).collect();
        assert_eq!(found, [("md2", 2, 1, 1, 1)]);
    }

    #[test]
    fn a_state_or_an_activity_that_is_not_known_is_shown() {
        let (found, problems) = arrays(
            "md1 : broken raid1 a[0] b[1]\n  100 blocks [2/2] [UU]\n\n\
             md2 : active raid1 a[0] b[1]\n  100 blocks [2/2] [UU]\n  [==>..]  repack = 7.0% (7/100) finish=1min speed=1K/sec\n\
             md3 : active raid1 a[0] b[1]\n  100 blocks [2/2] [UU]\n  \tresync=REMOTE\n\
             md4 : active raid1 a[0] b[1]\n  100 blocks [2/2] [UU]\n  resync = soon\n",
        );
        let states: Vec<_> = found.iter().map(|array| (&*array.state, array.synced)).collect();
        assert_eq!(states, [("broken", 100), ("repack", 7), ("resync", 0)]);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn a_delayed_resync_has_done_nothing_yet() {
        let (arrays, _) = arrays("md3 : active raid6 a[0] b[1]\n  100 blocks [2/2] [UU]\n  \tresync=DELAYED\n");
        assert_eq!((&*arrays[0].state, arrays[0].synced), ("resync", 0));
    }
}
