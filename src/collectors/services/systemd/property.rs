//! The properties that are queried unit by unit.

use super::{Details, SERVICE};
use crate::host::ReadError;
use crate::host::dbus::{Bus, Call, Variant};

/// A property of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    StartTime,
    TasksCurrent,
    TasksMax,
    Restarts,
    LastTrigger,
    Accepted,
    Connections,
    Refused,
    FileState,
    FilePreset,
    StatusErrno,
    MainPid,
    MemoryCurrent,
    MemoryPeak,
    MemoryAvailable,
    SwapCurrent,
    SwapPeak,
    ActiveEnter,
}

const UNIT: &str = "org.freedesktop.systemd1.Unit";
const OF_SERVICE: &str = "org.freedesktop.systemd1.Service";
const OF_SOCKET: &str = "org.freedesktop.systemd1.Socket";
const OF_TIMER: &str = "org.freedesktop.systemd1.Timer";

impl Property {
    /// The properties that families need.
    pub(super) fn of_families(name: &str, queried: Details) -> impl Iterator<Item = Property> {
        use Property::{Accepted, Connections, LastTrigger, Refused, Restarts, StartTime, TasksCurrent, TasksMax};
        let kind = name.rsplit('.').next().unwrap_or_default();
        let (is_service, is_socket, is_timer) = (kind == "service", kind == "socket", kind == "timer");
        [
            (StartTime, queried.start_time),
            (TasksCurrent, queried.tasks && is_service),
            (TasksMax, queried.tasks && is_service),
            (Restarts, queried.restarts && is_service),
            (LastTrigger, is_timer),
            (Accepted, is_socket),
            (Connections, is_socket),
            (Refused, is_socket),
        ]
        .into_iter()
        .filter_map(|(property, is_told)| is_told.then_some(property))
    }

    /// The properties that detailed points need.
    pub(super) fn of_points(name: &str) -> impl Iterator<Item = Property> {
        use Property::{
            ActiveEnter, FilePreset, FileState, MainPid, MemoryAvailable, MemoryCurrent, MemoryPeak, Restarts,
            StatusErrno, SwapCurrent, SwapPeak,
        };
        const OF_ALL: [Property; 3] = [FileState, FilePreset, ActiveEnter];
        const OF_SERVICES: [Property; 8] =
            [StatusErrno, Restarts, MainPid, MemoryCurrent, MemoryPeak, MemoryAvailable, SwapCurrent, SwapPeak];
        let of_services = if name.ends_with(".service") { &OF_SERVICES[..] } else { &[] };
        OF_ALL.into_iter().chain(of_services.iter().copied())
    }

    /// The interface, and the name of the property.
    fn arguments(self) -> &'static [&'static str; 2] {
        match self {
            Property::StartTime | Property::ActiveEnter => &[UNIT, "ActiveEnterTimestamp"],
            Property::FileState => &[UNIT, "UnitFileState"],
            Property::FilePreset => &[UNIT, "UnitFilePreset"],
            Property::TasksCurrent => &[OF_SERVICE, "TasksCurrent"],
            Property::TasksMax => &[OF_SERVICE, "TasksMax"],
            Property::Restarts => &[OF_SERVICE, "NRestarts"],
            Property::StatusErrno => &[OF_SERVICE, "StatusErrno"],
            Property::MainPid => &[OF_SERVICE, "MainPID"],
            Property::MemoryCurrent => &[OF_SERVICE, "MemoryCurrent"],
            Property::MemoryPeak => &[OF_SERVICE, "MemoryPeak"],
            Property::MemoryAvailable => &[OF_SERVICE, "MemoryAvailable"],
            Property::SwapCurrent => &[OF_SERVICE, "MemorySwapCurrent"],
            Property::SwapPeak => &[OF_SERVICE, "MemorySwapPeak"],
            Property::LastTrigger => &[OF_TIMER, "LastTriggerUSec"],
            Property::Accepted => &[OF_SOCKET, "NAccepted"],
            Property::Connections => &[OF_SOCKET, "NConnections"],
            Property::Refused => &[OF_SOCKET, "NRefused"],
        }
    }

    /// The value, converted to the unit of its family.
    pub(super) fn sample(self, value: u64) -> f64 {
        match self {
            Property::StartTime | Property::LastTrigger => value as f64 / 1e6,
            _ => value as f64,
        }
    }
}

/// The queries for units, in their order, with the responses.
#[derive(Clone, Debug, Default)]
pub(super) struct Queries {
    wanted: Vec<Want>,
}

#[derive(Clone, Debug)]
struct Want {
    unit: u32,
    property: Property,
    value: Value,
}

#[derive(Clone, Debug, Default)]
enum Value {
    /// Also if systemd has no value: memory accounting is off, or there is no limit.
    #[default]
    None,
    Number(u64),
    Text(Box<str>),
}

impl Queries {
    pub(super) fn want(&mut self, unit: usize, properties: impl Iterator<Item = Property>) {
        let want = |property| Want { unit: unit as u32, property, value: Value::None };
        self.wanted.extend(properties.map(want));
    }

    /// Adds properties that need no query.
    pub(super) fn know(&mut self, unit: usize, property: Property, number: u64) {
        self.wanted.push(Want { unit: unit as u32, property, value: Value::Number(number) });
    }

    /// Sends the queries for the units. `path` returns the object path of a unit by its index.
    pub(super) fn query<'p>(&mut self, bus: &mut Bus, path: impl Fn(usize) -> &'p str) -> Result<(), ReadError> {
        let unknown = self.wanted.iter().enumerate().filter(|(_, want)| matches!(want.value, Value::None));
        let targets: Vec<(usize, u32, Property)> =
            unknown.map(|(number, want)| (number, want.unit, want.property)).collect();
        let call = |number: usize| {
            let (_, unit, property) = targets[number];
            Call::property(SERVICE, path(unit as usize), property.arguments())
        };
        bus.calls(targets.len(), call, |number, answer| {
            let value = match answer.map(|mut values| values.variant()) {
                Ok(Some(Variant::Unsigned(u64::MAX))) => Value::None,
                Ok(Some(Variant::Unsigned(number))) => Value::Number(number),
                Ok(Some(Variant::Signed(number))) => Value::Number(number.unsigned_abs()),
                Ok(Some(Variant::Text(text))) => Value::Text(text.into()),
                // The unit is gone, or systemd is too old for the property.
                _ => Value::None,
            };
            self.wanted[targets[number].0].value = value;
        })
    }

    /// The units with a number for this property, and the number.
    pub(super) fn of(&self, property: Property) -> impl Iterator<Item = (usize, u64)> {
        self.wanted.iter().filter(move |want| want.property == property).filter_map(|want| match want.value {
            Value::Number(number) => Some((want.unit as usize, number)),
            _ => None,
        })
    }

    /// The number of a unit for this property.
    pub(super) fn number(&self, unit: usize, property: Property) -> Option<u64> {
        match self.value(unit, property)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The text of a unit for this property.
    pub(super) fn text(&self, unit: usize, property: Property) -> Option<&str> {
        match self.value(unit, property)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn value(&self, unit: usize, property: Property) -> Option<&Value> {
        let unit = unit as u32;
        let start = self.wanted.partition_point(|want| want.unit < unit);
        let of_unit = self.wanted[start..].iter().take_while(|want| want.unit == unit);
        of_unit.filter(|want| want.property == property).map(|want| &want.value).next()
    }
}
