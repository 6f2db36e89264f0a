//! Bodies that are made at random, read by Taffrail and by Pushgateway.

use super::contract::{shown, without_refused};
use crate::harness::gateway::{Gateway, Own, Pushgateway};
use crate::harness::http::Reply;

const NAMES: [&str; 8] = ["a", "b", "s", "h", "s_count", "h_sum", "h_bucket", "s_sum"];
const KINDS: [&str; 9] = ["counter", "gauge", "untyped", "summary", "histogram", "Histogram", "summary", "unknown", ""];
const NUMBERS: [&str; 16] =
    ["1", "0", "2", "17", "1e3", "+5", "Inf", "NaN", "1e400", "1e-400", "0x1", "1_0", "", ".", "5.", "-Inf"];
const BOUNDS: [&str; 8] = ["0.5", "0.50", "1", "+Inf", "0.99", "NaN", "x", "1e400"];
const LABELS: [&str; 7] = ["job", "instance", "l", "m", "quantile", "le", "__x"];
const VALUES: [&str; 6] = ["1", "x y", "\\\"", "\\n", "ü", "}"];
/// What is put in somewhere, or takes the place of something.
const NOISE: [&str; 16] =
    [" ", "\t", "\n", "#", "{", "}", "\"", ",", "=", "\\", "_", "1", "a", "# TYPE a", "# HELP h", "# EOF\n"];

/// A source of choices, the same in every run.
struct Choices(fastrand::Rng);

impl Choices {
    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.0.usize(..texts.len())]
    }

    fn one_in(&mut self, number: u32) -> bool {
        self.0.u32(..number) == 0
    }

    fn body(&mut self) -> String {
        let mut body = String::new();
        for _ in 0..self.0.usize(1..8) {
            let line = match self.0.u32(..10) {
                0 | 1 => format!("# TYPE {} {}", self.of(&NAMES), self.of(&KINDS)),
                2 => format!("# HELP {} {}", self.of(&NAMES), self.of(&["", "x", "x  y ", "\\n", "\\\\"])),
                _ => format!("{}{} {}", self.of(&NAMES), self.labels(), self.number()),
            };
            body.push_str(&line);
            body.push('\n');
        }
        if self.one_in(3) {
            let mut at = self.0.usize(..=body.len());
            while !body.is_char_boundary(at) {
                at -= 1;
            }
            let end = body[at..].chars().next().filter(|_| self.one_in(2)).map_or(at, |next| at + next.len_utf8());
            body.replace_range(at..end, self.of(&NOISE));
        }
        body
    }

    /// Most are sound, so that something is left to compare.
    fn number(&mut self) -> &'static str {
        let sound = !self.one_in(6);
        self.of(if sound { &NUMBERS[..5] } else { &NUMBERS })
    }

    fn labels(&mut self) -> String {
        let mut labels = Vec::new();
        for _ in 0..self.0.usize(..3) {
            let few = !self.one_in(8);
            let label = self.of(if few { &LABELS[..6] } else { &LABELS });
            let value = if ["quantile", "le"].contains(&label) { self.of(&BOUNDS) } else { self.of(&VALUES) };
            labels.push(format!("{label}=\"{value}\""));
        }
        if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
    }
}

/// Why the answers to a body differ, if that is on purpose.
fn reason(body: &str, ours: &Reply, theirs: &Reply) -> Option<&'static str> {
    let ends_with_blank = body.lines().any(|line| line.ends_with([' ', '\t']));
    match (ours.status, theirs.status) {
        (400, 200) if ours.body.contains("is there twice") => Some("a part or a bound is there twice"),
        (400, 200) if ours.body.contains("negative count") => Some("a negative count"),
        (200, 400) if ends_with_blank => Some("blanks at the end of a line"),
        (200, 400) if theirs.body.contains("invalid escape sequence '\\\"'") => Some("a quote in a help text"),
        _ => None,
    }
}

#[test]
#[ignore = "needs Debian's package prometheus-pushgateway: tests/run"]
fn with_pushgateway_that_reads_what_is_made_at_random_the_same() {
    const BODIES: usize = 3000;
    let (ours, theirs) = (Own::start(""), Pushgateway::start(&[]));
    let mut choices = Choices(fastrand::Rng::with_seed(17));
    let (mut taken, mut refused, mut on_purpose, mut wrong) = (0, 0, 0, Vec::new());
    for _ in 0..BODIES {
        let body = choices.body();
        let replies = (ours.put("/metrics/job/r", &body), theirs.put("/metrics/job/r", &body));
        if reason(&body, &replies.0, &replies.1).is_some() {
            on_purpose += 1;
            // The one that accepted it has something that the other has not.
            for gateway in [&ours as &dyn Gateway, &theirs] {
                assert_eq!(gateway.delete("/metrics/job/r").status, 202);
            }
            continue;
        }
        if replies.0.status != replies.1.status {
            wrong.push(format!("{body:?}: {replies:?}"));
        } else if replies.0.status != 200 {
            refused += 1;
        } else {
            taken += 1;
            let (ours, theirs) = (shown(&ours), shown(&theirs));
            let ours = ours.map(|lines| without_refused(lines, theirs.as_deref().unwrap_or_default()));
            // What a count becomes there that is no whole number.
            let has_overflown = theirs.iter().flatten().any(|line| line.ends_with(" 9223372036854776000"));
            if ours != theirs && !has_overflown {
                wrong.push(format!("{body:?}: {ours:#?} is not {theirs:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
    println!("{taken} taken, {refused} refused, {on_purpose} not the same on purpose");
    assert!(taken > BODIES / 10 && refused > BODIES / 10, "{taken} taken, {refused} refused");
}
