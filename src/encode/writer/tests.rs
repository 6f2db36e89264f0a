//! Tests of the text that the writer produces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;
use crate::encode::text::{Dialect, TextEncoder};

const REQUESTS: Family<2> = Family::counter("requests_total", "Requests.", ["method", "path"]);
const UP: Family<0> = Family::gauge("up", "Whether it is up.", []);
const KEYS: Pattern = Pattern::new("node_vmstat_", "", Kind::Untyped, "node_vmstat_KEY").help(" of it.");

fn text(write: impl FnOnce(&mut FamilyWriter)) -> (String, u64) {
    let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
    let mut writer = FamilyWriter::new(&mut encoder);
    write(&mut writer);
    let refused = writer.refused();
    (String::from_utf8(encoder.finish()).unwrap(), refused)
}

#[test]
fn a_family_has_one_head_and_each_series_once() {
    let (text, refused) = text(|out| {
        let mut requests = out.family(&REQUESTS);
        requests.sample(["get", "/"], 1u64);
        requests.sample(["get", "/"], 2u64);
        requests.sample(["ge", "t/"], 3u64);
    });
    assert_eq!(
        text,
        "# HELP requests_total Requests.\n# TYPE requests_total counter\n\
         requests_total{method=\"get\",path=\"/\"} 1\nrequests_total{method=\"ge\",path=\"t/\"} 3\n"
    );
    assert_eq!(refused, 1);
}

#[test]
fn a_family_that_comes_again_is_left_out() {
    let (text, refused) = text(|out| {
        out.value(&UP, 1u64);
        out.value(&UP, 0u64);
        out.keyed(&KEYS, "a b", 1u64);
        out.keyed(&KEYS, "a_b", 2u64);
    });
    assert_eq!(
        text,
        "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n\
         # HELP node_vmstat_a_b a b of it.\n# TYPE node_vmstat_a_b untyped\nnode_vmstat_a_b 1\n"
    );
    assert_eq!(refused, 2);
}

#[test]
fn what_comes_beyond_the_room_is_left_out_and_counted() {
    let mut exceeded = 0;
    let (text, refused) = text(|out| {
        out.set_limit(Limit::new(2));
        let mut requests = out.family(&REQUESTS);
        ["a", "b", "c"].into_iter().for_each(|path| requests.sample(["get", path], 1u64));
        drop(requests);
        out.value(&UP, 1u64);
        exceeded = out.set_limit(Limit::NONE).exceeded();
        out.keyed(&KEYS, "a", 1u64);
    });
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 3, "{text}");
    assert!(!text.contains("# TYPE up"));
    assert_eq!((exceeded, refused), (2, 0));
}

#[test]
fn a_family_without_samples_is_not_there() {
    let (text, refused) = text(|out| drop(out.family(&REQUESTS)));
    assert_eq!((text.as_str(), refused), ("", 0));
}

