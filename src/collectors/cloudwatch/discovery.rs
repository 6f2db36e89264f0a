//! Which metrics there are, and of which resources.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{DimensionFilter, Metric as Listed, RecentlyActive};
use aws_sdk_resourcegroupstagging::types::{ResourceTagMapping, TagFilter};

use super::budget::Cost;
use super::id::Id;
use super::resources::{Resource, Resources, service_of};
use super::settings::{Discovered, Job};
use super::spending::Spending;
use crate::aws::{Clients, Operation, Problem};
use crate::config::Globs;

/// Resources in a page of the tagging API; it gives no more.
const RESOURCES_PER_PAGE: i32 = 100;

/// Lists the metrics that `wanted` chooses; no more than one beyond its limit.
///
/// # Errors
/// Why a page of the list did not come; what came before it is of no use.
pub(super) async fn list(
    job: &Job,
    wanted: &Discovered,
    clients: &Clients,
    spending: &Spending,
) -> Result<Vec<Id>, Problem> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        spending.spend(Cost::of_list())?;
        let request = clients.cloudwatch.list_metrics().namespace(&job.namespace).set_next_token(token.clone());
        let request = request
            .set_metric_name(one_name(&wanted.metrics))
            .set_dimensions(filters(&wanted.dimensions))
            .set_recently_active(wanted.recently_active.then_some(RecentlyActive::Pt3H))
            .set_include_linked_accounts(job.linked_accounts.then_some(true));
        let page = request.send().await;
        let page = page.map_err(|error| Problem::of(Operation::ListMetrics, &clients.region, &error))?;
        let mut owners = page.owning_accounts.unwrap_or_default().into_iter();
        for metric in page.metrics.unwrap_or_default() {
            let owner = owners.next();
            found.extend(id_of(metric, owner).filter(|id| wanted.wants(id)));
        }
        if found.len() > wanted.limit {
            // Some servers list a metric several times.
            found.sort();
            found.dedup();
            found.truncate(wanted.limit + 1);
        }
        match page.next_token.filter(|next| !next.is_empty() && Some(next) != token.as_ref()) {
            Some(next) if found.len() <= wanted.limit => token = Some(next),
            _ => break,
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn one_name(names: &Globs) -> Option<String> {
    match names.exact()? {
        [name] => Some(name.clone()),
        _ => None,
    }
}

fn filters(dimensions: &BTreeMap<String, Globs>) -> Option<Vec<DimensionFilter>> {
    let filter =
        |(name, values): (&String, &Globs)| DimensionFilter::builder().name(name).set_value(one_name(values)).build();
    let filters: Vec<DimensionFilter> = dimensions.iter().map(filter).collect();
    (!filters.is_empty()).then_some(filters)
}

fn id_of(metric: Listed, owner: Option<String>) -> Option<Id> {
    let dimensions = metric.dimensions.unwrap_or_default().into_iter();
    let mut dimensions: Vec<(String, String)> =
        dimensions.filter_map(|dimension| Some((dimension.name?, dimension.value?))).collect();
    dimensions.sort();
    Some(Id { name: metric.metric_name?, dimensions, owner })
}

impl Discovered {
    fn wants(&self, id: &Id) -> bool {
        let is_of_dimensions = || {
            self.dimensions.len() == id.dimensions.len()
                && id
                    .dimensions
                    .iter()
                    .all(|(name, value)| self.dimensions.get(name).is_some_and(|values| values.matches(value)))
        };
        self.metrics.matches(&id.name) && (self.dimensions.is_empty() || is_of_dimensions())
    }
}

/// The resources of the job's namespace whose tags are as `wanted` has them.
///
/// # Errors
/// Why a page of them did not come.
pub(super) async fn resources(
    job: &Job,
    wanted: &Discovered,
    clients: &Clients,
    spending: &Spending,
) -> Result<Resources, Problem> {
    let Some(service) = service_of(&job.namespace) else { return Ok(Resources::default()) };
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        spending.spend(Cost::free())?;
        let types = service.resource_types.iter().map(|name| (*name).to_owned()).collect();
        let request = clients.tagging.get_resources().set_resource_type_filters(Some(types));
        let request = request
            .set_tag_filters(tag_filters(&wanted.tags))
            .resources_per_page(RESOURCES_PER_PAGE)
            .set_pagination_token(Some(token.clone()).filter(|token| !token.is_empty()));
        let page = request.send().await;
        let page = page.map_err(|error| Problem::of(Operation::GetResources, &clients.region, &error))?;
        let resources = page.resource_tag_mapping_list.unwrap_or_default().into_iter().filter_map(resource_of);
        found.extend(resources.filter(|resource| has_tags(resource, &wanted.tags)));
        match page.pagination_token.filter(|next| !next.is_empty() && *next != token) {
            Some(next) => token = next,
            None => break,
        }
    }
    Ok(Resources::new(service, found))
}

fn tag_filters(tags: &BTreeMap<String, Globs>) -> Option<Vec<TagFilter>> {
    let filter = |(key, values): (&String, &Globs)| {
        TagFilter::builder().key(key).set_values(values.exact().map(<[String]>::to_vec)).build()
    };
    let filters: Vec<TagFilter> = tags.iter().map(filter).collect();
    (!filters.is_empty()).then_some(filters)
}

fn resource_of(mapping: ResourceTagMapping) -> Option<Resource> {
    let tags = mapping.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    Some(Resource { arn: mapping.resource_arn?, tags })
}

fn has_tags(resource: &Resource, wanted: &BTreeMap<String, Globs>) -> bool {
    wanted.iter().all(|(key, values)| resource.tag(key).is_some_and(|value| values.matches(value)))
}
