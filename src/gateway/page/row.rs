//! One group's line.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::run::{Outcome, Run, Urgency};
use crate::gateway::groups::change::GroupFamily;
use crate::gateway::groups::markers::is_marker;
use crate::gateway::groups::times::Times;
use crate::gateway::key::Key;
use crate::http::access::Viewer;
use crate::http::page::{self, bytes, count, duration, escaped};

/// Characters of a name or label, at most; the group's link has all of it.
const MAX_SHOWN: usize = 100;

/// A group.
pub(super) struct Row {
    pub key: Key,
    pub times: Times,
    /// Why the last refused push was refused.
    pub refusal: Option<Arc<str>>,
    pub urgency: Urgency,
    pub run: Run,
    /// Its families, including the markers.
    pub families: Vec<GroupFamily>,
    /// Durations of its last runs in seconds, the latest last.
    pub durations: Vec<f32>,
}

impl Row {
    /// Appends the row, with a button to delete the group if the viewer may.
    pub(super) fn write(&self, out: &mut String, viewer: &Viewer, now: f64) {
        let class = match self.urgency {
            Urgency::Failed => " class=\"failed\"",
            Urgency::Overdue => " class=\"late\"",
            Urgency::Running | Urgency::Normal => "",
        };
        let (run, path) = (&self.run, escaped(&self.key.path()));
        let _ = write!(
            out,
            "<tr{class}><th scope=\"row\"><a href=\"{path}\">{}</a>{}</th>\
             <td class=\"n\">{}</td><td class=\"result\">{}</td><td class=\"n took\">{}</td><td class=\"trend\">{}</td>\
             <td class=\"n next\">{}</td><td>",
            escaped(&shortened(self.key.job())),
            self.details(now) + &self.last_refusal().unwrap_or_default(),
            match run.time {
                Some(time) => ago(time, now),
                None if self.times.pushed > 0.0 => String::new(),
                None => "never".to_owned(),
            },
            self.result(now),
            run.duration.map(duration).unwrap_or_default(),
            sparkline(&self.durations),
            next(run, now),
        );
        if viewer.may_push(self.key.job()).is_ok() {
            let label = escaped(&self.key.to_string());
            let _ = write!(
                out,
                "<button type=\"button\" data-path=\"{path}\" aria-label=\"Delete {label}\">Delete</button>"
            );
        }
        out.push_str("</td></tr>\n");
    }

    /// How the last run ended, and what else is known of it.
    fn result(&self, now: f64) -> String {
        let (run, times) = (&self.run, self.times);
        let (class, text) = match run.outcome {
            Outcome::Failed => ("bad", "failed"),
            Outcome::Refused => ("bad", "last push refused"),
            Outcome::Running => ("on", "running"),
            Outcome::Succeeded => ("good", "succeeded"),
            Outcome::Pushed => ("mute", "pushed"),
        };
        let status = run.exit_status.filter(|status| status.abs() < 1e6).map(|status| format!(" with status {status}"));
        let running = run.running_since.map(|since| format!(" for {}", time_span(now - since)));
        let more = status.or(running).unwrap_or_default();
        let before = run.failed_before.then(|| "the run before failed".to_owned());
        let is_failed = run.outcome == Outcome::Failed || run.failed_before;
        let success = run.last_success.filter(|_| is_failed).map(|time| format!("last success {}", ago(time, now)));
        let refused = match run.outcome {
            Outcome::Refused => Some(ago(times.failed, now)),
            _ if times.failed > times.pushed => Some(format!("last push refused {}", ago(times.failed, now))),
            _ if times.failed > 0.0 => Some(format!("a push was refused {}", ago(times.failed, now))),
            _ => None,
        };
        let notes = [before, success, refused].into_iter().flatten();
        let notes: String = notes.map(|note| format!("<p class=\"mute\">{note}</p>")).collect();
        format!("<span class=\"state {class}\">{text}{more}</span>{notes}")
    }

    /// Why the last push was refused; none if a later one was accepted.
    fn last_refusal(&self) -> Option<String> {
        let reason = self.refusal.as_ref().filter(|_| self.times.failed > self.times.pushed)?;
        Some(format!("<p class=\"bad\">{}</p>", escaped(reason)))
    }

