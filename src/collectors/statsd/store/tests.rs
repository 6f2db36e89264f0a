use std::time::Duration;

use super::*;
use crate::collectors::foreign::Named;
use crate::config::{Document, Section};
use crate::encode::line::LineEncoder;
use crate::encode::lines::Lines;
use crate::encode::tags::CommonTags;
use crate::encode::text::{Dialect, TextEncoder};
use crate::encode::{FamilyWriter, PointWriter};

/// A store with settings, and the time.
struct Scene {
    store: Store,
    now: Instant,
}

impl Scene {
    fn new(settings: &str) -> Scene {
        let document = Document::parse("t.toml", settings, &|_| None).unwrap();
        let settings = Section::check(&document, Settings::new).unwrap();
        Scene { store: Store::new(Arc::new(settings)), now: Instant::now() }
    }

    fn with_mapping(settings: &str, mapping: &str) -> Scene {
        let mut scene = Scene::new(settings);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mapping.yml");
        std::fs::write(&path, mapping).unwrap();
        scene.store.set_mapping(super::super::mapping::read(&path).unwrap());
        scene
    }

    fn take(&mut self, lines: &str) -> &mut Self {
        self.store.take(lines.as_bytes(), self.now);
        self
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    /// The samples of families, without comments.
    fn families(&mut self) -> Vec<String> {
        let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
        let mut out = FamilyWriter::new(&mut encoder);
        self.store.families(self.now).iter().for_each(|family| family.write(&mut out));
        assert_eq!(out.refused(), 0, "the exposition is valid");
        let text = String::from_utf8(encoder.finish()).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// The points of the interval.
    fn points(&mut self) -> Vec<String> {
        let (mut lines, tags) = (Lines::default(), CommonTags::default());
        let mut encoder = LineEncoder::new(&mut lines);
        let mut out = PointWriter::new(&mut encoder, &tags, Timestamp(1));
        self.store.flush(Timestamp(5), self.now).iter().for_each(|point| point.write(&mut out));
        drop(out);
        let mut found: Vec<String> =
            String::from_utf8(lines.bytes().to_vec()).unwrap().lines().map(str::to_owned).collect();
        found.sort();
        found
    }

    fn refused(&self, limit: Limit) -> u64 {
        self.store.counts.refused[limit as usize]
    }
}

#[test]
fn both_vocabularies_are_of_the_same_samples() {
    let mut scene = Scene::new("percentiles = [50, 99.9]\n");
    scene.take("a.b:3|c|@0.1\na.b:1|c\ng:5|g\ng:-2|g\nu:x|s\nu:y|s\nu:x|s\nt:100|ms\nt:300|ms\n");
    assert_eq!(
        scene.families(),
        [
            "a_b 31",
            "g 3",
            "t{quantile=\"0.5\"} 0.1",
            "t{quantile=\"0.9\"} 0.3",
            "t{quantile=\"0.99\"} 0.3",
            "t_sum 0.4",
            "t_count 2",
        ]
    );
    assert_eq!(
        scene.points(),
        [
            "a_b,metric_type=counter value=31i 5",
            "g,metric_type=gauge value=3 5",
            "t,metric_type=timing mean=200,median=200,stddev=100,sum=400,upper=300,lower=100,50_percentile=300,99.9_percentile=300,count=2i 5",
            "u,metric_type=set value=2i 5",
        ]
    );
    assert_eq!(scene.take("a.b:1|c").points(), ["a_b,metric_type=counter value=1i 5"], "an interval begins at 0");
    assert_eq!(scene.families()[0], "a_b 32", "families are cumulative");
    assert_eq!(scene.take("g:+1|g").points(), ["g,metric_type=gauge value=1 5"]);
    assert_eq!(scene.points(), [""; 0]);
}

#[test]
fn values_that_are_not_deleted_are_pushed_in_each_interval() {
    let mut scene = Scene::new(
        "delete_gauges = false\ndelete_counters = false\ndelete_sets = false\ndelete_timings = false\n\
         float_counters = true\nfloat_sets = true\nfloat_timings = true\ndistributions = true\n",
    );
    scene.take("c:0.5|c\ng:1|g\ns:a|s\nt:1|h\nd:1|d\nd:2|d\n").points();
    assert_eq!(
        scene.take("c:1|c\ns:b|s\n").points(),
        [
            "c,metric_type=counter value=1.5 5",
            "g,metric_type=gauge value=1 5",
            "s,metric_type=set value=2 5",
            "t,metric_type=histogram mean=1,median=1,stddev=0,sum=1,upper=1,lower=1,count=1 5",
        ]
    );
    assert_eq!(
        scene.take("d:1|d\nd:2|d").points()[1..3],
        ["d,metric_type=distribution value=1 5", "d,metric_type=distribution value=2 6"]
    );
}

#[test]
fn tags_are_labels_and_tags_of_points() {
    let mut scene = Scene::new("container_id = true\ntemplates = ['measurement.field']\n");
    scene.take("a.b:1|c|#9x:1,flag,env:a b\na.b,z=2:1|c\na.b:1|c|c:deadbeef");
    assert_eq!(
        scene.families(),
        ["a_b{_9x=\"1\",env=\"a b\"} 1", "a_b{container_id=\"deadbeef\"} 1", "a_b{z=\"2\"} 1"]
    );
    assert_eq!(
        scene.points(),
        [
            "a,9x=1,env=a\\ b,flag=true,metric_type=counter b=1i 5",
            "a,container=deadbeef,metric_type=counter b=1i 5",
            "a,metric_type=counter,z=2 b=1i 5",
        ]
    );
    let counts = &scene.store.counts;
    assert_eq!((counts.tags, counts.tag_errors, counts.lines, counts.samples), (2, 1, 3, 3));
}

#[test]
fn mappings_name_families_and_leave_points_alone() {
    let mut scene = Scene::with_mapping(
        "",
        "defaults: {observer_type: histogram, histogram_options: {buckets: [1, 2]}}\nmappings:\n\
         - {match: 'a.*', name: 'a_total', labels: {kind: $1, env: mapped}}\n\
         - {match: 'h.*', name: 'h_total', labels: {env: mapped}, honor_labels: true, scale: 10}\n\
         - {match: 'x.*', name: 'x', action: drop}\n\
         - {match: 'e.(.*)', match_type: regex, name: '$1'}\n",
    );
    scene.take("a.b:1|c|#env:tag\nh.b:1|c|#env:tag\nx.y:1|g\ne.:1|g\nq:1.5|h|@0.5\nq:5|h\n");
    assert_eq!(
        scene.families(),
        [
            "a_total{env=\"mapped\",kind=\"b\"} 1",
            "h_total{env=\"tag\"} 10",
            "q_bucket{le=\"1\"} 0",
            "q_bucket{le=\"2\"} 2",
            "q_bucket{le=\"+Inf\"} 3",
            "q_sum 8",
            "q_count 3",
        ]
    );
    let counts = &scene.store.counts;
    assert_eq!((counts.mapped, counts.dropped, counts.unmapped, counts.empty_names), (2, 1, 3, 1));
    assert_eq!(scene.points().len(), 5, "points keep their names");
}

#[test]
fn the_later_type_of_a_name_is_refused_and_the_page_stays_valid() {
    let mut scene = Scene::new("");
    scene.take("a:1|c\na:1|g\na.b:1|ms\na.b.count:1|c\nb.sum:1|g\nb:1|ms\nc:1|ms|#quantile:1\nc:1|g|#__name__:x\nn:-1|c\n,x=y:1|c");
    assert_eq!(scene.families().iter().filter(|line| !line.starts_with("a_b")).collect::<Vec<_>>(), ["a 1", "b_sum 1"]);
    let counts = &scene.store.counts;
    assert_eq!((counts.conflicts, counts.negative_counters, counts.empty_names), ([1, 2, 2], 1, 1));
    let points = scene.points();
    assert!(points.iter().any(|line| line == "n,metric_type=counter value=-1i 5"), "{points:?}");
}

#[test]
fn series_expire_and_conflicts_end_with_them() {
    let mut scene = Scene::with_mapping("expire_after = '100s'\n", "mappings: [{match: s, name: short, ttl: 10s}]\n");
    scene.take("s:1|c\nlong:1|c\n").wait(10).take("long:1|c\n");
    assert_eq!(scene.families(), ["long 2"]);
    assert_eq!(scene.take("s:1|c\n").families(), ["long 2", "short 1"]);
    scene.wait(100).points();
    assert_eq!(scene.take("long:5|g").families(), ["long 5"], "another type, once it has expired");
    assert_eq!((scene.store.intervals.len(), scene.store.families.len()), (1, 1));
    let mut forever = Scene::new("expire_after = '0s'\n");
    assert_eq!(forever.take("a:1|c").wait(1_000_000).families(), ["a 1"]);
}

#[test]
fn whatever_arrives_is_bounded() {
    let mut scene =
        Scene::new("max_metrics = 10\nmax_values = 50\nmax_tags = 2\nmax_name_length = 40\nmax_line_length = 100\n");
    for number in 0..1000 {
        scene.take(&format!("name{number}:1|c\nt:{number}|ms\nu:{number}|s\n{}:1|c\n", "x".repeat(number % 200)));
        scene.take(&format!("a:1|c|#a:1,b:2,c:{number}\n"));
    }
    let numbers = scene.store.counts(0).numbers;
    assert_eq!((numbers.series, numbers.point_series), (10, 10));
    assert!(numbers.values <= 50, "{numbers:?}");
    assert!(scene.store.routes.len() <= 20);
    for limit in [Limit::Metrics, Limit::Values, Limit::Tags, Limit::NameLength] {
        assert!(scene.refused(limit) > 0, "{limit:?}");
    }
    assert!(scene.store.counts.long_lines > 0);
    assert!(scene.families().contains(&"name0 1".to_owned()), "the first ones stay");
}

#[test]
fn without_a_sink_samples_are_not_aggregated_for_points() {
    let mut scene = Scene::new("");
    scene.store.set_points(false);
    assert_eq!(scene.take("a:1|c\nu:x|s").points(), [""; 0]);
    scene.store.set_points(true);
    assert_eq!(scene.take("a:1|c").points(), ["a,metric_type=counter value=1i 5"]);
}

#[test]
fn the_reason_of_each_refusal_is_counted() {
    let mut scene = Scene::new("");
    scene.take("a\na:1\na:x|c\na:1|q\na,x=1:1|c|#y:2\n_e{1,1}:a|b\n_sc|a|0\na:1:2|c\na:1|c||\na:1|c|@x\na:1|c|c:\n");
    let errors = scene.store.counts.sample_errors;
    assert_eq!(errors, [1; Refusal::ALL.len()]);
    assert_eq!((scene.store.counts.lines, scene.store.counts.samples), (11, 5));
    assert!(Refusal::ALL.iter().enumerate().all(|(index, refusal)| *refusal as usize == index));
    assert!(Limit::ALL.iter().enumerate().all(|(index, limit)| *limit as usize == index));
}

#[test]
fn names_of_an_earlier_interval_leave_room_for_points() {
    let mut scene = Scene::new("max_metrics = 2\n");
    scene.take("a:1|c\nb:1|c\nc:1|c\n");
    assert_eq!((scene.points().len(), scene.refused(Limit::Metrics)), (2, 1));
    scene.take("c:1|c\nb:2|c\nd:1|s\n");
    assert_eq!(scene.points(), ["b,metric_type=counter value=2i 5", "c,metric_type=counter value=1i 5"]);
    assert_eq!(scene.families(), ["a 1", "b 3"], "families stay until they expire");
    let mut scene = Scene::new("max_metrics = 2\ndelete_counters = false\n");
    scene.take("a:1|c\nb:1|c\n").points();
    assert_eq!(scene.take("c:1|c\n").points().len(), 2, "what is pushed again stays");
}

/// As in statsd_exporter, which refuses it before it looks for the series.
#[test]
fn a_negative_counter_makes_no_series() {
    let mut scene = Scene::with_mapping("max_metrics = 1", "mappings:\n- match: m\n  name: m\n  scale: -1\n");
    scene.take("n:-5|c\nm:1|c\nk:1|c");
    assert_eq!(scene.families(), ["k 1"]);
    scene.take("k:-1|c\nk:2|c");
    assert_eq!(scene.families(), ["k 3"]);
}