fn pairs(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn escaped_text(dialect: Dialect, escaping: Escaping, write: impl FnOnce(&mut FamilyWriter)) -> (String, u64) {
    let mut encoder = TextEncoder::new(dialect, Vec::new());
    let mut writer = FamilyWriter::escaping(&mut encoder, escaping);
    write(&mut writer);
    let refused = writer.refused();
    (String::from_utf8(encoder.finish()).unwrap(), refused)
}

#[test]
fn names_are_written_as_they_are_wanted() {
    for (escaping, expected) in [
        (Escaping::AllowUtf8, "# HELP \"a.b\" A.\n# TYPE \"a.b\" gauge\n{\"a.b\",\"c d\"=\"e\",f=\"g\"} 1\n"),
        (Escaping::Underscores, "# HELP a_b A.\n# TYPE a_b gauge\na_b{c_d=\"e\",f=\"g\"} 1\n"),
        (Escaping::Dots, "# HELP a_dot_b A.\n# TYPE a_dot_b gauge\na_dot_b{c__d=\"e\",f=\"g\"} 1\n"),
        (Escaping::Values, "# HELP U__a_2e_b A.\n# TYPE U__a_2e_b gauge\nU__a_2e_b{U__c_20_d=\"e\",f=\"g\"} 1\n"),
    ] {
        let written = escaped_text(Dialect::Plain, escaping, |out| {
            let labels = pairs(&[("c d", "e"), ("f", "g")]);
            out.free_family("a.b", Kind::Gauge, "A.").sample(&labels, 1u64, None);
        });
        assert_eq!(written, (expected.to_owned(), 0));
    }
}

#[test]
fn names_that_meet_by_being_escaped_stay_apart() {
    let (text, refused) = escaped_text(Dialect::Plain, Escaping::Underscores, |out| {
        for name in ["a_b", "a.b", "a-b"] {
            out.free_family(name, Kind::Gauge, "").sample(&[], 1u64, None);
        }
        let mut family = out.free_family("c", Kind::Gauge, "");
        family.sample(&pairs(&[("l.m", "1"), ("l_m", "2")]), 1u64, None);
        family.sample(&pairs(&[("n_o", "1")]), 1u64, None);
        family.sample(&pairs(&[("n.o", "1")]), 1u64, None);
    });
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let expected = [
        "a_b 1",
        "U__a_2e_b 1",
        "U__a_2d_b 1",
        "c{U__l_2e_m=\"1\",l_m=\"2\"} 1",
        "c{n_o=\"1\"} 1",
        "c{U__n_2e_o=\"1\"} 1",
    ];
    assert_eq!((samples, refused), (expected.to_vec(), 0));
}

#[test]
fn a_label_comes_once() {
    let (text, _) = text(|out| {
        let mut family = out.free_family("a", Kind::Gauge, "");
        family.sample(&pairs(&[("b", "1"), ("c", "2"), ("b", "3")]), 1u64, None);
    });
    assert!(text.ends_with("a{b=\"1\",c=\"2\"} 1\n"), "{text}");
}

#[test]
fn a_family_and_a_part_of_another_do_not_share_a_name() {
    let (text, refused) = text(|out| {
        out.free_family("a", Kind::Summary, "").part_sample("_count", &[], 1u64, None);
        out.free_family("a_count", Kind::Gauge, "").sample(&[], 2u64, None);
        out.free_family("b_bucket", Kind::Gauge, "").sample(&[], 3u64, None);
        out.free_family("b", Kind::Histogram, "").part_sample("_sum", &[], 4u64, None);
        out.free_family("", Kind::Gauge, "").sample(&[], 5u64, None);
    });
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!((samples, refused), (vec!["a_count 1", "b_bucket 3"], 3));
}

#[test]
fn open_metrics_has_quotes_bounds_with_a_point_and_no_counter_that_is_called_as_another() {
    let (text, refused) = escaped_text(Dialect::OpenMetrics, Escaping::AllowUtf8, |out| {
        out.free_family("jobs", Kind::Gauge, "").sample(&[], 1u64, None);
        out.free_family("jobs_total", Kind::Counter, "").sample(&[], 2u64, None);
        out.free_family("my.jobs_total", Kind::Counter, "").sample(&[], 3u64, None);
        let mut family = out.free_family("my.took", Kind::Histogram, "");
        family.part_sample("_bucket", &pairs(&[("le", "1")]), 1u64, None);
        family.part_sample("_bucket", &pairs(&[("le", "+Inf")]), 1u64, None);
    });
    let expected = "# HELP jobs \n# TYPE jobs gauge\njobs 1\n\
                    # HELP jobs_total \n# TYPE jobs_total unknown\njobs_total 2\n\
                    # HELP \"my.jobs\" \n# TYPE \"my.jobs\" counter\n{\"my.jobs_total\"} 3\n\
                    # HELP \"my.took\" \n# TYPE \"my.took\" histogram\n\
                    {\"my.took_bucket\",le=\"1.0\"} 1\n{\"my.took_bucket\",le=\"+Inf\"} 1\n# EOF\n";
    assert_eq!((text.as_str(), refused), (expected, 0));
}

#[test]
fn a_family_that_is_gathered_has_each_series_once_and_may_have_no_labels() {
    let (text, refused) = text(|out| {
        let mut bare = out.plain_family("bare", Kind::Gauge, "");
        bare.sample_of(&[], &[], false, Value::Unsigned(1));
        bare.sample_of(&[], &[], false, Value::Unsigned(2));
        drop(bare);
        let mut sparse = out.plain_family("sparse", Kind::Gauge, "");
        for values in [["x", ""], ["", "x"], ["", ""], ["x", ""]] {
            sparse.sample_of(&["a", "b"], &values, true, Value::Unsigned(3));
        }
    });
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!((samples, refused), (vec!["bare 1", "sparse{a=\"x\"} 3", "sparse{b=\"x\"} 3", "sparse 3"], 2));
}

/// One family with a series for each of these labels, until it is done.
struct Named {
    name: &'static str,
    labels: &'static [&'static str],
    is_done: AtomicBool,
}

impl Named {
    fn put(&self, out: &mut dyn OpenFamily) {
        self.labels.iter().for_each(|label| out.sample("", &["l"], &[label], Value::Unsigned(1), None));
    }
}

impl ForeignFamilies for Named {
    fn has(&self, name: &str) -> bool {
        self.name == name
    }

    fn join(&self, name: &str, kind: Kind, out: &mut dyn OpenFamily) {
        if self.has(name) && kind.goes_with(Kind::Gauge) && !self.is_done.swap(true, Relaxed) {
            self.put(out);
        }
    }

    fn write_others(&self, out: &mut FamilyWriter<'_>) {
        if !self.is_done.swap(true, Relaxed) {
            self.put(out.free_family(self.name, Kind::Gauge, "").open());
        }
    }
}

#[test]
fn families_that_join_count_against_the_limit_of_their_own_collector() {
    let named = |name, labels| Arc::new(Named { name, labels, is_done: AtomicBool::new(false) });
    for (name, escaping) in [("x", Escaping::AllowUtf8), ("x.y", Escaping::Underscores), ("x.y", Escaping::Values)] {
        let (text, refused) = escaped_text(Dialect::Plain, escaping, |out| {
            out.add_foreign("b", named(name, &["3", "4", "5"]), Limit::new(2));
            out.add_foreign("a", named(name, &["1", "2", "3"]), Limit::new(3));
            out.add_foreign("c", named("z", &["6"]), Limit::NONE);
            let exceeded = ["a", "b", "c"].map(|collector| out.write_foreign(collector).unwrap().exceeded());
            assert_eq!(exceeded, [0, 1, 0]);
            assert!(out.write_foreign("d").is_none());
            assert!(out.is_shared(name) && !out.is_shared("other"));
            assert_eq!(out.keeper("z", Kind::Histogram), Some("c"));
            out.value(&UP, 1u64);
        });
        let labels = text.lines().filter_map(|line| line.split_once("{l=")?.1.split_once('}')).map(|(label, _)| label);
        assert_eq!(labels.collect::<Vec<_>>(), ["\"1\"", "\"2\"", "\"3\"", "\"4\"", "\"6\""], "{text}");
        assert!(refused == 1 && text.ends_with("up 1\n") && text.matches("# TYPE ").count() == 3, "{text}");
    }
}
