//! System time, time zone and clock sources.

use crate::collectors::framework::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::Timestamp;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, ReadError, Watched, file};

pub(super) struct Time {
    localtime: Watched<Option<Result<tz::TimeZone, ReadError>>>,
    sources: Option<Vec<SourceFiles>>,
}

struct SourceFiles {
    device: String,
    available: HostFile,
    current: HostFile,
}

/// The clock, `/etc/localtime`, and `/sys/devices/system/clocksource`.
#[derive(Default)]
pub(super) struct TimeReading {
    now: Timestamp,
    zone: Option<Zone>,
    sources: Vec<Source>,
}

struct Zone {
    name: String,
    offset_seconds: i64,
}

struct Source {
    device: String,
    available: String,
    current: String,
}

impl Collector for Time {
    const ABOUT: About = About {
        name: "time",
        summary: "system time, time zone and clock sources",
        reads: &["clock_gettime(2)", "/etc/localtime", "/sys/devices/system/clocksource"],
        families: &[SECONDS.info(), ZONE_OFFSET.info(), AVAILABLE.info(), CURRENT.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = TimeReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Time { localtime: Watched::new(host.root_path("etc/localtime")), sources: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut TimeReading) -> Result<(), ReadError> {
        *reading = TimeReading { now: cx.host.kernel.now(), ..TimeReading::default() };
        let seconds = reading.now.0.div_euclid(1_000_000_000);
        // Without the file local time is UTC.
        let zone = self.localtime.get(cx.buffer, |text| {
            let line = text.first_line();
            Some(tz::TimeZone::from_tz_data(text.bytes()).map_err(|_| line.malformed("a time zone", line.bytes())))
        });
        let utc = tz::TimeZone::utc();
        let zone = match zone {
            Ok(Some(Ok(zone))) => zone,
            Ok(Some(Err(problem))) => {
                cx.problems.push(problem.clone());
                &utc
            }
            Ok(None) | Err(_) => &utc,
        };
        reading.zone = zone.find_local_time_type(seconds).ok().map(|local| Zone {
            name: match local.time_zone_designation() {
                "" => "UTC".to_owned(),
                name => name.to_owned(),
            },
            offset_seconds: local.ut_offset().into(),
        });
        for files in self.sources.get_or_insert_with(|| find_sources(cx.host)) {
            reading.sources.push(Source {
                device: files.device.clone(),
                available: files.available.read(cx.buffer)?.trimmed().into_owned(),
                current: files.current.read(cx.buffer)?.trimmed().into_owned(),
            });
        }
        Ok(())
    }
}

fn find_sources(host: &Host) -> Vec<SourceFiles> {
    const FOLDER: &str = "devices/system/clocksource";
    let mut devices: Vec<String> = file::list(&host.sys_path(FOLDER))
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.strip_prefix("clocksource").map(str::to_owned))
        .collect();
    devices.sort();
    let files = |device: String| SourceFiles {
        available: host.sys(format!("{FOLDER}/clocksource{device}/available_clocksource")),
        current: host.sys(format!("{FOLDER}/clocksource{device}/current_clocksource")),
        device,
    };
    devices.into_iter().map(files).collect()
}

const SECONDS: Family<0> = Family::gauge("node_time_seconds", "System time in Unix time", []);
const ZONE_OFFSET: Family<1> =
    Family::gauge("node_time_zone_offset_seconds", "Offset of local time from UTC in seconds", ["time_zone"]);
const AVAILABLE: Family<2> = Family::gauge(
    "node_time_clocksource_available_info",
    "Clock source available to the kernel, always 1",
    ["clocksource", "device"],
);
const CURRENT: Family<2> =
    Family::gauge("node_time_clocksource_current_info", "Current clock source, always 1", ["clocksource", "device"]);

impl Reading for TimeReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        out.value(&SECONDS, self.now.seconds());
        if let Some(zone) = &self.zone {
            out.family(&ZONE_OFFSET).sample([&zone.name], zone.offset_seconds);
        }
        let mut available = out.family(&AVAILABLE);
        for source in &self.sources {
            for name in source.available.split_ascii_whitespace() {
                available.sample([name, &source.device], 1u64);
            }
        }
        drop(available);
        let mut current = out.family(&CURRENT);
        for source in self.sources.iter().filter(|source| !source.current.is_empty()) {
            current.sample([&source.current, &source.device], 1u64);
        }
    }
}
