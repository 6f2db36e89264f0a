//! A metric to fetch, with its names in each vocabulary.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::id::{Id, Target};
use super::names::{self, Naming};
use super::resources::Resource;
use super::settings::{Job, Labels};
use super::terms::Terms;
use super::unique_names::{UniqueNames, free_name};

/// A metric without its data.
#[derive(Debug, Default)]
pub(super) struct Metric {
    /// Its identifier.
    pub(super) id: Id,
    /// How it is fetched.
    pub(super) terms: Arc<Terms>,
    /// The measurement of its points.
    pub(super) measurement: Arc<str>,
    /// The family and the field of each statistic.
    pub(super) names: Arc<[Names]>,
    /// Prometheus labels, sorted by name.
    pub(super) labels: Vec<(String, String)>,
    /// The tags of its points, sorted.
    pub(super) tags: Vec<(String, String)>,
}

/// The names of one statistic.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The family.
    pub(super) family: String,
    /// The help text of the family.
    pub(super) help: String,
    /// The field of the point.
    pub(super) field: String,
}

/// What all metrics with the same name share.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// How they are fetched.
    pub(super) terms: Arc<Terms>,
    /// The names of each statistic.
    pub(super) names: Arc<[Names]>,
    /// The names of dimensions, which all metrics of the job share.
    pub(super) dimensions: Arc<DimensionNames>,
}

impl Named {
    /// What the metrics with the name of `id` share.
    fn of(job: &Job, id: &Id, dimensions: Arc<DimensionNames>) -> Named {
        let terms = job.terms_of(&id.name).clone();
        Named { names: Names::of(job, &terms, id), terms, dimensions }
    }
}

/// The label and the tag of each dimension of a job.
///
/// They are chosen for all metrics together: two metrics whose dimensions fold to one name would be one series.
#[derive(Debug, Default)]
pub(super) struct DimensionNames {
    labels: HashMap<String, String>,
    tags: HashMap<String, String>,
}

impl DimensionNames {
    /// The names of all dimensions of `ids`. They are given out in the order of the dimensions, and so do not depend
    /// on the order of discovery.
    fn of(job: &Job, ids: &[Id]) -> DimensionNames {
        let all: BTreeSet<&str> = ids.iter().flat_map(|id| &id.dimensions).map(|(name, _)| name.as_str()).collect();
        let (mut labels, mut tags) = (UniqueNames::default(), UniqueNames::default());
        if job.labels.naming == Naming::CloudwatchExporter {
            labels.add("job".to_owned(), "", String::new());
            labels.add("instance".to_owned(), "", String::new());
        }
        tags.add("region".to_owned(), "", String::new());
        if job.labels.account_tag {
            tags.add("account".to_owned(), "", String::new());
        }
        if job.account_alias {
            tags.add("account_alias".to_owned(), "", String::new());
        }
        for name in all {
            let (label, prefix) = match job.labels.naming {
                Naming::Yace => (names::yace_dimension(name, job.labels.snake_case), ""),
                Naming::CloudwatchExporter => (names::cloudwatch_exporter_label(name), DIMENSION),
            };
            labels.add(label, prefix, name.to_owned());
            tags.add(names::telegraf_name(name), DIMENSION, name.to_owned());
        }
        let by_dimension = |unique: UniqueNames| unique.sorted().into_iter().map(|(name, of)| (of, name)).collect();
        DimensionNames { labels: by_dimension(labels), tags: by_dimension(tags) }
    }
}

impl Names {
    /// The names for each statistic of `terms`.
    fn of(job: &Job, terms: &Terms, id: &Id) -> Arc<[Names]> {
        let of_statistic = |statistic: &String| Names {
            family: job.labels.naming.family(&job.namespace, &id.name, statistic, &id.dimensions),
            help: format!("{} of {} in CloudWatch's namespace {}.", statistic, id.name, job.namespace),
            field: names::field(&id.name, statistic),
        };
        terms.statistics.iter().map(of_statistic).collect()
    }
}

/// What the metrics of a job share by their names.
///
/// CloudWatch tells `FooBar` from `Foobar`; the vocabularies may not. The second gets families and fields of its own.
#[derive(Debug)]
pub(super) struct MetricNames {
    dimensions: Arc<DimensionNames>,
    named: HashMap<(String, bool), Named>,
    /// The metric of each family, and of each field.
    families: HashMap<String, String>,
    fields: HashMap<String, String>,
}

impl MetricNames {
    /// Names for the metrics `ids` of `job`.
    pub(super) fn new(job: &Job, ids: &[Id]) -> MetricNames {
        MetricNames {
            dimensions: Arc::new(DimensionNames::of(job, ids)),
            named: HashMap::new(),
            families: HashMap::new(),
            fields: HashMap::new(),
        }
    }

