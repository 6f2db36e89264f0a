//! Which resource a metric is of: how the dimensions of a namespace follow from the ARNs of its resources.

use std::collections::HashMap;

/// A namespace whose resources the tagging API knows.
pub(super) struct Service {
    namespace: &'static str,
    /// What the tagging API calls the types of its resources.
    pub(super) resource_types: &'static [&'static str],
    /// What follows the fifth colon of an ARN: `{Name}` is a dimension's value without `/` and `:`, `{Name+}` one to the
    /// end, `{Name=text/+}` the same with `text/` in it, `{}` and `{+}` are of no dimension. One that begins with
    /// `arn` is of the whole ARN.
    patterns: &'static [&'static str],
}

const fn service(
    namespace: &'static str,
    resource_types: &'static [&'static str],
    patterns: &'static [&'static str],
) -> Service {
    Service { namespace, resource_types, patterns }
}

const TARGET_GROUP: &str = "{TargetGroup=targetgroup/+}";

/// Facts of AWS's documentation of each service: its ARNs, and the dimensions of its metrics.
const SERVICES: &[Service] = &[
    service("AWS/ACMPrivateCA", &["acm-pca:certificate-authority"], &["arn{PrivateCAArn+}"]),
    service("AWS/AOSS", &["aoss:collection"], &["collection/{CollectionId}"]),
    service("AWS/AmazonMQ", &["mq:broker"], &["broker:{Broker}:{}"]),
    service("AWS/ApiGateway", &["apigateway"], &["/apis/{ApiId}", "/apis/{ApiId}/stages/{Stage}"]),
    service("AWS/AppStream", &["appstream:fleet"], &["fleet/{Fleet}"]),
    service("AWS/AppSync", &["appsync:apis"], &["apis/{GraphQLAPIId}"]),
    service(
        "AWS/ApplicationELB",
        &["elasticloadbalancing:loadbalancer/app", "elasticloadbalancing:targetgroup"],
        &[TARGET_GROUP, "loadbalancer/{LoadBalancer+}"],
    ),
    service("AWS/Athena", &["athena:workgroup"], &["workgroup/{WorkGroup}"]),
    service("AWS/AutoScaling", &[], &["autoScalingGroup:{}:autoScalingGroupName/{AutoScalingGroupName}"]),
    service("AWS/Backup", &["backup:backup-vault"], &["backup-vault:{BackupVaultName}"]),
    service("AWS/Bedrock/Agents", &["bedrock:agent-alias"], &["arn{AgentAliasArn+}"]),
    service("AWS/Bedrock/Guardrails", &["bedrock:guardrail"], &["arn{GuardrailArn+}"]),
    service("AWS/Cassandra", &["cassandra"], &["/keyspace/{Keyspace}/table/{TableName}", "/keyspace/{Keyspace}/"]),
    service("AWS/CertificateManager", &["acm:certificate"], &["arn{CertificateArn+}"]),
    service("AWS/ClientVPN", &["ec2:client-vpn-endpoint"], &["client-vpn-endpoint/{Endpoint}"]),
    service("AWS/CloudFront", &["cloudfront:distribution"], &["distribution/{DistributionId}"]),
    service("AWS/Cognito", &["cognito-idp:userpool"], &["userpool/{UserPool}"]),
    service("AWS/DDoSProtection", &["shield:protection"], &["arn{ResourceArn+}"]),
    service(
        "AWS/DMS",
        &["dms:rep", "dms:task"],
        &["rep:{ReplicationInstanceIdentifier}", "task:{ReplicationTaskIdentifier}"],
    ),
    service("AWS/DX", &["directconnect"], &["dxcon/{ConnectionId}", "dxlag/{LagId}", "dxvif/{VirtualInterfaceId}"]),
    service("AWS/DataSync", &["datasync:task", "datasync:agent"], &["task/{TaskId}", "agent/{AgentId}"]),
    service("AWS/DirectoryService", &["ds:directory"], &["directory/{Directory ID}"]),
    service("AWS/DocDB", &["rds:db", "rds:cluster"], &["cluster:{DBClusterIdentifier}", "db:{DBInstanceIdentifier}"]),
    service("AWS/DynamoDB", &["dynamodb:table"], &["table/{TableName}"]),
    service("AWS/EBS", &["ec2:volume"], &["volume/{VolumeId}"]),
    service("AWS/EC2", &["ec2:instance"], &["instance/{InstanceId}"]),
    service(
        "AWS/ECS",
        &["ecs:cluster", "ecs:service"],
        &["cluster/{ClusterName}", "service/{ClusterName}/{ServiceName}"],
    ),
    service("AWS/EFS", &["elasticfilesystem:file-system"], &["file-system/{FileSystemId}"]),
    service("AWS/EKS", &["eks:cluster"], &["cluster/{ClusterName}"]),
    service("AWS/ELB", &["elasticloadbalancing:loadbalancer"], &["loadbalancer/{LoadBalancerName}"]),
    service("AWS/EMRServerless", &["emr-serverless:applications"], &["/applications/{ApplicationId}"]),
    service("AWS/ES", &["es:domain"], &["domain/{DomainName}"]),
    service(
        "AWS/ElastiCache",
        &["elasticache:cluster", "elasticache:serverlesscache"],
        &["cluster:{CacheClusterId}", "serverlesscache:{clusterId}"],
    ),
    service("AWS/ElasticBeanstalk", &["elasticbeanstalk:environment"], &["environment/{}/{EnvironmentName}"]),
    service("AWS/ElasticMapReduce", &["elasticmapreduce:cluster"], &["cluster/{JobFlowId}"]),
    service("AWS/Events", &["events:rule"], &["rule/{RuleName}", "rule/{EventBusName}/{RuleName}"]),
    service("AWS/FSx", &["fsx:file-system"], &["file-system/{FileSystemId}"]),
    service("AWS/Firehose", &["firehose:deliverystream"], &["deliverystream/{DeliveryStreamName}"]),
    service("AWS/GameLift", &["gamelift:fleet"], &["fleet/{FleetId}"]),
    service(
        "AWS/GatewayELB",
        &["elasticloadbalancing:loadbalancer/gwy", "elasticloadbalancing:targetgroup"],
        &[TARGET_GROUP, "loadbalancer/{LoadBalancer+}"],
    ),
    service("AWS/GlobalAccelerator", &["globalaccelerator:accelerator"], &["accelerator/{Accelerator}"]),
    service("AWS/IPAM", &["ec2:ipam-pool"], &["ipam-pool/{IpamPoolId}"]),
    service(
        "AWS/IoT",
        &["iot:rule", "iot:provisioningtemplate"],
        &["rule/{RuleName}", "provisioningtemplate/{TemplateName}"],
    ),
    service("AWS/KMS", &["kms:key"], &["key/{KeyId}"]),
    service("AWS/Kafka", &["kafka:cluster"], &["cluster/{Cluster Name}/{}"]),
    service("AWS/KafkaConnect", &["kafkaconnect:connector"], &["connector/{ConnectorName}/{}"]),
    service("AWS/Kinesis", &["kinesis:stream"], &["stream/{StreamName}"]),
    service("AWS/KinesisAnalytics", &["kinesisanalytics:application"], &["application/{Application}"]),
    service("AWS/Lambda", &["lambda:function"], &["function:{FunctionName}"]),
    service("AWS/Logs", &["logs:log-group"], &["log-group:{LogGroupName+}"]),
    service("AWS/MediaConnect", &["mediaconnect"], &["arn{FlowARN+}", "arn{SourceARN+}", "arn{OutputARN+}"]),
    service("AWS/MediaConvert", &["mediaconvert:queues"], &["arn{Queue+}"]),
    service("AWS/MediaLive", &["medialive:channel"], &["channel:{ChannelId}"]),
    service("AWS/MediaTailor", &["mediatailor:playbackConfiguration"], &["playbackConfiguration/{ConfigurationName}"]),
    service("AWS/MemoryDB", &["memorydb:cluster"], &["cluster/{ClusterName}"]),
    service("AWS/NATGateway", &["ec2:natgateway"], &["natgateway/{NatGatewayId}"]),
    service("AWS/Neptune", &["rds:db", "rds:cluster"], &["cluster:{DBClusterIdentifier}", "db:{DBInstanceIdentifier}"]),
    service("AWS/Network Manager", &["networkmanager:core-network"], &["core-network/{CoreNetwork}"]),
    service(
        "AWS/NetworkELB",
        &["elasticloadbalancing:loadbalancer/net", "elasticloadbalancing:targetgroup"],
        &[TARGET_GROUP, "loadbalancer/{LoadBalancer+}"],
    ),
    service("AWS/NetworkFirewall", &["network-firewall:firewall"], &["firewall/{FirewallName}"]),
    service("AWS/PrivateLinkEndpoints", &["ec2:vpc-endpoint"], &["vpc-endpoint/{VPC Endpoint Id}"]),
    service("AWS/PrivateLinkServices", &["ec2:vpc-endpoint-service"], &["vpc-endpoint-service/{Service Id}"]),
    service(
        "AWS/RDS",
        &["rds:db", "rds:cluster", "rds:db-proxy"],
        &["cluster:{DBClusterIdentifier}", "db:{DBInstanceIdentifier}", "db-proxy:{ProxyIdentifier}"],
    ),
    service("AWS/Redshift", &["redshift:cluster"], &["cluster:{ClusterIdentifier}"]),
    service("AWS/Route53", &["route53:healthcheck"], &["healthcheck/{HealthCheckId}"]),
    service("AWS/Route53Resolver", &["route53resolver:resolver-endpoint"], &["resolver-endpoint/{EndpointId}"]),
    service("AWS/S3", &["s3"], &["{BucketName}"]),
    service("AWS/SNS", &["sns"], &["{TopicName}"]),
    service("AWS/SQS", &["sqs"], &["{QueueName}"]),
    service(
        "AWS/SageMaker",
        &["sagemaker:endpoint", "sagemaker:inference-component"],
        &["endpoint/{EndpointName}", "inference-component/{InferenceComponentName}"],
    ),
    service("/aws/sagemaker/Endpoints", &["sagemaker:endpoint"], &["endpoint/{EndpointName}"]),
    service("AWS/States", &["states:stateMachine"], &["arn{StateMachineArn+}"]),
    service(
        "AWS/StorageGateway",
        &["storagegateway:gateway", "storagegateway:share"],
        &["gateway/{GatewayId}", "share/{ShareId}"],
    ),
    service("AWS/TransitGateway", &["ec2:transit-gateway"], &["transit-gateway/{TransitGateway}"]),
    service("AWS/VPN", &["ec2:vpn-connection"], &["vpn-connection/{VpnId}"]),
    service("AWS/VpcLattice", &["vpc-lattice:service"], &["service/{Service}"]),
    service("AWS/WAFV2", &["wafv2:regional/webacl", "wafv2:global/webacl"], &["{}/webacl/{WebACL}/{}"]),
    service(
        "AWS/WorkSpaces",
        &["workspaces:workspace", "workspaces:directory"],
        &["workspace/{WorkspaceId}", "directory/{DirectoryId}"],
    ),
    service("CloudWatchSynthetics", &["synthetics:canary"], &["canary:{CanaryName}"]),
    service("ContainerInsights", &["eks:cluster"], &["cluster/{ClusterName}"]),
    service(
        "ECS/ContainerInsights",
        &["ecs:cluster", "ecs:service"],
        &["cluster/{ClusterName}", "service/{ClusterName}/{ServiceName}"],
    ),
    service("Glue", &["glue:job"], &["job/{JobName}"]),
];

