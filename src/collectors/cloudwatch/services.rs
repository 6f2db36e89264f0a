//! Resources by the APIs of their services, where the tagging API does not list them, or not with the values of their
//! metrics' dimensions.

use std::collections::HashMap;

use serde_json::Value;

use super::budget::{Cost, Spending};
use super::resources::Resource;
use crate::aws::{Api, Clients, Kind, Operation, Problem, Protocol};

/// Maximum pages of a list. The longest lists that AWS's quotas allow by default have about ten.
const MAX_PAGES: usize = 100;

/// The fields of tags in the lists.
const TAGS: [&str; 3] = ["Tags", "tagSet", "tags"];

/// A namespace whose resources need their service's API.
pub(super) struct Service {
    namespace: &'static str,
    lists: &'static [List],
    merge: fn(Listed<'_>, Vec<Resource>) -> Vec<Resource>,
}

/// A list of a service.
struct List {
    api: Api,
    operation: Operation,
    /// The parameter for the size of a page, and its maximum.
    size: (&'static str, u32),
    /// The parameter for the token of the next page.
    token: &'static str,
    /// Where a response has the resources, as a JSON pointer.
    rows: &'static str,
    /// Where a response has the token of the next page.
    next: &'static str,
}

/// What the lists of a service contain, and in which region.
struct Listed<'a> {
    lists: Vec<Vec<Value>>,
    region: &'a str,
}

const EC2: Api = Api { service: "ec2", protocol: Protocol::Query("2016-11-15"), region: None };
const DMS: Api = Api { service: "dms", protocol: Protocol::Json("AmazonDMSv20160101"), region: None };

/// From AWS's API references, and its documentation of each service's metrics.
const SERVICES: &[Service] = &[
    Service {
        namespace: "AWS/ApiGateway",
        lists: &[List {
            api: Api { service: "apigateway", protocol: Protocol::Rest("/restapis"), region: None },
            operation: Operation::GetRestApis,
            size: ("limit", 500),
            token: "position",
            rows: "/item",
            next: "/position",
        }],
        merge: rest_apis,
    },
    Service {
        namespace: "AWS/AutoScaling",
        lists: &[List {
            api: Api { service: "autoscaling", protocol: Protocol::Query("2011-01-01"), region: None },
            operation: Operation::DescribeAutoScalingGroups,
            size: ("MaxRecords", 100),
            token: "NextToken",
            rows: "/DescribeAutoScalingGroupsResult/AutoScalingGroups",
            next: "/DescribeAutoScalingGroupsResult/NextToken",
        }],
        merge: auto_scaling_groups,
    },
    Service {
        namespace: "AWS/DDoSProtection",
        lists: &[List {
            api: Api { service: "shield", protocol: Protocol::Json("AWSShield_20160616"), region: Some("us-east-1") },
            operation: Operation::ListProtections,
            size: ("MaxResults", 1000),
            token: "NextToken",
            rows: "/Protections",
            next: "/NextToken",
        }],
        merge: protected_resources,
    },
    Service {
        namespace: "AWS/DMS",
        lists: &[
            List {
                api: DMS,
                operation: Operation::DescribeReplicationInstances,
                size: ("MaxRecords", 100),
                token: "Marker",
                rows: "/ReplicationInstances",
                next: "/Marker",
            },
            List {
                api: DMS,
                operation: Operation::DescribeReplicationTasks,
                size: ("MaxRecords", 100),
                token: "Marker",
                rows: "/ReplicationTasks",
                next: "/Marker",
            },
        ],
        merge: replication_instances,
    },
    Service {
        namespace: "AWS/EC2Spot",
        lists: &[List {
            api: EC2,
            operation: Operation::DescribeSpotFleetRequests,
            size: ("MaxResults", 1000),
            token: "NextToken",
            rows: "/spotFleetRequestConfigSet",
            next: "/nextToken",
        }],
        merge: spot_fleets,
    },
    Service {
        namespace: "AWS/Prometheus",
        lists: &[List {
            api: Api { service: "aps", protocol: Protocol::Rest("/workspaces"), region: None },
            operation: Operation::ListWorkspaces,
            size: ("maxResults", 1000),
            token: "nextToken",
            rows: "/workspaces",
            next: "/nextToken",
        }],
        merge: workspaces,
    },
    Service {
        namespace: "AWS/StorageGateway",
        lists: &[List {
            api: Api { service: "storagegateway", protocol: Protocol::Json("StorageGateway_20130630"), region: None },
            operation: Operation::ListGateways,
            size: ("Limit", 100),
            token: "Marker",
            rows: "/Gateways",
            next: "/Marker",
        }],
        merge: storage_gateways,
    },
    Service {
        namespace: "AWS/TransitGateway",
        lists: &[List {
            api: EC2,
            operation: Operation::DescribeTransitGatewayAttachments,
            size: ("MaxResults", 1000),
            token: "NextToken",
            rows: "/transitGatewayAttachments",
            next: "/nextToken",
        }],
        merge: transit_gateway_attachments,
    },
];

/// The service of a namespace, if its own API lists its resources.
pub(super) fn service_of(namespace: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.namespace == namespace)
}