    /// What the metrics with the name of `id` share.
    pub(super) fn of(&mut self, job: &Job, id: &Id) -> Named {
        // A DynamoDB index has other names than its table.
        let key = (id.name.clone(), id.dimensions.iter().any(|(name, _)| name == "GlobalSecondaryIndexName"));
        if let Some(named) = self.named.get(&key) {
            return named.clone();
        }
        let named = Named::of(job, id, self.dimensions.clone());
        let names = named.names.iter().map(|names| self.claim(&id.name, names)).collect();
        self.named.entry(key).or_insert(Named { names, ..named }).clone()
    }

    fn claim(&mut self, metric: &str, names: &Names) -> Names {
        let claim = |owners: &mut HashMap<String, String>, name: &str| {
            let is_of_other = |name: &str| owners.get(name).is_some_and(|owner| owner != metric);
            let name = free_name(name.to_owned(), "", is_of_other);
            owners.insert(name.clone(), metric.to_owned());
            name
        };
        Names {
            family: claim(&mut self.families, &names.family),
            field: claim(&mut self.fields, &names.field),
            help: names.help.clone(),
        }
    }
}

impl Metric {
    /// The metric `id` of `job`, which belongs to `resource`, as its name determines.
    pub(super) fn new(job: &Job, target: &Target, id: Id, named: Named, resource: Option<&Resource>) -> Metric {
        let target = match &id.owner {
            // The alias is that of the account of the request.
            Some(owner) if *owner != target.account => {
                &Target { account: owner.clone(), alias: String::new(), region: target.region.clone() }
            }
            _ => target,
        };
        let subject = Subject { job, target, id: &id, resource };
        Metric {
            labels: subject.labels(&named.dimensions.labels),
            tags: subject.tags(&named.dimensions.tags),
            terms: named.terms,
            measurement: job.measurement.clone(),
            names: named.names,
            id,
        }
    }
}

/// What the labels and the tags of a metric are made of.
struct Subject<'a> {
    job: &'a Job,
    target: &'a Target,
    id: &'a Id,
    resource: Option<&'a Resource>,
}

impl Subject<'_> {
    /// Prometheus labels. `of_dimensions`: the label of each dimension.
    fn labels(&self, of_dimensions: &HashMap<String, String>) -> Vec<(String, String)> {
        let Subject { job, target, id, resource } = *self;
        let labels = &job.labels;
        // The name or job and instance, the region and the account.
        let mut unique = UniqueNames::with_capacity(3 + id.dimensions.len() + labels.custom.len() + labels.tags.len());
        match labels.naming {
            Naming::Yace => {
                let name = match resource {
                    Some(resource) => resource.arn.clone(),
                    None if job.has_resources() => "global".to_owned(),
                    None => job.name.clone(),
                };
                unique.add("name".to_owned(), "", name);
            }
            Naming::CloudwatchExporter => {
                unique.add("job".to_owned(), "", names::cloudwatch_exporter_job(&job.namespace));
                unique.add("instance".to_owned(), "", String::new());
            }
        }
        for (name, value) in &id.dimensions {
            unique.add(of_dimensions.get(name).unwrap_or(name).clone(), DIMENSION, value.clone());
        }
        add_context(labels, target, &mut unique);
        for tag in &labels.tags {
            let value = resource.and_then(|resource| resource.tag(tag)).unwrap_or_default();
            if let Some(label) = names::yace_label(TAG, tag, labels.snake_case) {
                unique.add(label, TAG, value.to_owned());
            }
        }
        unique.sorted()
    }

    /// Telegraf's tags: region and dimensions, and the account if there are several. `of_dimensions`: the tag of each
    /// dimension.
    fn tags(&self, of_dimensions: &HashMap<String, String>) -> Vec<(String, String)> {
        let Subject { job, target, id, resource } = *self;
        let has_account = job.labels.account_tag;
        let (custom, own) = (&job.labels.custom, 1 + usize::from(has_account));
        let mut unique = UniqueNames::with_capacity(own + id.dimensions.len() + custom.len() + job.labels.tags.len());
        unique.add("region".to_owned(), "", target.region.clone());
        if has_account {
            unique.add("account".to_owned(), "", target.account.clone());
        }
        if !target.alias.is_empty() {
            unique.add("account_alias".to_owned(), "aws_", target.alias.clone());
        }
        for (name, value) in &id.dimensions {
            unique.add(of_dimensions.get(name).unwrap_or(name).clone(), DIMENSION, value.clone());
        }
        for tag in &job.labels.tags {
            if let Some(value) = resource.and_then(|resource| resource.tag(tag)) {
                unique.add(format!("{TAG}{tag}"), TAG, value.to_owned());
            }
        }
        for (key, value) in custom {
            unique.add(key.clone(), CUSTOM, value.clone());
        }
        unique.sorted()
    }
}