/// The service of a namespace, if the tagging API knows its resources.
pub(super) fn service_of(namespace: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.namespace == namespace && !service.resource_types.is_empty())
}

/// A resource with its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// Its ARN.
    pub(super) arn: String,
    /// Its tags, by key.
    pub(super) tags: Vec<(String, String)>,
}

impl Resource {
    /// The value of a tag.
    pub(super) fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }
}

/// A set of dimensions, in the order of their names.
type Dimensions = Vec<(String, String)>;

/// Finds the resource that a metric is of, by its dimensions.
#[derive(Debug, Default)]
pub(super) struct Resources {
    by_dimensions: HashMap<Dimensions, usize>,
    /// The sets of names that resources are known by, the largest first.
    names: Vec<Vec<String>>,
    resources: Vec<Resource>,
}

impl Resources {
    /// The resources of `service`.
    pub(super) fn new(service: &Service, resources: Vec<Resource>) -> Self {
        let mut found = Resources { resources, ..Resources::default() };
        for (index, resource) in found.resources.iter().enumerate() {
            for mut dimensions in service.patterns.iter().filter_map(|pattern| dimensions_of(pattern, &resource.arn)) {
                dimensions.sort();
                let names: Vec<String> = dimensions.iter().map(|(name, _)| name.clone()).collect();
                if !found.names.contains(&names) {
                    found.names.push(names);
                }
                found.by_dimensions.insert(dimensions, index);
            }
        }
        found.names.sort_by_key(|names| std::cmp::Reverse(names.len()));
        found
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource of a metric with these dimensions: the one that most of them tell.
    pub(super) fn of(&self, dimensions: &[(String, String)]) -> Option<&Resource> {
        self.names.iter().find_map(|names| {
            let of_name = |name: &String| dimensions.iter().find(|(own, _)| own == name).cloned();
            let known: Dimensions = names.iter().map(of_name).collect::<Option<_>>()?;
            let found = self.by_dimensions.get(&known).or_else(|| self.by_dimensions.get(&without_host(known)?));
            found.map(|index| &self.resources[*index])
        })
    }
}

/// Amazon MQ's metrics are of a broker's hosts: its name and `-1` or `-2`.
fn without_host(mut dimensions: Dimensions) -> Option<Dimensions> {
    let broker = dimensions.iter_mut().find(|(name, _)| name == "Broker")?;
    let end = broker.1.len().checked_sub(2).filter(|end| ["-1", "-2"].contains(&&broker.1[*end..]))?;
    broker.1.truncate(end);
    Some(dimensions)
}

/// The dimensions that `pattern` finds in `arn`.
fn dimensions_of(pattern: &str, arn: &str) -> Option<Dimensions> {
    let (mut pattern, mut text) = match pattern.strip_prefix("arn") {
        Some(pattern) => (pattern, arn),
        None => (pattern, arn.splitn(6, ':').nth(5)?),
    };
    let mut dimensions = Vec::new();
    while let Some((literal, rest)) = pattern.split_once('{') {
        text = text.strip_prefix(literal)?;
        let (placeholder, after) = rest.split_once('}')?;
        let (name, length) = match placeholder.strip_suffix('+') {
            Some(name) => {
                let (name, beginning) = name.split_once('=').unwrap_or((name, ""));
                text.starts_with(beginning).then_some((name, text.len()))?
            }
            None => (placeholder, text.find(['/', ':']).unwrap_or(text.len())),
        };
        let (value, left) = text.split_at(length);
        if value.is_empty() {
            return None;
        }
        if !name.is_empty() {
            dimensions.push((name.to_owned(), value.to_owned()));
        }
        (pattern, text) = (after, left);
    }
    (text == pattern).then_some(dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(namespace: &str, arn: &str) -> Vec<Dimensions> {
        let patterns = service_of(namespace).unwrap().patterns;
        patterns.iter().filter_map(|pattern| dimensions_of(pattern, arn)).collect()
    }

    #[test]
    fn dimensions_follow_from_arns() {
        const BALANCER: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/web/50dc";
        type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
        let cases: [Case; 9] = [
            ("AWS/EC2", "arn:aws:ec2:eu-west-1:1:instance/i-0a", &[("InstanceId", "i-0a")]),
            ("AWS/RDS", "arn:aws:rds:eu-west-1:1:db:orders", &[("DBInstanceIdentifier", "orders")]),
            ("AWS/SQS", "arn:aws:sqs:eu-west-1:1:jobs.fifo", &[("QueueName", "jobs.fifo")]),
            ("AWS/S3", "arn:aws:s3:::logs", &[("BucketName", "logs")]),
            ("AWS/Lambda", "arn:aws:lambda:eu-west-1:1:function:resize", &[("FunctionName", "resize")]),
            ("AWS/ApplicationELB", BALANCER, &[("LoadBalancer", "app/web/50dc")]),
            (
                "AWS/ApplicationELB",
                "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/73e2",
                &[("TargetGroup", "targetgroup/web/73e2")],
            ),
            ("AWS/ECS", "arn:aws:ecs:eu-west-1:1:service/main/web", &[("ClusterName", "main"), ("ServiceName", "web")]),
            ("AWS/WAFV2", "arn:aws:wafv2:eu-west-1:1:regional/webacl/edge/a1", &[("WebACL", "edge")]),
        ];
        for (namespace, arn, expected) in cases {
            let expected: Dimensions = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(found(namespace, arn), [expected], "{arn}");
        }
        assert_eq!(found("AWS/EC2", "arn:aws:ec2:eu-west-1:1:volume/vol-1"), Vec::<Dimensions>::new());
        assert_eq!(found("AWS/EC2", "not an ARN"), Vec::<Dimensions>::new());
    }

    #[test]
    fn every_pattern_names_a_dimension_and_every_namespace_is_there_once() {
        for (index, service) in SERVICES.iter().enumerate() {
            assert!(
                SERVICES[..index].iter().all(|other| other.namespace != service.namespace),
                "{}",
                service.namespace
            );
            assert!(service.patterns.iter().all(|pattern| pattern.contains('{') && pattern.contains('}')));
        }
    }

    #[test]
    fn a_metric_is_of_the_resource_that_most_of_its_dimensions_tell() {
        let resource = |arn: &str| Resource { arn: arn.to_owned(), tags: Vec::new() };
        let dimensions = |pairs: &[(&str, &str)]| -> Dimensions {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let resources = Resources::new(
            service_of("AWS/ECS").unwrap(),
            vec![resource("arn:aws:ecs:r:1:cluster/main"), resource("arn:aws:ecs:r:1:service/main/web")],
        );
        let of = |pairs: &[(&str, &str)]| resources.of(&dimensions(pairs)).map(|found| found.arn.as_str());
        assert_eq!(of(&[("ClusterName", "main"), ("ServiceName", "web")]), Some("arn:aws:ecs:r:1:service/main/web"));
        assert_eq!(of(&[("ClusterName", "main"), ("ServiceName", "new")]), Some("arn:aws:ecs:r:1:cluster/main"));
        assert_eq!(of(&[("ClusterName", "other")]), None);
        let brokers =
            Resources::new(service_of("AWS/AmazonMQ").unwrap(), vec![resource("arn:aws:mq:r:1:broker:mail:b-1")]);
        assert!(brokers.of(&dimensions(&[("Broker", "mail-1")])).is_some());
    }
}