/// The namespaces of all services.
pub(super) fn namespaces() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|service| service.namespace)
}

impl Service {
    /// Completes `tagged`, the resources of the tagging API.
    ///
    /// # Errors
    /// Why a page of a list is missing.
    pub(super) async fn complete(
        &self,
        tagged: Vec<Resource>,
        clients: &Clients,
        spending: &Spending,
    ) -> Result<Vec<Resource>, Problem> {
        let mut lists = Vec::with_capacity(self.lists.len());
        for list in self.lists {
            lists.push(list.all(clients, spending).await?);
        }
        Ok((self.merge)(Listed { lists, region: &clients.region }, tagged))
    }
}

impl List {
    async fn all(&self, clients: &Clients, spending: &Spending) -> Result<Vec<Value>, Problem> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            spending.spend(Cost::free())?;
            let mut parameters = vec![(self.size.0, self.size.1.into())];
            parameters.extend(token.clone().map(|token| (self.token, token.into())));
            let page = clients.signed.call(&self.api, self.operation, &parameters).await?;
            let (rows, next) = self.page(page);
            found.extend(rows);
            match next.filter(|next| Some(next) != token.as_ref()) {
                Some(next) => token = Some(next),
                None => return Ok(found),
            }
        }
        let message = format!("{} in {}: more than {MAX_PAGES} pages", self.operation.name(), clients.region);
        Err(Problem { kind: Kind::Unavailable, message })
    }

    /// The resources of a page, and the token of the next one.
    fn page(&self, mut page: Value) -> (Vec<Value>, Option<String>) {
        let next = page.pointer(self.next).and_then(Value::as_str).filter(|next| !next.is_empty()).map(str::to_owned);
        match page.pointer_mut(self.rows).map(Value::take) {
            Some(Value::Array(mut rows)) => {
                rows.iter_mut().for_each(shrink);
                (rows, next)
            }
            _ => (Vec::new(), next),
        }
    }
}

/// Drops all but text and tags. The instances of a large group would occupy many times as much.
fn shrink(row: &mut Value) {
    if let Value::Object(fields) = row {
        fields.retain(|name, value| value.is_string() || TAGS.contains(&name.as_str()));
    }
}

/// REST APIs have their id in their ARN, and their name in their metrics.
fn rest_apis(listed: Listed<'_>, mut tagged: Vec<Resource>) -> Vec<Resource> {
    const COLLECTION: &str = "/restapis/";
    let names: HashMap<&str, &str> = listed.first().filter_map(|api| text(api, "id").zip(text(api, "name"))).collect();
    for resource in &mut tagged {
        let Some((start, path)) = resource.arn.split_once(COLLECTION) else { continue };
        let (id, below) = path.split_at(path.find('/').unwrap_or(path.len()));
        let Some(name) = names.get(id) else { continue };
        let stage = below.strip_prefix("/stages/").filter(|stage| !stage.contains('/'));
        if below.is_empty() || stage.is_some() {
            resource.dimensions = dimensions([("ApiName", Some(*name)), ("Stage", stage)]);
        }
        resource.arn = format!("{start}{COLLECTION}{name}{below}");
    }
    tagged
}

