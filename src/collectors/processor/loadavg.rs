//! Load averages. Points also have uptime, users and CPU counts, as Telegraf's `system`.

use std::collections::HashSet;

use super::cpu_list::read_cpu_list;
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Reading, Since};
use crate::config::Section;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, ReadError, Text, Watched, file};

pub(super) struct Loadavg {
    loadavg: HostFile,
    uptime: HostFile,
    online: HostFile,
    utmp: Watched<Users>,
    cpus: Cpus,
}

#[derive(Clone, Debug, Default)]
struct Cpus {
    /// Content of `/sys/devices/system/cpu/online` that the counts were made from.
    online: String,
    logical: i64,
    /// `None` if sysfs does not report the topology.
    physical: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Users {
    sessions: i64,
    unique: i64,
}

/// `/proc/loadavg`, and the other inputs of `system`.
#[derive(Default)]
pub(super) struct LoadavgReading {
    loads: Option<[f64; 3]>,
    uptime_seconds: Option<u64>,
    cpus: Option<(i64, Option<i64>)>,
    users: Option<Users>,
}

impl Collector for Loadavg {
    const ABOUT: About = About {
        name: "loadavg",
        summary: "load averages; pushed with uptime, users and CPU counts as `system`",
        reads: &["/proc/loadavg", "/proc/uptime", "/sys/devices/system/cpu", "/run/utmp"],
        families: &infos!(LOAD_FAMILIES),
        measurements: &[SYSTEM.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = LoadavgReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Loadavg {
            loadavg: host.proc("loadavg").one_record(),
            uptime: host.proc("uptime").one_record(),
            online: host.sys("devices/system/cpu/online"),
            utmp: Watched::new(host.root_path("run/utmp")),
            cpus: Cpus::default(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut LoadavgReading) -> Result<(), ReadError> {
        *reading = LoadavgReading::default();
        if let Some(portable) = cx.host.by_sysinfo() {
            let (logical, physical) = portable.cpu_counts();
            reading.loads = portable.load();
            reading.uptime_seconds = Some(portable.uptime().0);
            reading.cpus = Some((logical as i64, physical.map(|cores| cores as i64)));
            return Ok(());
        }
        if cx.wanted.points {
            let uptime =
                self.uptime.read(cx.buffer).and_then(|text| text.first_line().fields().number::<f64>("seconds"));
            reading.uptime_seconds = cx.part(uptime).map(|seconds| seconds as u64);
            reading.users = self.utmp.get(cx.buffer, read_users).ok().copied();
            reading.cpus = self.count_cpus(cx);
        }
        let mut fields = self.loadavg.read(cx.buffer)?.first_line().fields();
        let mut load = || fields.number("a load average");
        reading.loads = Some([load()?, load()?, load()?]);
        Ok(())
    }
}

impl Loadavg {
    fn count_cpus(&mut self, cx: &mut ReadContext<'_>) -> Option<(i64, Option<i64>)> {
        let text = self.online.read(cx.buffer).ok()?;
        let online = text.trimmed().into_owned();
        if online != self.cpus.online {
            let numbers = cx.problems.part(read_cpu_list(text))?;
            let mut topology = |number: u32, name: &str| {
                let path = cx.host.sys_path(format!("devices/system/cpu/cpu{number}/topology/{name}"));
                file::read_once(&path, cx.buffer).ok().map(|text| text.trimmed().into_owned())
            };
            let mut core_of = |number| Some((topology(number, "physical_package_id")?, topology(number, "core_id")?));
            let cores: Option<HashSet<_>> = numbers.iter().map(|number| core_of(*number)).collect();
            self.cpus = Cpus { online, logical: numbers.len() as i64, physical: cores.map(|cores| cores.len() as i64) };
        }
        Some((self.cpus.logical, self.cpus.physical))
    }
}

/// Counts the `USER_PROCESS` records of utmp(5).
fn read_users(text: Text<'_>) -> Users {
    const RECORD_BYTES: usize = 384;
    const USER_PROCESS: &[u8] = &7u16.to_ne_bytes();
    let records = text.bytes().chunks_exact(RECORD_BYTES);
    let names: Vec<&[u8]> = records.filter(|record| record.starts_with(USER_PROCESS)).map(|r| &r[44..76]).collect();
    Users { sessions: names.len() as i64, unique: names.iter().collect::<HashSet<_>>().len() as i64 }
}

const LOAD_FAMILIES: [Family<0>; 3] = [
    Family::gauge("node_load1", "1-minute load average", []),
    Family::gauge("node_load5", "5-minute load average", []),
    Family::gauge("node_load15", "15-minute load average", []),
];

const LOAD_FIELDS: [Field<f64>; 3] = [
    Field::new("load1", "1-minute load average"),
    Field::new("load5", "5-minute load average"),
    Field::new("load15", "15-minute load average"),
];
const N_CPUS: Field<i64> = Field::new("n_cpus", "online CPUs");
const N_PHYSICAL_CPUS: Field<i64> =
    Field::new("n_physical_cpus", "online cores; absent if sysfs does not report the topology");
const N_USERS: Field<i64> = Field::new("n_users", "user sessions; absent if the system has no utmp");
const N_UNIQUE_USERS: Field<i64> = Field::new("n_unique_users", "users with a session");
const UPTIME: Field<u64> = Field::new("uptime", "seconds since boot");
const UPTIME_FORMAT: Field<str> = Field::new("uptime_format", "uptime, formatted");
const SYSTEM: Measurement<0> = Measurement::new("system", [], &SYSTEM_FIELDS);
const SYSTEM_FIELDS: [FieldInfo; LOAD_FIELDS.len() + 6] = concat(&[
    &infos!(LOAD_FIELDS),
    &[N_CPUS.info(), N_PHYSICAL_CPUS.info(), N_USERS.info(), N_UNIQUE_USERS.info()],
    &[UPTIME.info(), UPTIME_FORMAT.info()],
]);

impl Reading for LoadavgReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (family, load) in LOAD_FAMILIES.iter().zip(self.loads.into_iter().flatten()) {
            out.value(family, load);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let mut point = out.point(&SYSTEM, []);
        for (field, load) in LOAD_FIELDS.iter().zip(self.loads.into_iter().flatten()) {
            point.field(field, load);
        }
        point.some(&N_CPUS, self.cpus.map(|(logical, _)| logical));
        point.some(&N_PHYSICAL_CPUS, self.cpus.and_then(|(_, physical)| physical));
        point.some(&N_USERS, self.users.map(|users| users.sessions));
        point.some(&N_UNIQUE_USERS, self.users.map(|users| users.unique));
        if let Some(seconds) = self.uptime_seconds {
            point.field(&UPTIME, seconds).field(&UPTIME_FORMAT, &format_uptime(seconds));
        }
    }
}

/// Formats an uptime as Telegraf does: `14 days, 11:07`.
fn format_uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match days {
        0 => format!("{hours:2}:{minutes:02}"),
        1 => format!("1 day, {hours:2}:{minutes:02}"),
        _ => format!("{days} days, {hours:2}:{minutes:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_reads_as_telegraf_prints_it() {
        let printed = [4020, 86_400 + 3600, 14 * 86_400 + 11 * 3600 + 7 * 60 + 59].map(format_uptime);
        assert_eq!(printed, [" 1:07", "1 day,  1:00", "14 days, 11:07"]);
    }
}
