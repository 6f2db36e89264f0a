//! `[[gateway.jobs]]`: what holds for pushes of certain jobs, unless they say otherwise themselves.

use std::time::Duration;

use super::merge::{Gauges, Mode};
use crate::config::{Key, KeyInfo, Pattern, Section};

/// What holds for the jobs that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which jobs.
    pub job: Pattern,
    /// How long a group lives after its last push; for ever, if not said.
    pub ttl: Option<Duration>,
    /// What a push does to what is there.
    pub mode: Mode,
}

const JOB: Key<Pattern> =
    Key::optional("job", "The jobs that this is about: a regular expression that matches the whole.");
const TTL: Key<Duration> = Key::optional(
    "ttl",
    "How long a group lives after its last push, such as \"1h\"; for ever, if not said. A push may say otherwise with ?ttl=.",
);
const MODE: Key<String> = Key::new(
    "mode",
    "\"families\"",
    "What a push does: \"families\" takes the place of the families that it names, as Pushgateway; \"series\" only of the series that it names; \"aggregate\" adds to them, with PUT as with POST. A push may say otherwise with ?mode=.",
);
const GAUGES: Key<String> = Key::new(
    "gauges",
    "\"last\"",
    "What aggregating makes of gauges: \"last\", \"sum\", \"max\" or \"min\". A push may say otherwise with ?gauges=.",
);

/// The settings of `[[gateway.jobs]]`.
pub const KEYS: &[KeyInfo] = &[JOB.info(), TTL.info(), MODE.info(), GAUGES.info()];

impl Rule {
    /// The rules in `section`; the first that matches holds.
    pub fn all(section: &mut Section<'_>) -> Vec<Rule> {
        section.tables("jobs").iter_mut().filter_map(Rule::new).collect()
    }

    fn new(section: &mut Section<'_>) -> Option<Rule> {
        let job = section.optional(&JOB);
        if !section.has(&JOB) {
            section.wrong("job", "required: the jobs that this is about, such as \"backup-.*\"");
        }
        let ttl = section.optional(&TTL);
        if ttl.is_some_and(|ttl| ttl.is_zero()) {
            section.wrong("ttl", "expected a duration above zero");
        }
        let gauges = section.get(&GAUGES);
        let gauges = gauges_of(&gauges).unwrap_or_else(|message| {
            section.wrong("gauges", message);
            Gauges::default()
        });
        let mode = section.get(&MODE);
        let mode = mode_of(&mode, gauges).unwrap_or_else(|message| {
            section.wrong("mode", message);
            Mode::default()
        });
        Some(Rule { job: job?, ttl, mode })
    }
}

/// The mode of this name.
///
/// # Errors
/// Which names there are.
pub fn mode_of(name: &str, gauges: Gauges) -> Result<Mode, String> {
    match name {
        "families" | "family" => Ok(Mode::Families),
        "series" => Ok(Mode::Series),
        "aggregate" => Ok(Mode::Aggregate(gauges)),
        other => Err(format!("expected families, series or aggregate, found {other:?}")),
    }
}

/// The choice of this name.
///
/// # Errors
/// Which names there are.
pub fn gauges_of(name: &str) -> Result<Gauges, String> {
    let known = Gauges::ALL.into_iter().find(|(known, _)| *known == name);
    known.map(|(_, gauges)| gauges).ok_or_else(|| format!("expected last, sum, max or min, found {name:?}"))
}
