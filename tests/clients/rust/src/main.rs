//! The crate prometheus: client push|add ADDRESS. It cannot delete.

use prometheus::{CounterVec, Gauge, Histogram, HistogramOpts, Opts, Registry};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let registry = Registry::new();
    let gauge = Gauge::new("last_success", "When it was last well.").unwrap();
    registry.register(Box::new(gauge.clone())).unwrap();
    // This client refuses values that have a slash.
    let group = prometheus::labels! { "path".to_owned() => "tmp".to_owned() };
    if arguments[1] == "push" {
        gauge.set(1.5e9);
        let files = CounterVec::new(Opts::new("files_total", "Files that were copied."), &["kind"]).unwrap();
        files.with_label_values(&["a b"]).inc_by(3.0);
        registry.register(Box::new(files)).unwrap();
        let options = HistogramOpts::new("copy_seconds", "How long a file took.").buckets(vec![0.1, 1.0]);
        let copies = Histogram::with_opts(options).unwrap();
        copies.observe(0.5);
        registry.register(Box::new(copies)).unwrap();
        prometheus::push_metrics("backup", group, &arguments[2], registry.gather(), None).unwrap();
    } else {
        gauge.set(1.6e9);
        prometheus::push_add_metrics("backup", group, &arguments[2], registry.gather(), None).unwrap();
    }
}
