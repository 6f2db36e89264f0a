//! What the gateway says that it holds is what the allocator gave it, within a quarter, whatever was pushed.
//!
//! A program of its own, for it counts all that is allocated in it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use taffrail::encode::parse::model::{Buckets, Histogram, Kind, Measure, Metric, Native};
use taffrail::encode::parse::{Format, Limits, line, parse};
use taffrail::encode::pushed::{push_family_message, push_metric_message};
use taffrail::gateway::groups::change::Replace;
use taffrail::gateway::groups::merge::{GaugeMode, Mode};
use taffrail::gateway::groups::state::State;
use taffrail::gateway::groups::times::Times;
use taffrail::gateway::key::Key;
use taffrail::gateway::points::{PointLimits, Points};

/// The system's, which counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size, Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One push, as the gateway makes it.
struct Push<'b> {
    path: &'b str,
    format: Format,
    body: &'b [u8],
    replace: Replace,
    mode: Mode,
    ttl: Option<f64>,
    seen: Option<u128>,
}

impl<'b> Push<'b> {
    fn text(path: &'b str, body: &'b str) -> Push<'b> {
        let (format, body) = (Format::Text, body.as_bytes());
        Push { path, format, body, replace: Replace::Named, mode: Mode::Families, ttl: None, seen: None }
    }

    fn to(&self, state: &mut State) {
        let key = Key::from_path(self.path).unwrap();
        let mut pushed = parse(self.format, self.body, &Limits::default()).unwrap();
        if self.mode != Mode::Families {
            pushed = state.merged(&key, pushed, self.mode).unwrap();
        }
        let times = Times { pushed: 5.0, failed: 0.0, expires: self.ttl };
        let mut change = state.plan(&key, &pushed, self.replace, times).unwrap();
        change.seen = self.seen;
        state.apply(&change);
    }
}

fn end(state: &mut State, is_wanted: impl FnMut(&Key, Times) -> bool) {
    let selection = state.select(is_wanted);
    drop(state.sweep(&selection));
}

fn native_histogram(series: usize) -> Vec<u8> {
    let (mut metrics, mut body) = (Vec::new(), Vec::new());
    for number in 0..series {
        let positive = Buckets { spans: vec![(0, 40), (3, 20)], deltas: vec![1; 60], counts: Vec::new() };
        let native = Native { schema: 3, zero_threshold: 0.5, zero_count: 2.0, positive, ..Native::default() };
        let histogram = Histogram { count: 1832.0, sum: 12.5, buckets: Vec::new(), native: Some(native) };
        let labels = vec![("number".into(), number.to_string().into())];
        let measure = Measure::Histogram(Box::new(histogram));
        let metric = Metric { labels, measure, timestamp: None, created: None };
        push_metric_message(&mut metrics, Kind::Histogram, &metric);
    }
    push_family_message(&mut body, "native", Kind::Histogram, "Native.", &metrics);
    body
}

fn histograms(number: usize) -> String {
    let mut body = "# HELP took_seconds How long.\n# TYPE took_seconds histogram\n".to_owned();
    for method in ["get", "put", "post"] {
        for bucket in 0..20 {
            writeln!(body, "took_seconds_bucket{{method=\"{method}\",le=\"{bucket}\"}} {}", number + bucket).unwrap();
        }
        writeln!(body, "took_seconds_bucket{{method=\"{method}\",le=\"+Inf\"}} {}", number + 20).unwrap();
        writeln!(
            body,
            "took_seconds_sum{{method=\"{method}\"}} 1.5\ntook_seconds_count{{method=\"{method}\"}} {}",
            number + 20
        )
        .unwrap();
    }
    body
}

fn series(prefix: &str, count: usize) -> String {
    (0..count).fold(String::new(), |mut body, number| {
        writeln!(body, "{prefix}{{number=\"{number}\"}} {number}").unwrap();
        body
    })
}

fn labels(count: usize) -> String {
    (0..count).map(|number| format!("label_{number}=\"value {number}\",")).collect()
}

