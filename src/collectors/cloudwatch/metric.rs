//! A metric that is asked for, and what each vocabulary calls it.

use std::sync::Arc;

use super::id::{Id, Place};
use super::names::{self, Naming};
use super::resources::Resource;
use super::settings::{Job, Labels};

/// Everything about a metric but its data.
#[derive(Debug, Default)]
pub(super) struct Metric {
    /// Which it is.
    pub(super) id: Id,
    /// The measurement of its points.
    pub(super) measurement: Arc<str>,
    /// A family and a field for each statistic of the job.
    pub(super) names: Arc<[Names]>,
    /// Prometheus's labels, in the order of their names.
    pub(super) labels: Vec<(String, String)>,
    /// The tags of its points, in order.
    pub(super) tags: Vec<(String, String)>,
}

/// What a statistic of a metric is called. All metrics of one name share it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The family.
    pub(super) family: String,
    /// What the family's help text says.
    pub(super) help: String,
    /// The field of the point.
    pub(super) field: String,
}

impl Names {
    /// A name for each statistic of the job.
    pub(super) fn of(job: &Job, id: &Id) -> Arc<[Names]> {
        let of_statistic = |statistic: &String| Names {
            family: job.labels.naming.family(&job.namespace, &id.name, statistic, &id.dimensions),
            help: format!("{} of {} in CloudWatch's namespace {}.", statistic, id.name, job.namespace),
            field: names::field(&id.name, statistic),
        };
        job.statistics.iter().map(of_statistic).collect()
    }
}

impl Metric {
    /// The metric `id` of `job`, whose resource is `resource`.
    pub(super) fn new(job: &Job, place: &Place, id: Id, names: Arc<[Names]>, resource: Option<&Resource>) -> Metric {
        let account = id.owner.as_ref().unwrap_or(&place.account);
        let place = Place { account: account.clone(), region: place.region.clone() };
        Metric {
            labels: labels(job, &place, &id, resource),
            tags: tags(job, &place, &id, resource),
            measurement: job.measurement.clone(),
            names,
            id,
        }
    }
}

fn labels(job: &Job, place: &Place, id: &Id, resource: Option<&Resource>) -> Vec<(String, String)> {
    let mut labels = match job.labels.naming {
        Naming::Yace => yace_labels(job, place, id, resource),
        Naming::CloudwatchExporter => {
            let of_dimension =
                |(name, value): &(String, String)| (names::cloudwatch_exporter_label(name), value.clone());
            let mut labels: Vec<(String, String)> = id.dimensions.iter().map(of_dimension).collect();
            labels.push(("job".to_owned(), names::cloudwatch_exporter_job(&job.namespace)));
            labels.push(("instance".to_owned(), String::new()));
            labels
        }
    };
    labels.sort();
    labels.dedup_by(|a, b| a.0 == b.0);
    labels
}

fn yace_labels(job: &Job, place: &Place, id: &Id, resource: Option<&Resource>) -> Vec<(String, String)> {
    let name = match resource {
        Some(resource) => resource.arn.clone(),
        None if job.has_resources() => "global".to_owned(),
        None => job.name.clone(),
    };
    let mut labels = vec![("name".to_owned(), name)];
    labels.extend(context(&job.labels, place));
    let label = |prefix: &str, name: &str| names::yace_label(prefix, name, job.labels.snake_case);
    let dimensions = id.dimensions.iter().filter_map(|(name, value)| Some((label("dimension_", name)?, value.clone())));
    labels.extend(dimensions);
    let tags = job.labels.tags.iter().filter_map(|tag| {
        let value = resource.and_then(|resource| resource.tag(tag)).unwrap_or_default();
        Some((label("tag_", tag)?, value.to_owned()))
    });
    labels.extend(tags);
    labels
}

fn context(labels: &Labels, place: &Place) -> Vec<(String, String)> {
    let custom = labels
        .custom
        .iter()
        .filter_map(|(key, value)| Some((names::yace_label("custom_tag_", key, labels.snake_case)?, value.clone())));
    let own = [("region".to_owned(), place.region.clone()), ("account_id".to_owned(), place.account.clone())];
    own.into_iter().chain(custom).collect()
}

/// The labels of a resource in the family that tells of it.
pub(super) fn info_labels(job: &Job, place: &Place, resource: &Resource) -> Vec<(String, String)> {
    let mut labels = match job.labels.naming {
        Naming::Yace => {
            let mut labels = context(&job.labels, place);
            labels.push(("name".to_owned(), resource.arn.clone()));
            labels
        }
        Naming::CloudwatchExporter => vec![
            ("job".to_owned(), names::cloudwatch_exporter_job(&job.namespace)),
            ("instance".to_owned(), String::new()),
            ("arn".to_owned(), resource.arn.clone()),
        ],
    };
    let tag =
        |(key, value): &(String, String)| Some((names::yace_label("tag_", key, job.labels.snake_case)?, value.clone()));
    labels.extend(resource.tags.iter().filter_map(tag));
    labels.sort();
    labels.dedup_by(|a, b| a.0 == b.0);
    labels
}

/// Telegraf's tags: the region and the dimensions, and the account where there are several.
fn tags(job: &Job, place: &Place, id: &Id, resource: Option<&Resource>) -> Vec<(String, String)> {
    let of_dimension = |(name, value): &(String, String)| (names::telegraf_name(name), value.clone());
    let mut tags: Vec<(String, String)> = id.dimensions.iter().map(of_dimension).collect();
    tags.push(("region".to_owned(), place.region.clone()));
    if job.linked_accounts || job.accounts.len() > 1 {
        tags.push(("account".to_owned(), place.account.clone()));
    }
    let of_tag = |tag: &String| Some((format!("tag_{tag}"), resource?.tag(tag)?.to_owned()));
    tags.extend(job.labels.tags.iter().filter_map(of_tag));
    tags.extend(job.labels.custom.iter().map(|(key, value)| (key.clone(), value.clone())));
    tags.sort();
    tags.dedup_by(|a, b| a.0 == b.0);
    tags
}
