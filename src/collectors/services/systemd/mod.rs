//! The units of systemd and their states, over D-Bus.
//!
//! One call returns all units. Further properties are queried unit by unit, with many calls in flight, for the exported
//! units only. Properties that change only with a reload of systemd are queried rarely ([`kinds`]).

mod codes;
mod kinds;
mod property;

use std::collections::BTreeMap;

use self::codes::{ACTIVE, Code, LOAD, SUB};
use self::kinds::Kinds;
use self::property::{Property, Queries};
use super::system_bus::{Background, Service, not_understood};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Globs, Key, Pattern, Section};
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::dbus::{Bus, Call, Values, Variant};
use crate::host::{Host, ReadError};

/// `org.freedesktop.systemd1.Manager`: org.freedesktop.systemd1(5).
pub(super) struct Systemd {
    units: Background<Units>,
}

/// Client of systemd.
struct Units {
    wanted: Filter,
    kinds: Kinds,
    details: Details,
    points: PointSettings,
}

/// Properties of each unit in addition to its state.
#[derive(Clone, Copy, Debug, Default)]
struct Details {
    tasks: bool,
    restarts: bool,
    start_time: bool,
}

struct PointSettings {
    pattern: Globs,
    unit_type: String,
    details: bool,
}

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

const UNIT_INCLUDE: Key<Pattern> =
    Key::new("unit_include", "'.+'", "Units to export, as an anchored regular expression.");
const UNIT_EXCLUDE: Key<Pattern> = Key::new(
    "unit_exclude",
    r"'.+\.(automount|device|mount|scope|slice)'",
    "Units to leave out of these, as an anchored regular expression.",
);
const ENABLE_TASK_METRICS: Key<bool> =
    Key::new("enable_task_metrics", "false", "Number of tasks of each service, and its limit.");
const ENABLE_RESTARTS_METRICS: Key<bool> =
    Key::new("enable_restarts_metrics", "false", "Number of restarts of each service by systemd.");
const ENABLE_START_TIME_METRICS: Key<bool> = Key::new("enable_start_time_metrics", "false", "Start time of each unit.");
const PATTERN: Key<Globs> = Key::new("pattern", "[\"*\"]", "Units for which points are written, as glob patterns.");
const UNIT_TYPE: Key<String> =
    Key::new("unittype", "\"service\"", "Type of these units, such as socket, timer or mount.");
const DETAILS: Key<bool> =
    Key::new("details", "false", "Also restarts, memory, the main process and whether the unit is enabled.");

/// The data of systemd.
#[derive(Clone, Default)]
pub(super) struct SystemdReading {
    version: String,
    virtualization: String,
    is_running: Option<bool>,
    /// Number of all units, by [`STATES`].
    counts: [u64; STATES.len()],
    /// Number of units in states that are not among them, such as `reloading`.
    others: BTreeMap<Box<str>, u64>,
    units: Vec<Unit>,
    /// Properties of the units, in the same order.
    properties: Queries,
}

/// An exported unit.
#[derive(Clone)]
struct Unit {
    name: Box<str>,
    path: Box<str>,
    /// Its type, such as `oneshot`; empty if its unit type has none.
    kind: Box<str>,
    load: Code,
    active: Code,
    sub: Code,
    wanted: Vocabularies,
}

const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];

impl Collector for Systemd {
    const ABOUT: About = About {
        name: "systemd",
        summary: "units of systemd and their states; pushed as `systemd_units`",
        reads: &["/run/dbus/system_bus_socket"],
        needs: "systemd, and its message bus within reach",
        on_by_default: Vocabularies::NONE,
        keys: &[
            UNIT_INCLUDE.info(),
            UNIT_EXCLUDE.info(),
            ENABLE_TASK_METRICS.info(),
            ENABLE_RESTARTS_METRICS.info(),
            ENABLE_START_TIME_METRICS.info(),
        ],
        point_keys: &[PATTERN.info(), UNIT_TYPE.info(), DETAILS.info()],
        families: &[
            RUNNING.info(),
            VERSION.info(),
            VIRTUALIZATION.info(),
            UNITS.info(),
            UNIT_STATE.info(),
            OF_UNITS[0].1.info(),
            OF_UNITS[1].1.info(),
            OF_UNITS[2].1.info(),
            OF_UNITS[3].1.info(),
            OF_UNITS[4].1.info(),
            OF_UNITS[5].1.info(),
            OF_UNITS[6].1.info(),
            OF_UNITS[7].1.info(),
        ],
        measurements: &[SYSTEMD_UNITS.info()],
        ..About::PLAIN
    };
    type Reading = SystemdReading;