/// The metrics of replication instances and tasks have the identifier of the instance, and their ARNs do not.
fn replication_instances(listed: Listed<'_>, mut tagged: Vec<Resource>) -> Vec<Resource> {
    const INSTANCE: &str = "ReplicationInstanceArn";
    let [instances, tasks] = listed.lists.as_slice() else { return tagged };
    let instance = |row| text(row, INSTANCE).zip(text(row, "ReplicationInstanceIdentifier"));
    let mut identifiers: HashMap<&str, &str> = instances.iter().filter_map(instance).collect();
    for task in tasks {
        let identifier = text(task, INSTANCE).and_then(|arn| identifiers.get(arn).copied());
        identifiers.extend(text(task, "ReplicationTaskArn").zip(identifier));
    }
    for resource in &mut tagged {
        let Some(identifier) = identifiers.get(resource.arn.as_str()) else { continue };
        let task = resource.arn.split_once(":task:").map(|(_, task)| task);
        resource.dimensions =
            dimensions([("ReplicationInstanceIdentifier", Some(*identifier)), ("ReplicationTaskIdentifier", task)]);
        resource.arn = format!("{}/{identifier}", resource.arn);
    }
    tagged
}

fn auto_scaling_groups(listed: Listed<'_>, tagged: Vec<Resource>) -> Vec<Resource> {
    listed.merged(tagged, |group| {
        let arn = text(group, "AutoScalingGroupARN")?;
        Some((arn, row(arn.to_owned(), group, [("AutoScalingGroupName", text(group, "AutoScalingGroupName"))])))
    })
}

fn spot_fleets(listed: Listed<'_>, tagged: Vec<Resource>) -> Vec<Resource> {
    listed.merged(tagged, |fleet| {
        let id = text(fleet, "spotFleetRequestId")?;
        Some((id, row(id.to_owned(), fleet, [("FleetRequestId", Some(id))])))
    })
}

/// No metric has a dimension that identifies a workspace.
fn workspaces(listed: Listed<'_>, tagged: Vec<Resource>) -> Vec<Resource> {
    listed.merged(tagged, |workspace| {
        let arn = text(workspace, "arn")?;
        Some((arn, row(arn.to_owned(), workspace, [])))
    })
}

fn storage_gateways(listed: Listed<'_>, tagged: Vec<Resource>) -> Vec<Resource> {
    listed.merged(tagged, |gateway| {
        let (id, name) = text(gateway, "GatewayId").zip(text(gateway, "GatewayName"))?;
        Some((id, row(format!("{id}/{name}"), gateway, [("GatewayId", Some(id)), ("GatewayName", Some(name))])))
    })
}

fn transit_gateway_attachments(listed: Listed<'_>, tagged: Vec<Resource>) -> Vec<Resource> {
    listed.merged(tagged, |attachment| {
        let id = text(attachment, "transitGatewayAttachmentId")?;
        let gateway = text(attachment, "transitGatewayId")?;
        let of_metrics = [("TransitGateway", Some(gateway)), ("TransitGatewayAttachment", Some(id))];
        Some((id, row(format!("{gateway}/{id}"), attachment, of_metrics)))
    })
}

/// Metrics name the protected resource. Those of global services are in us-east-1.
fn protected_resources(listed: Listed<'_>, tagged: Vec<Resource>) -> Vec<Resource> {
    let region = listed.region;
    listed.merged(tagged, |protection| {
        let (id, arn) = text(protection, "ProtectionArn").zip(text(protection, "ResourceArn"))?;
        let own = arn.split(':').nth(3)?;
        if own != region && !(own.is_empty() && region == "us-east-1") {
            return None;
        }
        let mut resource = row(arn.to_owned(), protection, [("ResourceArn", Some(arn))]);
        resource.tags.push(("ProtectionArn".to_owned(), id.to_owned()));
        Some((id, resource))
    })
}

impl Listed<'_> {
    fn first(&self) -> impl Iterator<Item = &Value> {
        self.lists.first().into_iter().flatten()
    }

    /// The resources of the first list, which replace those of `tagged` with their id, and add its tags to their own.
    /// `of` returns the ARN or the id in the tagging API, and the resource.
    fn merged<'a>(
        &'a self,
        tagged: Vec<Resource>,
        of: impl Fn(&'a Value) -> Option<(&'a str, Resource)>,
    ) -> Vec<Resource> {
        let id = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
        let mut tagged: HashMap<String, Resource> =
            tagged.into_iter().map(|resource| (id(&resource.arn), resource)).collect();
        let mut all = Vec::new();
        for (arn, mut resource) in self.first().filter_map(of) {
            for (key, value) in tagged.remove(&id(arn)).map(|same| same.tags).unwrap_or_default() {
                if resource.tag(&key).is_none() {
                    resource.tags.push((key, value));
                }
            }
            all.push(resource);
        }
        all.extend(tagged.into_values());
        all
    }
}

