//! Protobuf that is read can be written as text and as protobuf, and read again; native histograms can be added.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::encode::parse::{Family, Format, Limits, Measure, Metric, parse};
use taffrail::encode::names::Escaping;
use taffrail::encode::pushed::{push_family_message, push_metric_message, push_text};

fuzz_target!(|body: &[u8]| {
    let Ok(read) = parse(Format::Protobuf, body, &Limits::default()) else { return };
    // The gateway refuses a metric that is there twice when it checks the push; text refuses it when it is parsed.
    if read.families.iter().any(has_duplicates) {
        return;
    }
    let mut text = Vec::new();
    read.families.iter().for_each(|family| push_text(&mut text, family, Escaping::AllowUtf8));
    let again = parse(Format::Text, &text, &Limits::default());
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)));
    assert_eq!(again.families.len(), read.families.len(), "{}", String::from_utf8_lossy(&text));
    let mut messages = Vec::new();
    for family in &read.families {
        let mut metrics = Vec::new();
        family.metrics.iter().for_each(|metric| push_metric_message(&mut metrics, family.kind, metric));
        push_family_message(&mut messages, &family.name, family.kind, &family.help, &metrics);
    }
    let again = parse(Format::Protobuf, &messages, &Limits::default()).unwrap_or_else(|error| panic!("{error}: {read:?}"));
    assert_eq!(again.families.len(), read.families.len(), "{read:?}");
    let measures = read.families.iter().flat_map(|family| &family.metrics).map(|metric| &metric.measure);
    let natives = measures.filter_map(|measure| match measure {
        Measure::Histogram(histogram) => histogram.native.as_ref(),
        _ => None,
    });
    let natives: Vec<_> = natives.collect();
    natives.windows(2).for_each(|pair| drop(pair[0].plus(pair[1])));
});

/// Whether two metrics have the same labels, an empty one being none.
fn has_duplicates(family: &Family<'_>) -> bool {
    let labels = |metric: &Metric<'_>| {
        let labels = metric.labels.iter().filter(|(_, value)| !value.is_empty());
        labels.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    let mut all: Vec<Vec<(String, String)>> = family.metrics.iter().map(labels).collect();
    all.sort();
    all.windows(2).any(|pair| pair[0] == pair[1])
}
