//! The type of a service or mount unit, such as `oneshot` or `tmpfs`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{SERVICE, Unit};
use crate::host::ReadError;
use crate::host::dbus::{Bus, Call, Variant};

/// The known types of units. They change only when a unit file changes and systemd reloads, so they are refreshed at
/// intervals.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    known: HashMap<Box<str>, Box<str>, foldhash::fast::RandomState>,
    asked_all: Option<Instant>,
}

const GOOD_FOR: Duration = Duration::from_secs(10 * 60);

const OF_SERVICES: &[&str; 2] = &["org.freedesktop.systemd1.Service", "Type"];
const OF_MOUNTS: &[&str; 2] = &["org.freedesktop.systemd1.Mount", "Type"];

impl Kinds {
    /// Writes the types of the units that have families.
    pub(super) fn name(&mut self, bus: &mut Bus, units: &mut [Unit]) -> Result<(), ReadError> {
        if self.asked_all.is_none_or(|asked| asked.elapsed() > GOOD_FOR) {
            self.known.clear();
            self.asked_all = Some(Instant::now());
        }
        let mut unknown = Vec::new();
        for (number, unit) in units.iter_mut().enumerate().filter(|(_, unit)| unit.wanted.families) {
            match (self.known.get(&unit.name), property(&unit.name)) {
                (Some(kind), _) => unit.kind.clone_from(kind),
                (None, Some(property)) => unknown.push((number, property)),
                (None, None) => {}
            }
        }
        let mut found: Vec<(usize, Box<str>)> = Vec::with_capacity(unknown.len());
        let call = |asked: usize| Call::property(SERVICE, &units[unknown[asked].0].path, unknown[asked].1);
        bus.calls(unknown.len(), call, |asked, answer| {
            if let Ok(Some(Variant::Text(kind))) = answer.map(|mut values| values.variant()) {
                found.push((unknown[asked].0, kind.into()));
            }
        })?;
        for (number, kind) in found {
            self.known.insert(units[number].name.clone(), kind.clone());
            units[number].kind = kind;
        }
        Ok(())
    }
}

/// The property that holds the type of this unit, if there is one.
fn property(name: &str) -> Option<&'static [&'static str; 2]> {
    match name.rsplit('.').next() {
        Some("service") => Some(OF_SERVICES),
        Some("mount") => Some(OF_MOUNTS),
        _ => None,
    }
}