    fn new(_: &Host, section: &mut Section<'_>) -> Self {
        let (include, exclude) = (section.get(&UNIT_INCLUDE), section.get(&UNIT_EXCLUDE));
        let mut points = section.table("points");
        let units = Units {
            wanted: Filter::new(Some(include.into_regex()), Some(exclude.into_regex())),
            kinds: Kinds::default(),
            details: Details {
                tasks: section.get(&ENABLE_TASK_METRICS),
                restarts: section.get(&ENABLE_RESTARTS_METRICS),
                start_time: section.get(&ENABLE_START_TIME_METRICS),
            },
            points: PointSettings {
                pattern: points.get(&PATTERN),
                unit_type: format!(".{}", points.get(&UNIT_TYPE)),
                details: points.get(&DETAILS),
            },
        };
        Systemd { units: Background::new(units) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut SystemdReading) -> Result<(), ReadError> {
        *reading = SystemdReading::default();
        self.units.read(cx, reading)
    }
}

impl Service for Units {
    type Data = SystemdReading;

    fn query(&mut self, bus: &mut Bus, wanted: Vocabularies, data: &mut SystemdReading) -> Result<(), ReadError> {
        self.read_manager(bus, data)?;
        self.read_units(bus, wanted, data)?;
        self.kinds.name(bus, &mut data.units)?;
        self.read_properties(bus, data)
    }
}

impl Units {
    fn read_manager(&self, bus: &mut Bus, reading: &mut SystemdReading) -> Result<(), ReadError> {
        const PROPERTIES: [&[&str; 2]; 3] =
            [&[MANAGER, "Version"], &[MANAGER, "Virtualization"], &[MANAGER, "SystemState"]];
        let call = |number: usize| Call::property(SERVICE, MANAGER_PATH, PROPERTIES[number]);
        bus.calls(PROPERTIES.len(), call, |number, answer| {
            // Old versions lack some of them.
            let Ok(Some(Variant::Text(text))) = answer.map(|mut values| values.variant()) else { return };
            match number {
                0 => reading.version = text.to_owned(),
                1 => reading.virtualization = text.to_owned(),
                _ => reading.is_running = Some(text == "running"),
            }
        })
    }

    fn read_units(
        &mut self,
        bus: &mut Bus,
        wanted: Vocabularies,
        reading: &mut SystemdReading,
    ) -> Result<(), ReadError> {
        let call = Call { service: SERVICE, path: MANAGER_PATH, method: (MANAGER, "ListUnits"), arguments: &[] };
        let is_whole = bus.call(call, |values| {
            let mut units = values.array(8)?;
            while units.structure().is_some() {
                let listed = Listed::read(&mut units)?;
                match state(listed.active).and_then(|state| reading.counts.get_mut(state)) {
                    Some(count) => *count += 1,
                    None => *reading.others.entry(listed.active.into()).or_default() += 1,
                }
                reading.units.extend(self.unit(&listed, wanted));
            }
            Some(())
        })?;
        is_whole.ok_or_else(|| not_understood(SERVICE))
    }

    /// The unit, if it is exported.
    fn unit(&mut self, listed: &Listed<'_>, wanted: Vocabularies) -> Option<Unit> {
        let is_of_type = listed.name.ends_with(&self.points.unit_type);
        let wanted = Vocabularies {
            families: wanted.families && listed.load == "loaded" && self.wanted.wants(listed.name),
            points: wanted.points && is_of_type && self.points.pattern.matches(listed.name),
        };
        wanted.any().then(|| Unit {
            name: listed.name.into(),
            path: listed.path.into(),
            kind: Box::default(),
            load: Code::of(LOAD, listed.load),
            active: Code::of(ACTIVE, listed.active),
            sub: Code::of(SUB, listed.sub),
            wanted,
        })
    }

