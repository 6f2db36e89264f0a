//! What was read, named in both vocabularies, and the families that tell of the reading itself.

use super::Readers;
use super::answer::Answer;
use crate::collectors::points_by_rule;
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter, PointWriter};
use crate::system::regular_file;

const DURATION: Family<1> = Family::gauge(
    "node_scrape_collector_duration_seconds",
    "Time that the reading of a collector took.",
    ["collector"],
);
const SUCCESS: Family<1> = Family::gauge(
    "node_scrape_collector_success",
    "Whether a collector could be read; 0 also where the host has no such thing.",
    ["collector"],
);
const AGE: Family<1> = Family::gauge(
    "taffrail_collector_reading_age_seconds",
    "Age of the reading that is served, of a collector that refreshes in the background.",
    ["collector"],
);
const HUNG: Family<0> = Family::gauge(
    "taffrail_collectors_hung",
    "Collectors that hang: each waits for something that does not answer, in a thread of its own.",
    [],
);
const WAITING: Family<0> = Family::gauge(
    "taffrail_threads_hung",
    "Threads that wait for a mount, a service or a file that does not answer, and for which nobody waits any more.",
    [],
);

/// The families that tell of the collectors themselves.
pub const FAMILIES: &[FamilyInfo] =
    &[DURATION.info(), SUCCESS.info(), AGE.info(), HUNG.info(), WAITING.info(), LEFT_OUT.info()];

const LEFT_OUT: Family<1> = Family::gauge(
    "taffrail_collector_series_left_out",
    "Series of the collector beyond its `max_series`, which are not shown.",
    ["collector"],
);

impl Readers {
    /// Names as families what is true of the collectors at this moment, whoever asks.
    pub fn write_families(&self, out: &mut FamilyWriter<'_>) {
        out.value(&HUNG, self.shared.step(|state, _| state.hung()) as u64);
        out.value(&WAITING, (self.host().hanging() + regular_file::hung()) as u64);
    }
}

/// The readings whose families others name, or else those of which we do, with their numbers.
fn of(answers: &[Answer], are_named_by_others: bool) -> impl Iterator<Item = (usize, &Answer)> {
    answers.iter().enumerate().filter(move |(_, answer)| answer.about.is_named_by_others == are_named_by_others)
}

/// Names what was read as families, and how the reading went; last what others name, so that what is ours stays ours.
pub fn write_families(answers: &[Answer], out: &mut FamilyWriter<'_>) {
    let mut left_out = vec![0; answers.len()];
    let mut write = |(number, answer): (usize, &Answer), out: &mut FamilyWriter<'_>| {
        let Answer { about, taken, cap, .. } = answer;
        out.set_room(cap.most);
        if let Ok(taken) = taken {
            taken.families(out);
        }
        let beyond = out.set_room(usize::MAX);
        cap.report(about, beyond);
        left_out[number] = beyond;
    };
    of(answers, false).for_each(|answer| write(answer, out));
    write_own_families(answers, out);
    out.reserve(LEFT_OUT.name());
    of(answers, true).for_each(|answer| write(answer, out));
    write_left_out(answers, &left_out, out);
}

/// Names what was read as points, with differences since the `previous` readings of the same sink; in the same order.
pub fn write_points(answers: &[Answer], previous: &[Answer], out: &mut PointWriter<'_>) {
    let mut left_out = vec![0; answers.len()];
    let mut write = |(number, answer): (usize, &Answer), out: &mut PointWriter<'_>| {
        let Ok(taken) = &answer.taken else { return };
        let same = |other: &&Answer| std::ptr::eq(other.about, answer.about);
        let before = previous.iter().find(same).and_then(|before| before.taken.as_ref().ok());
        let beyond = out.at_most(answer.cap.most, |out| taken.points(before.map(|taken| &**taken), out)) as u64;
        answer.cap.report(answer.about, beyond);
        left_out[number] = beyond;
    };
    of(answers, false).for_each(|answer| write(answer, out));
    let write_own = |families: &mut FamilyWriter<'_>| {
        families.reserve(LEFT_OUT.name());
        write_own_families(answers, families);
    };
    points_by_rule(write_own, out);
    of(answers, true).for_each(|answer| write(answer, out));
    points_by_rule(|families| write_left_out(answers, &left_out, families), out);
}

fn write_own_families(answers: &[Answer], out: &mut FamilyWriter<'_>) {
    let mut duration = out.family(&DURATION);
    for answer in answers {
        let took = answer.taken.as_ref().map_or(0.0, |taken| taken.took.as_secs_f64());
        duration.sample([answer.about.name], took);
    }
    drop(duration);
    let mut success = out.family(&SUCCESS);
    for answer in answers {
        let complete = answer.taken.as_ref().is_ok_and(|taken| taken.failure.is_none());
        success.sample([answer.about.name], complete);
    }
    drop(success);
    let mut age = out.family(&AGE);
    for answer in answers {
        if let Some(seconds) = answer.age {
            age.sample([answer.about.name], seconds.as_secs_f64());
        }
    }
}

fn write_left_out(answers: &[Answer], left_out: &[u64], out: &mut FamilyWriter<'_>) {
    let mut beyond = out.family(&LEFT_OUT);
    for (answer, count) in answers.iter().zip(left_out).filter(|(answer, _)| answer.cap.most < usize::MAX) {
        beyond.sample([answer.about.name], *count);
    }
}