/// A resource of a list.
fn row<const N: usize>(name: String, row: &Value, of_metrics: [(&str, Option<&str>); N]) -> Resource {
    let tags = TAGS.iter().find_map(|field| row.get(field)).map(tags_of).unwrap_or_default();
    Resource { arn: name, tags, dimensions: dimensions(of_metrics) }
}

fn dimensions<const N: usize>(given: [(&str, Option<&str>); N]) -> Vec<(String, String)> {
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

fn text<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    row.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// Tags, which are objects with a key and a value, or one object.
fn tags_of(tags: &Value) -> Vec<(String, String)> {
    let plain = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let tag = |tag: &Value| {
        let (key, value) = [("Key", "Value"), ("key", "value")].into_iter().find(|(key, _)| tag.get(key).is_some())?;
        Some((plain(tag.get(key)), plain(tag.get(value))))
    };
    match tags {
        Value::Array(tags) => tags.iter().filter_map(tag).collect(),
        Value::Object(tags) => tags.iter().map(|(key, value)| (key.clone(), plain(Some(value)))).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_keeps_what_resources_are_made_of() {
        let list = &service_of("AWS/AutoScaling").unwrap().lists[0];
        let group = json!({"AutoScalingGroupName": "g", "Instances": [{"InstanceId": "i"}], "Tags": [{"Key": "k"}]});
        let page = json!({"DescribeAutoScalingGroupsResult": {"AutoScalingGroups": [group], "NextToken": "n"}});
        let kept = json!({"AutoScalingGroupName": "g", "Tags": [{"Key": "k"}]});
        assert_eq!(list.page(page), (vec![kept], Some("n".to_owned())));
        for nothing in ["", "none"] {
            let page = json!({"DescribeAutoScalingGroupsResult": {"AutoScalingGroups": nothing, "NextToken": ""}});
            assert_eq!(list.page(page), (Vec::new(), None));
        }
        assert_eq!(list.page(json!("text")), (Vec::new(), None));
    }

    #[test]
    fn tags_are_lists_or_objects() {
        let expected = [("Team".to_owned(), "shop".to_owned()), ("only".to_owned(), String::new())];
        let capital = json!([{"Key": "Team", "Value": "shop"}, {"Key": "only"}, {"Other": "x"}]);
        let small = json!([{"key": "Team", "value": "shop"}, {"key": "only", "value": ""}]);
        for tags in [capital, small, json!({"Team": "shop", "only": ""})] {
            assert_eq!(tags_of(&tags), expected, "{tags}");
        }
        assert_eq!(tags_of(&json!("")), []);
    }

    #[test]
    fn names_do_not_change_what_is_not_listed() {
        let resource = |arn: &str| Resource { arn: arn.to_owned(), ..Resource::default() };
        let tagged = || vec![resource("arn:aws:apigateway:r::/restapis/gone"), resource("arn:aws:dms:r:1:rep:gone")];
        let listed = |lists| Listed { lists, region: "r" };
        assert_eq!(rest_apis(listed(vec![vec![json!({"id": "other", "name": "n"})]]), tagged()), tagged());
        assert_eq!(replication_instances(listed(vec![Vec::new(), Vec::new()]), tagged()), tagged());
        let protection = |arn: &str| json!({"ResourceArn": arn, "ProtectionArn": "arn:aws:shield::1:protection/p"});
        let protections = || vec![protection("arn:aws:route53:::hostedzone/Z"), protection("arn:aws:ec2:r:1:x/y")];
        let in_region = |region| {
            let all = protected_resources(Listed { lists: vec![protections()], region }, Vec::new());
            all.into_iter().map(|resource| resource.arn).collect::<Vec<_>>()
        };
        assert_eq!(in_region("us-east-1"), ["arn:aws:route53:::hostedzone/Z"]);
        assert_eq!(in_region("r"), ["arn:aws:ec2:r:1:x/y"]);
    }
}