    fn read_properties(&self, bus: &mut Bus, reading: &mut SystemdReading) -> Result<(), ReadError> {
        for (number, unit) in reading.units.iter().enumerate() {
            if unit.wanted.families {
                let is_known = self.details.start_time && unit.active.text() != "active";
                let details = Details { start_time: self.details.start_time && !is_known, ..self.details };
                reading.properties.want(number, Property::of_families(&unit.name, details));
                if is_known {
                    reading.properties.know(number, Property::StartTime, 0);
                }
            }
            if unit.wanted.points && self.points.details {
                reading.properties.want(number, Property::of_points(&unit.name));
            }
        }
        let units = &reading.units;
        reading.properties.query(bus, |number| &units[number].path)
    }
}

/// A unit in the manager's list: `(ssssssouso)`.
struct Listed<'m> {
    name: &'m str,
    load: &'m str,
    active: &'m str,
    sub: &'m str,
    path: &'m str,
}

impl<'m> Listed<'m> {
    fn read(values: &mut Values<'m>) -> Option<Listed<'m>> {
        let name = values.text()?;
        let _description = values.text()?;
        let (load, active, sub) = (values.text()?, values.text()?, values.text()?);
        let _followed = values.text()?;
        let path = values.text()?;
        let _job = (values.u32()?, values.text()?, values.text()?);
        Some(Listed { name, load, active, sub, path })
    }
}

/// Index of the state in [`STATES`].
fn state(name: &str) -> Option<usize> {
    STATES.iter().position(|state| *state == name)
}

/// The number in a version such as `252.39-1~deb12u1`: 252.39.
fn version_number(version: &str) -> f64 {
    let start = version.find(|c: char| c.is_ascii_digit()).unwrap_or(version.len());
    let rest = &version[start..];
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let whole = digits(rest);
    let fraction = rest[whole..].strip_prefix('.').map_or(0, digits);
    let end = if fraction > 0 { whole + 1 + fraction } else { whole };
    rest[..end].parse().unwrap_or(0.0)
}

const RUNNING: Family<0> =
    Family::gauge("node_systemd_system_running", "Whether the system is operational (systemctl is-system-running)", []);
const VERSION: Family<1> = Family::gauge("node_systemd_version", "Version of systemd", ["version"]);
const VIRTUALIZATION: Family<1> =
    Family::gauge("node_systemd_virtualization_info", "Detected virtualization technology", ["virtualization_type"]);
const UNITS: Family<1> = Family::gauge("node_systemd_units", "Units by state", ["state"]);
const UNIT_STATE: Family<3> =
    Family::gauge("node_systemd_unit_state", "Whether the unit is in this state", ["name", "state", "type"]);
const OF_UNITS: [(Property, Family<1>); 8] = [
    (
        Property::StartTime,
        Family::gauge(
            "node_systemd_unit_start_time_seconds",
            "Unix time when the unit became active; 0 if it is inactive",
            ["name"],
        ),
    ),
    (
        Property::TasksCurrent,
        Family::gauge("node_systemd_unit_tasks_current", "Current number of tasks of the service", ["name"]),
    ),
    (
        Property::TasksMax,
        Family::gauge("node_systemd_unit_tasks_max", "Maximum number of tasks of the service (TasksMax)", ["name"]),
    ),
    (
        Property::Restarts,
        Family::counter("node_systemd_service_restart_total", "Automatic restarts of the service", ["name"]),
    ),
    (
        Property::LastTrigger,
        Family::gauge(
            "node_systemd_timer_last_trigger_seconds",
            "Unix time when the timer last elapsed; 0 if never",
            ["name"],
        ),
    ),
    (
        Property::Accepted,
        Family::counter(
            "node_systemd_socket_accepted_connections_total",
            "Accepted connections of the socket unit",
            ["name"],
        ),
    ),
    (
        Property::Connections,
        Family::gauge("node_systemd_socket_current_connections", "Current connections of the socket unit", ["name"]),
    ),
    (
        Property::Refused,
        // It counts, but node_exporter declares it a gauge.
        Family::gauge(
            "node_systemd_socket_refused_connections_total",
            "Refused connections of the socket unit",
            ["name"],
        ),
    ),
];

const LOAD_CODE: Field<u64> = Field::new("load_code", "the tag `load` as a number");
const ACTIVE_CODE: Field<u64> = Field::new("active_code", "the tag `active` as a number");
const SUB_CODE: Field<u64> = Field::new("sub_code", "the tag `sub` as a number");
const DETAIL_FIELDS: [(Property, Field<u64>); 9] = [
    (Property::StatusErrno, Field::new("status_errno", "errno-style status of the service; with `details`")),
    (Property::Restarts, Field::new("restarts", "automatic restarts; with `details`")),
    (Property::MainPid, Field::new("pid", "PID of the main process; with `details`")),
    (Property::MemoryCurrent, Field::new("mem_current", "memory in bytes; with `details`")),
    (Property::MemoryPeak, Field::new("mem_peak", "peak memory in bytes; with `details`")),
    (Property::MemoryAvailable, Field::new("mem_avail", "available memory below the limit, in bytes; with `details`")),
    (Property::SwapCurrent, Field::new("swap_current", "swap in bytes; with `details`")),
    (Property::SwapPeak, Field::new("swap_peak", "peak swap in bytes; with `details`")),
    (
        Property::ActiveEnter,
        Field::new("active_enter_timestamp_us", "time when the unit became active, in µs of Unix time; with `details`"),
    ),
];
const FIELDS: [FieldInfo; 12] =
    concat(&[&[LOAD_CODE.info(), ACTIVE_CODE.info(), SUB_CODE.info()], &infos!(DETAIL_FIELDS.1)]);
const SYSTEMD_UNITS: Measurement<6> =
    Measurement::new("systemd_units", ["active", "load", "name", "preset", "state", "sub"], &FIELDS);

impl Reading for SystemdReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if self.version.is_empty() {
            return;
        }
        if let Some(is_running) = self.is_running {
            out.value(&RUNNING, is_running);
        }
        out.family(&VERSION).sample([&self.version], version_number(&self.version));
        let virtualization = if self.virtualization.is_empty() { "none" } else { &self.virtualization };
        out.family(&VIRTUALIZATION).sample([virtualization], 1u64);
        let mut units = out.family(&UNITS);
        STATES.iter().zip(self.counts).for_each(|(state, count)| units.sample([state], count));
        self.others.iter().for_each(|(state, count)| units.sample([state], *count));
        drop(units);
        let mut states = out.family(&UNIT_STATE);
        for unit in self.units.iter().filter(|unit| unit.wanted.families) {
            let active = unit.active.text();
            let other = Some(active).filter(|active| !STATES.contains(active));
            for state in STATES.into_iter().chain(other) {
                states.sample([&unit.name, state, &unit.kind], active == state);
            }
        }
        drop(states);
        for (property, family) in &OF_UNITS {
            let mut samples = out.family(family);
            for (number, value) in self.properties.of(*property) {
                let Some(unit) = self.units.get(number).filter(|unit| unit.wanted.families) else { continue };
                samples.sample([&unit.name], property.sample(value));
            }
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for (number, unit) in self.units.iter().enumerate().filter(|(_, unit)| unit.wanted.points) {
            let text = |property| self.properties.text(number, property).unwrap_or_default();
            let (state, preset) = (text(Property::FileState), text(Property::FilePreset));
            let tags = [unit.active.text(), unit.load.text(), &unit.name, preset, state, unit.sub.text()];
            let mut point = out.point(&SYSTEMD_UNITS, tags);
            point.some(&LOAD_CODE, unit.load.number());
            point.some(&ACTIVE_CODE, unit.active.number());
            point.some(&SUB_CODE, unit.sub.number());
            for (property, field) in &DETAIL_FIELDS {
                point.some(field, self.properties.number(number, *property));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::text::{Dialect, TextEncoder};

    #[test]
    fn a_state_that_is_not_known_is_shown() {
        let reading = SystemdReading {
            version: "257".to_owned(),
            others: BTreeMap::from([("refreshing".into(), 1)]),
            units: vec![Unit {
                name: "a.service".into(),
                path: "/a".into(),
                kind: "".into(),
                load: Code::of(LOAD, "loaded"),
                active: Code::of(ACTIVE, "refreshing"),
                sub: Code::of(SUB, "running"),
                wanted: Vocabularies::BOTH,
            }],
            ..SystemdReading::default()
        };
        let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
        reading.families(&mut FamilyWriter::new(&mut encoder));
        let text = String::from_utf8(encoder.finish()).unwrap();
        for series in ["node_systemd_units{state=\"refreshing\"}", "state=\"refreshing\",type=\"\"}"] {
            assert!(text.contains(&format!("{series} 1")), "{text}");
        }
    }

    #[test]
    fn versions_are_told_as_numbers() {
        let numbers = ["252.39-1~deb12u1", "v257~rc1", "259", "Debian 249.11-0ubuntu3", ""].map(version_number);
        assert_eq!(numbers, [252.39, 257.0, 259.0, 249.11, 0.0]);
    }
}
