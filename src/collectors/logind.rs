//! Who is logged in.

use std::collections::BTreeMap;

use super::gathered::Gathered;
use super::system_bus::{Background, Service, not_understood};
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::dbus::{Bus, Call, Variant};
use crate::host::{Host, ReadError};

/// `org.freedesktop.login1.Manager`: org.freedesktop.login1(5).
pub(super) struct Logind {
    sessions: Background<Sessions>,
}

/// What is asked of it.
struct Sessions;

impl Service for Sessions {
    /// The seats, and the sessions.
    type Told = (Vec<String>, Vec<Session>);

    fn ask(&mut self, bus: &mut Bus, _: Vocabularies, told: &mut Self::Told) -> Result<(), ReadError> {
        *told = (seats(bus)?, sessions(bus)?);
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
        let mut told = Default::default();
        self.sessions.read(cx, &mut told)?;
        let (mut seats, sessions) = told;
        // Sessions from afar have none.
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

/// What sessions are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Session {
    seat: String,
    remote: &'static str,
    kind: &'static str,
    class: &'static str,
}

/// What a session can be; those that later versions have are `other`.
const KINDS: [&str; 7] = ["other", "unspecified", "tty", "x11", "wayland", "mir", "web"];
const CLASSES: [&str; 5] = ["other", "user", "greeter", "lock-screen", "background"];

fn known(text: &str, known: &[&'static str]) -> &'static str {
    known.iter().find(|known| **known == text).copied().unwrap_or("other")
}

/// The names of all seats: `a(so)`.
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

/// All sessions: `a(susso)`, and three properties of each.
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
            // It has just ended.
            _ => {}
        }
    })?;
    Ok(sessions)
}

const SESSIONS: Family<4> =
    Family::gauge("node_logind_sessions", "Sessions that are open.", ["class", "remote", "seat", "type"]);