/// What dimensions are called whose own name is taken.
const DIMENSION: &str = "dimension_";
const TAG: &str = "tag_";
const CUSTOM: &str = "custom_tag_";

/// Adds whose metrics they are, and the labels of the job.
fn add_context(labels: &Labels, target: &Target, unique: &mut UniqueNames) {
    if labels.context.region {
        unique.add("region".to_owned(), "aws_", target.region.clone());
    }
    if labels.context.account {
        unique.add("account_id".to_owned(), "aws_", target.account.clone());
    }
    if !target.alias.is_empty() {
        unique.add("account_alias".to_owned(), "aws_", target.alias.clone());
    }
    for (key, value) in &labels.custom {
        if let Some(label) = names::yace_label(CUSTOM, key, labels.snake_case) {
            unique.add(label, CUSTOM, value.clone());
        }
    }
}

/// The labels of a resource in its info family.
pub(super) fn info_labels(job: &Job, target: &Target, resource: &Resource) -> Vec<(String, String)> {
    let (labels, mut unique) = (&job.labels, UniqueNames::default());
    match labels.naming {
        Naming::Yace => unique.add("name".to_owned(), "", resource.arn.clone()),
        Naming::CloudwatchExporter => {
            unique.add("job".to_owned(), "", names::cloudwatch_exporter_job(&job.namespace));
            unique.add("instance".to_owned(), "", String::new());
            unique.add("arn".to_owned(), "", resource.arn.clone());
            for (name, value) in &resource.dimensions {
                unique.add(names::cloudwatch_exporter_label(name), DIMENSION, value.clone());
            }
        }
    }
    add_context(labels, target, &mut unique);
    for (key, value) in &resource.tags {
        if let Some(label) = names::yace_label(TAG, key, labels.snake_case) {
            unique.add(label, TAG, value.clone());
        }
    }
    unique.sorted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Section};

    fn job(settings: &str) -> Job {
        let text = format!("[[collectors.cloudwatch]]\nnamespace = 'AWS/Route53'\n{settings}");
        let document = Document::parse("t.toml", &text, &|_| None).unwrap();
        let jobs = Section::check(&document, |root| Job::all(&mut root.table("collectors")));
        jobs.unwrap_or_else(|problems| panic!("{problems}")).remove(0)
    }

    fn id(dimensions: &[(&str, &str)]) -> Id {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut dimensions: Vec<_> = dimensions.iter().map(pair).collect();
        dimensions.sort();
        Id { name: "ConnectionTime".to_owned(), dimensions, owner: None }
    }

    fn metric(job: &Job, dimensions: &[(&str, &str)]) -> Metric {
        metrics(job, &[id(dimensions)]).remove(0)
    }

    fn metrics(job: &Job, ids: &[Id]) -> Vec<Metric> {
        let target = Target { account: "111122223333".to_owned(), region: "us-east-1".to_owned(), ..Target::default() };
        let tags = ["Name", "name", "Region", "stage"].map(|key| (key.to_owned(), format!("tag {key}")));
        let resource = Resource { arn: "arn:x".to_owned(), tags: tags.into(), ..Resource::default() };
        let mut names = MetricNames::new(job, ids);
        let of = |id: &Id| Metric::new(job, &target, id.clone(), names.of(job, id), Some(&resource));
        ids.iter().map(of).collect()
    }

    /// Names that meet another name once they are folded.
    const NAMES: [&str; 27] = [
        "Region",
        "region",
        "REGION",
        "Account",
        "account",
        "AccountId",
        "account_id",
        "Job",
        "job",
        "Instance",
        "instance",
        "Name",
        "name",
        "Stage",
        "stage",
        "tag_Name",
        "tag_name",
        "TagName",
        "custom_tag_stage",
        "dimension_region",
        "Dimension Region",
        "dimension region",
        "a b",
        "a-b",
        "a.b",
        "größe",
        "größe",
    ];

    #[test]
    fn no_pair_of_names_merges_in_any_vocabulary() {
        let settings = [
            "",
            "snake_case_labels = true\n",
            "naming = 'cloudwatch_exporter'\n",
            "naming = 'cloudwatch_exporter'\nregions = ['us-east-1', 'eu-west-1']\nlinked_accounts = true\n",
        ];
        for settings in settings {
            let job = job(&format!(
                "{settings}tags_on_metrics = ['Name', 'name', 'Region', 'stage']\n\
                 custom_tags = {{ region = 'custom region', stage = 'custom stage', Stage = 'custom Stage' }}\n"
            ));
            for (index, one) in NAMES.iter().enumerate() {
                for other in NAMES[index + 1..].iter().filter(|other| *other != one) {
                    let metric = metric(&job, &[(one, "the one"), (other, "the other")]);
                    for pairs in [&metric.labels, &metric.tags] {
                        let names: BTreeSet<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
                        assert_eq!(names.len(), pairs.len(), "{one} and {other}: {pairs:?}");
                        assert!(pairs.is_sorted());
                        let expected = ["the one", "the other", "us-east-1", "tag Name", "tag Region", "custom region"];
                        let is_there = |value: &&str| pairs.iter().any(|(_, own)| own == value);
                        let is_shown = |value: &&str| *value != "us-east-1" || job.labels.context.region;
                        let missing: Vec<_> =
                            expected.iter().filter(|value| is_shown(value) && !is_there(value)).collect();
                        assert!(missing.is_empty(), "{one} and {other}: {missing:?} of {pairs:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_pair_of_metrics_merges_in_any_vocabulary() {
        let settings =
            ["", "snake_case_labels = true\n", "naming = 'cloudwatch_exporter'\n", "linked_accounts = true\n"];
        for settings in settings {
            let job = job(settings);
            let alone = NAMES.map(|name| id(&[(name, "a")]));
            let mut backwards = alone.to_vec();
            backwards.reverse();
            let metrics = metrics(&job, &alone);
            for (index, one) in metrics.iter().enumerate() {
                for other in metrics[index + 1..].iter().filter(|other| other.id != one.id) {
                    assert_ne!(one.labels, other.labels, "{settings}{:?} and {:?}", one.id, other.id);
                    assert_ne!(one.tags, other.tags, "{settings}{:?} and {:?}", one.id, other.id);
                }
            }
            let again = super::tests::metrics(&job, &backwards);
            for (one, other) in metrics.iter().zip(again.iter().rev()) {
                assert_eq!((&one.labels, &one.tags), (&other.labels, &other.tags), "whatever the order of discovery");
            }
            for (index, one) in alone.iter().enumerate() {
                for other in &alone[index + 1..] {
                    let pair = super::tests::metrics(&job, &[one.clone(), other.clone()]);
                    let is_same = one == other;
                    assert_eq!(pair[0].labels == pair[1].labels, is_same, "{settings}{one:?} and {other:?}");
                    assert_eq!(pair[0].tags == pair[1].tags, is_same, "{settings}{one:?} and {other:?}");
                }
            }
        }
    }

    #[test]
    fn the_region_of_a_health_check_is_not_that_of_its_metric() {
        let dimensions = &[("HealthCheckId", "hc-1"), ("Region", "eu-west-1")];
        let of = |pairs: &[(String, String)], name: &str| {
            pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let yace = metric(&job(""), dimensions);
        assert_eq!(
            (of(&yace.tags, "region"), of(&yace.tags, "dimension_region")),
            ("us-east-1".into(), "eu-west-1".into())
        );
        assert_eq!(
            (of(&yace.labels, "region"), of(&yace.labels, "dimension_Region")),
            ("us-east-1".into(), "eu-west-1".into())
        );
        let other = metric(&job("naming = 'cloudwatch_exporter'\nregions = ['us-east-1', 'eu-west-1']\n"), dimensions);
        assert_eq!(
            (of(&other.labels, "region"), of(&other.labels, "aws_region")),
            ("eu-west-1".into(), "us-east-1".into())
        );
    }

    #[test]
    fn metrics_that_fold_to_one_name_have_families_of_their_own() {
        let job = job("");
        let mut names = MetricNames::new(&job, &[]);
        let mut of = |metric: &str, dimension: &str| {
            let dimensions = vec![(dimension.to_owned(), "x".to_owned())];
            let named = names.of(&job, &Id { name: metric.to_owned(), dimensions, owner: None });
            (named.names[0].family.clone(), named.names[0].field.clone())
        };
        let pair = |family: &str, field: &str| (format!("aws_route53_{family}"), field.to_owned());
        assert_eq!(of("Foo.Bar", "Zone"), pair("foo_bar_average", "foo._bar_average"));
        assert_eq!(of("Foo-Bar", "Zone"), pair("foo_bar_average_2", "foo-_bar_average"));
        assert_eq!(of("Foo.Bar", "GlobalSecondaryIndexName"), pair("foo_bar_average", "foo._bar_average"));
        assert_eq!(of("FOO.Bar", "Zone"), pair("foo_bar_average_3", "foo._bar_average_2"));
    }
}