type Shape = (&'static str, fn(&mut State));

/// What is pushed; each takes megabytes, beside which single pages do not count.
const SHAPES: &[Shape] = &[
    ("long help texts", |state| {
        for number in 0..40 {
            let body = format!("# HELP f{number} {}\nf{number} 1\n", "x".repeat(200_000));
            Push::text("job/long", &body).to(state);
        }
    }),
    ("long help texts that groups share, and change", |state| {
        for number in 0..200 {
            let body = format!("# HELP f {}\nf 1\n", "x".repeat(20_000 + number));
            Push::text(&format!("job/j{number}"), &body).to(state);
        }
        let body = format!("# HELP f {}\nf 1\n", "y".repeat(4_000_000));
        Push::text("job/j7", &body).to(state);
    }),
    ("long names", |state| {
        for number in 0..2000 {
            let body = format!("{}_{number} 1\n", "long_name".repeat(100));
            Push::text("job/names", &body).to(state);
        }
    }),
    ("many tiny groups", |state| {
        for number in 0..40_000 {
            Push::text(&format!("job/backup/host/web-{number}"), "# HELP up Whether.\n# TYPE up gauge\nup 1\n")
                .to(state);
        }
    }),
    ("many groups with long keys", |state| {
        for number in 0..5000 {
            Push::text(&format!("job/backup/host/{}{number}", "h".repeat(1000)), "up 1\nlast 2\n").to(state);
        }
    }),
    ("groups that hold nothing", |state| {
        for number in 0..40_000 {
            Push::text(&format!("job/nothing-{number}"), "").to(state);
        }
    }),
    ("many families of one group", |state| {
        let body = (0..30_000).fold(String::new(), |mut body, number| {
            writeln!(body, "# HELP f{number} Of this number.\n# TYPE f{number} gauge\nf{number} 1").unwrap();
            body
        });
        Push::text("job/families", &body).to(state);
    }),
    ("families of their own in each group", |state| {
        for number in 0..10_000 {
            let body = format!("# HELP a{number} Of one.\na{number} 1\n# HELP b{number} Of one.\nb{number} 1\n");
            Push::text(&format!("job/own-{number}"), &body).to(state);
        }
    }),
    ("many series of one family", |state| {
        Push::text("job/series", &series("rows", 90_000)).to(state);
    }),
    ("many labels", |state| {
        for group in 0..10 {
            let body = (0..500).fold(String::new(), |mut body, number| {
                writeln!(body, "rows{{{}number=\"{number}\"}} 1", labels(40)).unwrap();
                body
            });
            Push::text(&format!("job/labels-{group}"), &body).to(state);
        }
    }),
    ("histograms", |state| {
        for number in 0..1000 {
            Push::text(&format!("job/histograms-{number}"), &histograms(number)).to(state);
        }
    }),
    ("native histograms", |state| {
        for number in 0..100 {
            let (path, body) = (format!("job/native-{number}"), native_histogram(100));
            Push { format: Format::Protobuf, body: &body, ..Push::text(&path, "") }.to(state);
        }
    }),
    ("names beyond ASCII", |state| {
        for number in 0..3000 {
            let body = format!("{{\"größe.{number}\",\"l.a\"=\"1\"}} 1\n{{\"größe.{number}\",\"l.a\"=\"2\"}} 1\n");
            Push::text(&format!("job/names-{}", number % 100), &body).to(state);
        }
    }),
    ("series that are merged one by one", |state| {
        for number in 0..100 {
            let body = series(&format!("rows{}", number % 20), 400 + number);
            Push { mode: Mode::Series, ..Push::text("job/merged", &body) }.to(state);
        }
    }),
    ("values that are added up", |state| {
        for number in 0..600 {
            let path = format!("job/added-{}", number % 200);
            let body = histograms(number);
            Push { mode: Mode::Aggregate(GaugeMode::Sum), ..Push::text(&path, &body) }.to(state);
        }
    }),
    ("groups with a time to live and with pushes that they remember", |state| {
        for number in 0..40_000 {
            let path = format!("job/ttl-{}", number % 5000);
            Push { ttl: Some(1e10), seen: Some(number), ..Push::text(&path, "x 1\n") }.to(state);
        }
    }),
    ("groups with the durations of their runs, and some with pushes that they remember", |state| {
        for number in 0..200_000 {
            let group = number % 5000;
            let body = format!("# TYPE job_duration_seconds gauge\njob_duration_seconds {number}\n");
            let seen = (group % 2 == 0).then_some(number);
            Push { seen, ..Push::text(&format!("job/run-{group}"), &body) }.to(state);
        }
    }),
    ("groups that are replaced again and again", |state| {
        for round in 0..20 {
            for group in 0..300 {
                let body = series(&format!("rows{}", round % 7), 10 + (round * 31 + group) % 50);
                let path = format!("job/replaced-{group}");
                Push { replace: Replace::Everything, ..Push::text(&path, &body) }.to(state);
            }
        }
    }),
    ("what is left of many groups", |state| {
        for number in 0..40_000 {
            Push::text(&format!("job/left-{number}"), "up 1\nlast{kind=\"run\"} 2\n").to(state);
        }
        let mut number = 0;
        end(state, |_, _| {
            number += 1;
            number % 20 != 0
        });
        for number in 0..20_000 {
            Push::text(&format!("job/new-{number}"), "up 1\n").to(state);
        }
    }),
    ("jobs whose groups ended by themselves", |state| {
        for number in 0..900 {
            Push::text(&format!("job/{}{number}", "long".repeat(500)), "up 1\n").to(state);
        }
        let selection = state.select(|_, _| true).expired(7.0);
        drop(state.sweep(&selection));
        let selection = state.select(|_, _| true);
        drop(state.sweep(&selection));
    }),
];

fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

fn assert_near(what: &str, counted: usize, grown: usize) {
    println!("{what}: {counted} bytes counted, {grown} held");
    assert!(grown > 500_000, "{what}: {grown} bytes are too few to compare");
    let difference = counted.abs_diff(grown);
    assert!(difference * 4 <= grown, "{what}: {counted} bytes are counted, and {grown} are held");
}

/// One after the other in one test: no other may allocate meanwhile.
#[test]
fn what_is_counted_is_what_is_held() {
    /// What an empty state may keep.
    const A_LITTLE: usize = 10_000;
    // Blocks are assembled in a buffer that stays.
    Push::text("job/warm", &series("rows", 90_000)).to(&mut State::default());
    for (what, fill) in SHAPES {
        let before = held();
        let mut state = State::default();
        fill(&mut state);
        assert_near(what, state.bytes(), held() - before);
        let expired: usize = state.expired().keys().map(|job| job.len() + 100).sum();
        end(&mut state, |_, _| true);
        assert!(state.bytes() <= A_LITTLE + expired, "{what}: {} bytes are counted at the end", state.bytes());
        let left = held().saturating_sub(before);
        assert!(left <= A_LITTLE + expired, "{what}: {left} bytes are left at the end");
    }
    groups_that_end_one_by_one();
    points();
}

fn groups_that_end_one_by_one() {
    let before = held();
    let mut state = State::default();
    let path = |number: usize| format!("job/one-by-one-{number}");
    for number in 0..3000 {
        Push::text(&path(number), &format!("up 1\nrows{} 2\n", number % 100)).to(&mut state);
    }
    for number in 0..3000 {
        if number == 1000 {
            assert_near("groups of which some have ended", state.bytes(), held() - before);
        }
        let selection = state.select_keys(&[Key::from_path(&path(number)).unwrap()]);
        drop(state.sweep(&selection));
    }
    assert_eq!(state.bytes(), 0);
    assert!(held().saturating_sub(before) <= 1000);
}

fn points() {
    let before = held();
    let (points, now) = (Points::default(), Instant::now());
    let limits =
        PointLimits { ttl: Duration::from_secs(100), max_series: usize::MAX, max_bytes: usize::MAX, max_labels: 64 };
    let put = |line: String| {
        let point = line::points(line.as_bytes()).next().unwrap().unwrap();
        points.put(&point, 1, &limits, &|_| false).unwrap();
    };
    for number in 0..20_000 {
        put(format!(
            "cpu,host=web-{number},rack={},{} idle=1,user=2",
            number % 7,
            labels(5).replace(['"', ' '], "").trim_end_matches(',')
        ));
    }
    assert_near("points with tags", points.bytes(), held() - before);
    for number in 0..20_000 {
        put(format!("own_{number} value=1"));
    }
    assert_near("points of names of their own", points.bytes(), held() - before);
    points.clean_up(now + Duration::from_secs(1000));
    assert_eq!((points.bytes(), points.series()), (0, 0));
    assert!(held().saturating_sub(before) <= 1000);
}
