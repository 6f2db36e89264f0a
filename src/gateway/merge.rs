//! Pushes that add to what a group has, instead of taking its place: series by series, or value by value.
//!
//! | type | aggregated as |
//! |---|---|
//! | counter | the sum |
//! | histogram | the sum; of classic buckets those that both have, of native ones at the coarser resolution |
//! | summary | the sum of counts and of sums; quantiles cannot be added, and are left out |
//! | gauge, untyped | as [`Gauges`] says |
//! | info, state set | the last |

use std::collections::HashMap;

use super::block::shown_labels;
use super::key::Key;
use super::refusal::Refusal;
use super::state::State;
use crate::encode::parse::model::{Exposition, Family, Histogram, Kind, Label, Measure, Metric};

/// What a push does to the families that it names and the group has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It takes their place.
    #[default]
    Families,
    /// It takes the place of the series that it names; others stay.
    Series,
    /// Its values are added to those that are there.
    Aggregate(Gauges),
}

/// How gauges are aggregated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gauges {
    /// The last that was pushed.
    #[default]
    Last,
    /// The sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl Gauges {
    /// The choices by their names.
    pub const ALL: [(&'static str, Gauges); 4] =
        [("last", Gauges::Last), ("sum", Gauges::Sum), ("max", Gauges::Max), ("min", Gauges::Min)];

    fn of(self, before: f64, pushed: f64) -> f64 {
        match self {
            Gauges::Last => pushed,
            Gauges::Sum => before + pushed,
            Gauges::Max => before.max(pushed),
            Gauges::Min => before.min(pushed),
        }
    }
}

impl State {
    /// What a push makes of the families that it names: they come with what the group has of them already.
    ///
    /// # Errors
    /// That values cannot be added, or that a family has another type in the group.
    pub fn merged<'p>(&self, key: &Key, pushed: Exposition<'p>, mode: Mode) -> Result<Exposition<'p>, Refusal> {
        let mut families = Vec::with_capacity(pushed.families.len());
        for family in pushed.families {
            families.push(self.merged_family(key, family, mode)?);
        }
        Ok(Exposition { families })
    }

    fn merged_family<'p>(&self, key: &Key, mut family: Family<'p>, mode: Mode) -> Result<Family<'p>, Refusal> {
        let held = self.number(key).and_then(|number| self.piece(&family.name, number));
        let Some(held) = held else { return Ok(family) };
        if held.kind != stored_kind(family.kind) {
            let (name, is) = (family.name.to_string(), family.kind);
            return Err(Refusal::Kind { name, is, elsewhere: held.kind, other: key.clone() });
        }
        let mut before: Vec<Metric<'static>> = Vec::with_capacity(held.block.metrics());
        held.block.read(&held.name, held.kind, &held.help, &mut |read| {
            before.extend(read.metrics.iter().map(owned));
        });
        let mut places: HashMap<Vec<(String, String)>, Place> = HashMap::with_capacity(before.len());
        for (at, metric) in before.iter().enumerate() {
            places.insert(labels(metric, key), Place { at, was_pushed: false });
        }
        let mut metrics: Vec<Metric<'p>> = before.into_iter().collect();
        for pushed in family.metrics {
            let labels = labels(&pushed, key);
            let series = |labels: &[(String, String)]| format!("{}{}", family.name, Shown(labels));
            match places.get_mut(&labels) {
                None => {
                    places.insert(labels, Place { at: metrics.len(), was_pushed: true });
                    metrics.push(pushed);
                }
                // Once it was put together with what there was, nobody could tell any more.
                Some(place) if place.was_pushed => return Err(Refusal::Twice { series: series(&labels) }),
                Some(place) => {
                    place.was_pushed = true;
                    let combined = combine(family.kind, &metrics[place.at], &pushed, mode);
                    metrics[place.at] =
                        combined.map_err(|reason| Refusal::Merge { series: series(&labels), reason })?;
                }
            }
        }
        family.metrics = metrics;
        Ok(family)
    }
}

/// Where a series is among those of its family.
struct Place {
    at: usize,
    /// Whether the push has it; else it was there before.
    was_pushed: bool,
}

/// As which type a family is kept.
fn stored_kind(kind: Kind) -> Kind {
    if matches!(kind, Kind::Info | Kind::StateSet) { Kind::Gauge } else { kind }
}

struct Shown<'l>(&'l [(String, String)]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{{{}}}", shown.join(","))
    }
}

/// The labels by which a metric is known, none of them empty.
fn labels(metric: &Metric<'_>, key: &Key) -> Vec<(String, String)> {
    let shown = shown_labels(metric, key).into_iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn owned(metric: &Metric<'_>) -> Metric<'static> {
    let own = |(name, value): &Label<'_>| (name.clone().into_owned().into(), value.clone().into_owned().into());
    Metric { labels: metric.labels.iter().map(own).collect(), ..metric.clone_without_labels() }
}

fn combine<'p>(kind: Kind, before: &Metric<'_>, pushed: &Metric<'p>, mode: Mode) -> Result<Metric<'p>, &'static str> {
    let Mode::Aggregate(gauges) = mode else { return Ok(pushed.clone()) };
    let measure = match (&before.measure, &pushed.measure) {
        (Measure::Number(before), Measure::Number(pushed)) => Measure::Number(match kind {
            Kind::Counter => before + pushed,
            Kind::Info | Kind::StateSet => *pushed,
            _ => gauges.of(*before, *pushed),
        }),
        (Measure::Summary { count, sum, .. }, Measure::Summary { count: more, sum: further, .. }) => {
            Measure::Summary { count: count + more, sum: sum + further, quantiles: Vec::new() }
        }
        (Measure::Histogram(before), Measure::Histogram(pushed)) => {
            Measure::Histogram(Box::new(added(before, pushed)?))
        }
        _ => return Err("it was pushed in another form before"),
    };
    let created = [before.created, pushed.created].into_iter().flatten().reduce(f64::min);
    Ok(Metric { measure, created, ..pushed.clone() })
}

/// Two histograms as one.
fn added(one: &Histogram, other: &Histogram) -> Result<Histogram, &'static str> {
    let native = match (&one.native, &other.native) {
        (None, None) => None,
        (Some(one), Some(other)) => Some(one.plus(other)?),
        _ => return Err("one histogram has native buckets, and the other has not"),
    };
    let mut buckets = Vec::with_capacity(one.buckets.len());
    for (bound, count) in &one.buckets {
        // Of a bound that only one has, nobody knows how many observations of the other are below.
        let same = other.buckets.iter().find(|(candidate, _)| candidate == bound);
        buckets.extend(same.map(|(_, more)| (*bound, count + more)));
    }
    Ok(Histogram { count: one.count + other.count, sum: one.sum + other.sum, buckets, native })
}
