//! Seats and sessions of systemd-logind.

use std::collections::BTreeMap;

use super::system_bus::{Background, Service, not_understood};
use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::dbus::{Bus, Call, Variant};
use crate::host::{Host, ReadError};

/// `org.freedesktop.login1.Manager`: org.freedesktop.login1(5).
pub(super) struct Logind {
    sessions: Background<Sessions>,
}

/// Client of systemd-logind.
struct Sessions;

impl Service for Sessions {
    /// Seats and sessions.
    type Data = (Vec<String>, Vec<Session>);

    fn query(&mut self, bus: &mut Bus, _: Vocabularies, data: &mut Self::Data) -> Result<(), ReadError> {
        *data = (seats(bus)?, sessions(bus)?);
        Ok(())
    }
}

const SERVICE: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";

impl Collector for Logind {
    const ABOUT: About = About {
        name: "logind",
        summary: "sessions of users by seat, kind and class",
        reads: &["/run/dbus/system_bus_socket"],
        needs: "systemd-logind, and the message bus within reach",
        on_by_default: Vocabularies::NONE,
        families: &[SESSIONS.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(_: &Host, _: &mut Section<'_>) -> Self {
        Logind { sessions: Background::new(Sessions) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let mut data = Default::default();
        self.sessions.read(cx, &mut data)?;
        let (mut seats, sessions) = data;
        // Remote sessions have no seat.
        seats.push(String::new());
        let mut counts: BTreeMap<Session, u64> = BTreeMap::new();
        sessions.into_iter().for_each(|session| *counts.entry(session).or_default() += 1);
        for remote in ["true", "false"] {
            for (kind, class) in KINDS.iter().flat_map(|kind| CLASSES.iter().map(move |class| (*kind, *class))) {
                for seat in &seats {
                    let count = counts.get(&Session { seat: seat.clone(), remote, kind, class });
                    reading.put(&SESSIONS, [class, remote, seat, kind], count.copied().unwrap_or(0));
                }
            }
        }
        Ok(())
    }
}

/// The properties by which sessions are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Session {
    seat: String,
    remote: &'static str,
    kind: &'static str,
    class: &'static str,
}

/// The classes of sessions. Classes of newer versions count as `other`.
const KINDS: [&str; 7] = ["other", "unspecified", "tty", "x11", "wayland", "mir", "web"];
const CLASSES: [&str; 5] = ["other", "user", "greeter", "lock-screen", "background"];

fn known(text: &str, known: &[&'static str]) -> &'static str {
    known.iter().find(|known| **known == text).copied().unwrap_or("other")
}

/// Names of all seats: `a(so)`.
fn seats(bus: &mut Bus) -> Result<Vec<String>, ReadError> {
    let call = Call { service: SERVICE, path: PATH, method: (MANAGER, "ListSeats"), arguments: &[] };
    bus.call(call, |values| {
        let mut seats = Vec::new();
        let mut listed = values.array(8)?;
        while listed.structure().is_some() {
            let (name, _path) = (listed.text()?, listed.text()?);
            seats.push(name.to_owned());
        }
        Some(seats)
    })?
    .ok_or_else(|| not_understood(SERVICE))
}

/// All sessions: `a(susso)`, with three properties of each.
fn sessions(bus: &mut Bus) -> Result<Vec<Session>, ReadError> {
    let call = Call { service: SERVICE, path: PATH, method: (MANAGER, "ListSessions"), arguments: &[] };
    let listed = bus.call(call, |values| {
        let mut sessions = Vec::new();
        let mut listed = values.array(8)?;
        while listed.structure().is_some() {
            let (_id, _user, _name) = (listed.text()?, listed.u32()?, listed.text()?);
            let (seat, path) = (listed.text()?, listed.text()?);
            sessions.push((seat.to_owned(), path.to_owned()));
        }
        Some(sessions)
    })?;
    let listed = listed.ok_or_else(|| not_understood(SERVICE))?;
    const PROPERTIES: [&[&str; 2]; 3] = [&[SESSION, "Remote"], &[SESSION, "Type"], &[SESSION, "Class"]];
    let mut sessions: Vec<Session> =
        listed.iter().map(|(seat, _)| Session { seat: seat.clone(), ..Session::default() }).collect();
    let each = PROPERTIES.len();
    let call = |number: usize| Call::property(SERVICE, &listed[number / each].1, PROPERTIES[number % each]);
    bus.calls(listed.len() * each, call, |number, answer| {
        let session = &mut sessions[number / each];
        match (number % each, answer.map(|mut values| values.variant())) {
            (0, Ok(Some(Variant::Unsigned(remote)))) => session.remote = if remote == 1 { "true" } else { "false" },
            (1, Ok(Some(Variant::Text(kind)))) => session.kind = known(kind, &KINDS),
            (2, Ok(Some(Variant::Text(class)))) => session.class = known(class, &CLASSES),
            // The session has just ended.
            _ => {}
        }
    })?;
    Ok(sessions)
}

const SESSIONS: Family<4> =
    Family::gauge("node_logind_sessions", "Sessions registered with logind", ["class", "remote", "seat", "type"]);
