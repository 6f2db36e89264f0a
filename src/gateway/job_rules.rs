//! `[[gateway.jobs]]`: defaults for the pushes of certain jobs. The options of a push take precedence.

use std::time::Duration;

use super::groups::merge::{GaugeMode, Mode};
use crate::config::{Key, KeyInfo, Pattern, Section};

/// Defaults for the jobs that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The jobs.
    pub job: Pattern,
    /// How long a group lives after its last push; forever if absent.
    pub ttl: Option<Duration>,
    /// How a push is merged with its group.
    pub mode: Mode,
}

const JOB: Key<Pattern> =
    Key::optional("job", "Jobs to which these settings apply, as an anchored regular expression.");
const TTL: Key<Duration> = Key::optional(
    "ttl",
    "How long a group is kept after its last push, such as \"1h\"; forever if absent. A push can override it with ?ttl=.",
);
const MODE: Key<String> = Key::new(
    "mode",
    "\"families\"",
    "Effect of a push: \"families\" replaces the families in the push, as Pushgateway does; \"series\" replaces only the series in the push; \"aggregate\" adds to them, with PUT as with POST. A push can override it with ?mode=.",
);
const GAUGES: Key<String> = Key::new(
    "gauges",
    "\"last\"",
    "How gauges are aggregated: \"last\", \"sum\", \"max\" or \"min\". A push can override it with ?gauges=.",
);

/// The settings of `[[gateway.jobs]]`.
pub const KEYS: &[KeyInfo] = &[JOB.info(), TTL.info(), MODE.info(), GAUGES.info()];

impl Rule {
    /// The rules in `section`. The first match applies.
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
            GaugeMode::default()
        });
        let mode = section.get(&MODE);
        let mode = mode_of(&mode, gauges).unwrap_or_else(|message| {
            section.wrong("mode", message);
            Mode::default()
        });
        Some(Rule { job: job?, ttl, mode })
    }
}

/// Parses a mode.
///
/// # Errors
/// The valid names.
pub fn mode_of(name: &str, gauges: GaugeMode) -> Result<Mode, String> {
    match name {
        "families" | "family" => Ok(Mode::Families),
        "series" => Ok(Mode::Series),
        "aggregate" => Ok(Mode::Aggregate(gauges)),
        other => Err(format!("expected families, series or aggregate, found {other:?}")),
    }
}

/// Parses a gauge mode.
///
/// # Errors
/// The valid names.
pub fn gauges_of(name: &str) -> Result<GaugeMode, String> {
    let known = GaugeMode::ALL.into_iter().find(|(known, _)| *known == name);
    known.map(|(_, gauges)| gauges).ok_or_else(|| format!("expected last, sum, max or min, found {name:?}"))
}