    /// The labels besides the job, the time to live and the number of series, which unfold to show the values.
    fn details(&self, now: f64) -> String {
        let labels = self.key.labels().filter(|(name, _)| *name != "job");
        let labels = labels.map(|(name, value)| format!("{}={:?}", shortened(name), shortened(value)));
        let expires = self.times.expires.map(|expires| format!("expires in {}", time_span(expires - now)));
        let pushed = || self.families.iter().filter(|family| !is_marker(&family.name));
        let series = count(pushed().map(|family| family.block.metrics()).sum(), "series");
        let earlier = self.refusal.as_ref().filter(|_| self.times.failed <= self.times.pushed);
        let earlier = earlier.map(|reason| format!("<p class=\"bad\">Refused push: {}</p>", escaped(reason)));
        let summary: Vec<String> = labels.chain(expires).chain([series]).collect();
        format!(
            "<details><summary>{}</summary>{}<p class=\"mute\">{}, {}</p><pre>{}</pre></details>",
            escaped(&summary.join(" · ")),
            earlier.unwrap_or_default(),
            count(pushed().count(), "family"),
            bytes(self.families.iter().map(GroupFamily::bytes).sum::<usize>() as f64),
            escaped(&self.values()),
        )
    }

    /// The group's values. Long ones are truncated; the group's link has all.
    fn values(&self) -> String {
        const MAX_LINES: usize = 100;
        /// Lines can be long, and a page has 100 groups.
        const MAX_BYTES: usize = 8 << 10;
        let lines =
            self.families.iter().flat_map(|family| family.block.quoted().split_inclusive(|byte| *byte == b'\n'));
        let mut text = String::new();
        for (number, line) in lines.enumerate() {
            if number == MAX_LINES || text.len() + line.len() > MAX_BYTES {
                text.push('…');
                break;
            }
            text.push_str(&String::from_utf8_lossy(line));
        }
        text
    }
}

/// When the next run starts; empty if the group does not report an interval.
fn next(run: &Run, now: f64) -> String {
    match run.next {
        None => String::new(),
        Some(next) if next > now => {
            format!("<time datetime=\"{0}\" title=\"{0}\">in {1}</time>", date(next), time_span(next - now))
        }
        Some(next) => {
            let late = time_span(now - next);
            if run.is_overdue {
                format!("<span class=\"state warn\">overdue by {late}</span>")
            } else {
                format!("<span>due {late} ago</span>")
            }
        }
    }
}

/// A line of durations on a scale from 0; empty for less than two.
fn sparkline(durations: &[f32]) -> String {
    const WIDTH: f32 = 120.0;
    const BOTTOM: f32 = 23.0;
    const HEIGHT: f32 = 22.0;
    if durations.len() < 2 {
        return String::new();
    }
    let shortest = durations.iter().copied().fold(f32::INFINITY, f32::min);
    let longest = durations.iter().copied().fold(0.0, f32::max);
    let scale = if longest > 0.0 { HEIGHT / longest } else { 0.0 };
    let step = WIDTH / (durations.len() - 1) as f32;
    let mut line = String::new();
    for (index, value) in durations.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(line, "{command}{:.1} {:.1}", index as f32 * step, BOTTOM - value * scale);
    }
    let text = format!("Last {} runs: {} to {}", durations.len(), duration(shortest.into()), duration(longest.into()));
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 120 24\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{text}\">\
         <title>{text}</title><path class=\"area\" d=\"{line}L{WIDTH} 24L0 24Z\"/><path d=\"{line}\"/></svg>"
    )
}

/// The first characters of a long text.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How long ago a time was, with its date as a tooltip.
fn ago(time: f64, now: f64) -> String {
    format!("<time datetime=\"{0}\" title=\"{0}\">{1}</time>", date(time), page::ago(now - time))
}

/// A span of time in whole seconds, at least 0.
pub(super) fn time_span(seconds: f64) -> String {
    match seconds.max(0.0).floor() {
        seconds if seconds < 60.0 => format!("{seconds}s"),
        seconds => duration(seconds),
    }
}

/// A time between 1970 and 9999.
fn date(time: f64) -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_has_a_point_for_each_run() {
        assert_eq!([sparkline(&[]), sparkline(&[1.0])], ["", ""]);
        let line = sparkline(&[10.0, 20.0, 0.0]);
        assert!(line.contains("d=\"M0.0 12.0L60.0 1.0L120.0 23.0\""), "{line}");
        assert!(line.contains("<title>Last 3 runs: 0µs to 20s</title>"), "{line}");
        assert!(!sparkline(&[0.0; 32]).contains("NaN"));
    }

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!([-1.0, 0.9, 9.9, 59.9, 3599.9].map(time_span), ["0s", "0s", "9s", "59s", "59m 59s"]);
        assert!(ago(1000.0, 1000.5).contains(">now<"));
        assert!(
            ago(1000.0, 1001.0).contains("datetime=\"1970-01-01T00:16:40Z\" title=\"1970-01-01T00:16:40Z\">1s ago<")
        );
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shortened("name"), "name");
        assert_eq!(shortened(&"ö".repeat(101)), format!("{}…", "ö".repeat(100)));
    }
}
