//! Discovers metrics, and the resources they belong to.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{DimensionFilter, Metric as Listed, RecentlyActive};
use aws_sdk_resourcegroupstagging::types::ResourceTagMapping;

use super::budget::Cost;
use super::budget::Spending;
use super::id::Id;
use super::resources::{Resource, Resources, Service, service_of};
use super::services;
use super::settings::{Discovered, Job};
use crate::aws::{Clients, Operation, Problem};
use crate::config::Globs;

/// Page size of the tagging API; its maximum.
const RESOURCES_PER_PAGE: i32 = 100;

/// Lists the metrics that `wanted` selects, up to one more than its limit. Unless `is_recent`, also those without recent
/// data.
///
/// # Errors
/// Why a page of the list is missing. The pages before it are discarded.
pub(super) async fn list(
    job: &Job,
    wanted: &Discovered,
    clients: &Clients,
    spending: &Spending,
    is_recent: bool,
) -> Result<Vec<Id>, Problem> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        spending.spend(Cost::of_list())?;
        let request = clients.cloudwatch.list_metrics().namespace(&job.namespace).set_next_token(token.clone());
        let request = request
            .set_metric_name(one_name(&wanted.metrics))
            .set_dimensions(filters(&wanted.dimensions))
            .set_recently_active((wanted.recently_active && is_recent).then_some(RecentlyActive::Pt3H))
            .set_include_linked_accounts(job.linked_accounts.then_some(true));
        let page = request.send().await;
        let page = page.map_err(|error| Problem::of(Operation::ListMetrics, &clients.region, &error))?;
        let mut owners = page.owning_accounts.unwrap_or_default().into_iter();
        for metric in page.metrics.unwrap_or_default() {
            let owner = owners.next();
            found.extend(id_of(metric, owner).filter(|id| wanted.wants(id)));
        }
        if found.len() > wanted.limit {
            // Some servers list a metric more than once.
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
    // Many of these are retained.
    dimensions.shrink_to_fit();
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

/// The resources in the namespace of the job whose tags match `wanted`.
///
/// # Errors
/// Why a page is missing.
pub(super) async fn resources(
    job: &Job,
    wanted: &Discovered,
    clients: &Clients,
    spending: &Spending,
) -> Result<Resources, Problem> {
    let Some(service) = service_of(&job.namespace) else { return Ok(Resources::default()) };
    let mut found = match service.is_tagged() {
        true => tagged(service, wanted, clients, spending).await?,
        false => Vec::new(),
    };
    if let Some(api) = services::service_of(&job.namespace).filter(|_| wanted.service_apis) {
        found = api.complete(found, clients, spending).await?;
    }
    found.retain(|resource| wanted.tags.are_of(resource));
    Ok(Resources::new(service, found))
}

/// The resources of the tagging API. It applies some of the conditions on tags.
async fn tagged(
    service: &Service,
    wanted: &Discovered,
    clients: &Clients,
    spending: &Spending,
) -> Result<Vec<Resource>, Problem> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        spending.spend(Cost::free())?;
        let types = service.resource_types.iter().map(|name| (*name).to_owned()).collect();
        let request = clients.tagging.get_resources().set_resource_type_filters(Some(types));
        let request = request
            .set_tag_filters(wanted.tags.filters())
            .resources_per_page(RESOURCES_PER_PAGE)
            .set_pagination_token(Some(token.clone()).filter(|token| !token.is_empty()));
        let page = request.send().await;
        let page = page.map_err(|error| Problem::of(Operation::GetResources, &clients.region, &error))?;
        found.extend(page.resource_tag_mapping_list.unwrap_or_default().into_iter().filter_map(resource_of));
        match page.pagination_token.filter(|next| !next.is_empty() && *next != token) {
            Some(next) => token = next,
            None => return Ok(found),
        }
    }
}

fn resource_of(mapping: ResourceTagMapping) -> Option<Resource> {
    let tags = mapping.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    Some(Resource { arn: mapping.resource_arn?, tags, ..Resource::default() })
}
