//! Assigns metrics to resources: how the dimensions in a namespace follow from the ARNs of its resources.

use std::collections::HashMap;

/// A namespace whose resources are known.
pub(super) struct Service {
    namespace: &'static str,
    /// Resource types in the tagging API; none if it does not list them.
    pub(super) resource_types: &'static [&'static str],
    /// More specific patterns first, if they have the same number of dimensions. Without patterns, the resources are
    /// exposed with their tags, and no metric belongs to them.
    ///
    /// The part of the ARN after the fifth colon. `{Name}` is the value of a dimension, without `/` and `:`; `{Name+}`
    /// extends to the end; `{Name=text/+}` does too, and includes `text/`; `{}` and `{+}` belong to no dimension. A
    /// pattern that starts with `arn` matches the whole ARN.
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

/// From AWS's documentation of each service: ARNs, and dimensions of metrics.
const SERVICES: &[Service] = &[
    service("AWS/ACMPrivateCA", &["acm-pca:certificate-authority"], &["arn{PrivateCAArn+}"]),
    service("AWS/AOSS", &["aoss:collection"], &["collection/{CollectionId}"]),
    service("AWS/AmazonMQ", &["mq:broker"], &["broker:{Broker}:{}"]),
    service(
        "AWS/ApiGateway",
        &["apigateway"],
        &["/apis/{ApiId}", "/apis/{ApiId}/stages/{Stage}", "/apis/{ApiId}/routes/{Route}"],
    ),
    service("AWS/AppStream", &["appstream:fleet"], &["fleet/{Fleet}"]),
    service("AWS/AppSync", &["appsync:apis"], &["apis/{GraphQLAPIId}"]),
    service(
        "AWS/ApplicationELB",
        &["elasticloadbalancing:loadbalancer/app", "elasticloadbalancing:targetgroup"],
        &[TARGET_GROUP, "loadbalancer/{LoadBalancer+}"],
    ),
    service("AWS/Athena", &["athena:workgroup"], &["workgroup/{WorkGroup}"]),
    service("AWS/AutoScaling", &[], &[]),
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
        "AWS/EC2CapacityReservations",
        &["ec2:capacity-reservation"],
        &["capacity-reservation/{CapacityReservationId}"],
    ),
    service("AWS/EC2Spot", &[], &[]),
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
    service(
        "AWS/GlobalAccelerator",
        &["globalaccelerator"],
        &[
            "accelerator/{Accelerator}",
            "accelerator/{Accelerator}/listener/{Listener}",
            "accelerator/{Accelerator}/listener/{Listener}/endpoint-group/{EndpointGroup}",
        ],
    ),
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
    service(
        "AWS/MediaPackage",
        &["mediapackage", "mediapackagev2", "mediapackage-vod"],
        &["channels/{IngestEndpoint+}", "packaging-configurations/{PackagingConfiguration+}"],
    ),
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
    service("AWS/Prometheus", &["aps:workspace"], &[]),
    service("AWS/QLDB", &["qldb"], &["ledger/{LedgerName}"]),
    service(
        "AWS/RDS",
        &["rds:db", "rds:cluster", "rds:db-proxy"],
        &["cluster:{DBClusterIdentifier}", "db:{DBInstanceIdentifier}", "db-proxy:{ProxyIdentifier}"],
    ),
    service("AWS/Redshift", &["redshift:cluster"], &["cluster:{ClusterIdentifier}"]),
    service("AWS/Redshift-Serverless", &["redshift-serverless:workgroup", "redshift-serverless:namespace"], &[]),
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
    service(
        "/aws/sagemaker/InferenceComponents",
        &["sagemaker:inference-component"],
        &["inference-component/{InferenceComponentName}"],
    ),
    service(
        "/aws/sagemaker/InferenceRecommendationsJobs",
        &["sagemaker:inference-recommendations-job"],
        &["inference-recommendations-job/{JobName}"],
    ),
    service("/aws/sagemaker/ProcessingJobs", &["sagemaker:processing-job"], &[]),
    service("/aws/sagemaker/TrainingJobs", &["sagemaker:training-job"], &[]),
    service("/aws/sagemaker/TransformJobs", &["sagemaker:transform-job"], &[]),
    service("AWS/Sagemaker/ModelBuildingPipeline", &["sagemaker:pipeline"], &["pipeline/{PipelineName}"]),
    service("AWS/States", &["states:stateMachine"], &["arn{StateMachineArn+}"]),
    service(
        "AWS/StorageGateway",
        &["storagegateway:gateway", "storagegateway:share"],
        &["gateway/{GatewayId}", "share/{ShareId}"],
    ),
    service(
        "AWS/TransitGateway",
        &["ec2:transit-gateway", "ec2:transit-gateway-attachment"],
        &["transit-gateway-attachment/{TransitGatewayAttachment}", "transit-gateway/{TransitGateway}"],
    ),
    service("AWS/VPN", &["ec2:vpn-connection"], &["vpn-connection/{VpnId}"]),
    service("AWS/VpcLattice", &["vpc-lattice:service"], &["service/{Service}"]),
    service("AWS/WAFV2", &["wafv2:regional/webacl", "wafv2:global/webacl"], &["{}/webacl/{WebACL}/{}"]),
    service(
        "AWS/WorkSpaces",
        &["workspaces:workspace", "workspaces:directory"],
        &["workspace/{WorkspaceId}", "directory/{DirectoryId}"],
    ),
    service("AmazonMWAA", &["airflow"], &[]),
    service("CloudWatchSynthetics", &["synthetics:canary"], &["canary:{CanaryName}"]),
    service("ContainerInsights", &["eks:cluster"], &["cluster/{ClusterName}"]),
    service(
        "ECS/ContainerInsights",
        &["ecs:cluster", "ecs:service"],
        &["cluster/{ClusterName}", "service/{ClusterName}/{ServiceName}"],
    ),
    service("Glue", &["glue:job"], &["job/{JobName}"]),
];

/// The service of a namespace.
pub(super) fn service_of(namespace: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.namespace == namespace)
}

impl Service {
    /// Whether the tagging API lists its resources.
    pub(super) fn is_tagged(&self) -> bool {
        !self.resource_types.is_empty()
    }

    /// The dimensions that each pattern extracts from `arn`, with the rank of the pattern.
    fn dimensions_of(&self, arn: &str) -> Vec<(usize, Dimensions)> {
        let patterns = self.patterns.iter().enumerate();
        patterns.filter_map(|(rank, pattern)| Some((rank, dimensions_of(pattern, arn)?))).collect()
    }
}

/// A resource with its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resource {
    /// Its ARN.
    pub(super) arn: String,
    /// Its tags, by key.
    pub(super) tags: Vec<(String, String)>,
    /// The dimensions that identify it, sorted by name. Unless there are any, [`Resources::new`] sets them by its ARN.
    pub(super) dimensions: Vec<(String, String)>,
}

impl Resource {
    /// The value of a tag.
    pub(super) fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }
}

/// A set of dimensions, sorted by name.
type Dimensions = Vec<(String, String)>;

/// Finds the resource of a metric by its dimensions.
#[derive(Debug, Default)]
pub(super) struct Resources {
    by_dimensions: HashMap<Dimensions, usize>,
    /// The sets of dimension names that identify resources, most specific first.
    names: Vec<Vec<String>>,
    /// Sorted by ARN.
    resources: Vec<Resource>,
}

impl Resources {
    /// The resources of `service`, in any order.
    pub(super) fn new(service: &Service, mut resources: Vec<Resource>) -> Self {
        resources.sort_by(|a, b| a.arn.cmp(&b.arn));
        resources.dedup_by(|a, b| a.arn == b.arn);
        let mut by_dimensions = HashMap::new();
        let mut names: Vec<(usize, Vec<String>)> = Vec::new();
        for (index, resource) in resources.iter_mut().enumerate() {
            let known = std::mem::take(&mut resource.dimensions);
            let found = if known.is_empty() { service.dimensions_of(&resource.arn) } else { vec![(0, known)] };
            for (rank, mut dimensions) in found {
                dimensions.sort();
                names.push((rank, dimensions.iter().map(|(name, _)| name.clone()).collect()));
                if dimensions.len() > resource.dimensions.len() {
                    resource.dimensions.clone_from(&dimensions);
                }
                by_dimensions.entry(dimensions).or_insert(index);
            }
        }
        // More dimensions say more; among patterns with the same number, the order of the service decides.
        names.sort_by_key(|(rank, names)| (std::cmp::Reverse(names.len()), *rank));
        names.dedup();
        Resources { by_dimensions, names: names.into_iter().map(|(_, names)| names).collect(), resources }
    }

    /// All resources.
    pub(super) fn all(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource of a metric with these dimensions: that of the most specific pattern that matches.
    pub(super) fn of(&self, dimensions: &[(String, String)]) -> Option<&Resource> {
        self.names.iter().find_map(|names| {
            let of_name = |name: &String| dimensions.iter().find(|(own, _)| own == name).cloned();
            let known: Dimensions = names.iter().map(of_name).collect::<Option<_>>()?;
            let found = self.by_dimensions.get(&known).or_else(|| self.by_dimensions.get(&without_host(known)?));
            found.map(|index| &self.resources[*index])
        })
    }
}

/// Amazon MQ has metrics for the hosts of a broker: its name with `-1` or `-2`.
fn without_host(mut dimensions: Dimensions) -> Option<Dimensions> {
    let broker = dimensions.iter_mut().find(|(name, _)| name == "Broker")?;
    let end = broker.1.len().checked_sub(2).filter(|end| ["-1", "-2"].contains(&&broker.1[*end..]))?;
    broker.1.truncate(end);
    Some(dimensions)
}

/// The dimensions that `pattern` extracts from `arn`.
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
        let found = service_of(namespace).unwrap().dimensions_of(arn);
        found.into_iter().map(|(_, dimensions)| dimensions).collect()
    }

    fn resource(arn: &str) -> Resource {
        Resource { arn: arn.to_owned(), ..Resource::default() }
    }

    #[test]
    fn dimensions_follow_from_arns() {
        const BALANCER: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/web/50dc";
        type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
        let cases: [Case; 15] = [
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
            (
                "AWS/EC2CapacityReservations",
                "arn:aws:ec2:eu-west-1:1:capacity-reservation/cr-1",
                &[("CapacityReservationId", "cr-1")],
            ),
            ("AWS/MediaPackage", "arn:aws:mediapackage:eu-west-1:1:channels/9d1c", &[("IngestEndpoint", "9d1c")]),
            ("AWS/QLDB", "arn:aws:qldb:eu-west-1:1:ledger/books", &[("LedgerName", "books")]),
            (
                "/aws/sagemaker/InferenceComponents",
                "arn:aws:sagemaker:eu-west-1:1:inference-component/chat",
                &[("InferenceComponentName", "chat")],
            ),
            (
                "/aws/sagemaker/InferenceRecommendationsJobs",
                "arn:aws:sagemaker:eu-west-1:1:inference-recommendations-job/size",
                &[("JobName", "size")],
            ),
            (
                "AWS/Sagemaker/ModelBuildingPipeline",
                "arn:aws:sagemaker:eu-west-1:1:pipeline/train",
                &[("PipelineName", "train")],
            ),
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

    /// Every order of `all`.
    fn orders(all: &[&'static str]) -> Vec<Vec<&'static str>> {
        let [first, rest @ ..] = all else { return vec![Vec::new()] };
        let insert = |order: Vec<&'static str>| {
            (0..=order.len()).map(move |at| [&order[..at], &[*first], &order[at..]].concat()).collect::<Vec<_>>()
        };
        orders(rest).into_iter().flat_map(insert).collect()
    }

    #[test]
    fn the_most_specific_pattern_wins_in_every_order_of_an_answer() {
        const BALANCER: &str = "arn:aws:elasticloadbalancing:r:1:loadbalancer/app/web/50dc";
        const TARGET_GROUP: &str = "arn:aws:elasticloadbalancing:r:1:targetgroup/tg/73e2";
        const ACCELERATOR: &str = "arn:aws:globalaccelerator::1:accelerator/a1";
        const LISTENER: &str = "arn:aws:globalaccelerator::1:accelerator/a1/listener/l1";
        const GROUP: &str = "arn:aws:globalaccelerator::1:accelerator/a1/listener/l1/endpoint-group/g1";
        const ATTACHMENT: &str = "arn:aws:ec2:r:1:transit-gateway-attachment/tgw-attach-1";
        const OF_TARGET_GROUP: &[(&str, &str)] =
            &[("AvailabilityZone", "a"), ("LoadBalancer", "app/web/50dc"), ("TargetGroup", "targetgroup/tg/73e2")];
        type Case = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)], &'static str);
        let cases: [Case; 8] = [
            ("AWS/ApplicationELB", &[BALANCER, TARGET_GROUP], OF_TARGET_GROUP, TARGET_GROUP),
            ("AWS/ApplicationELB", &[BALANCER, TARGET_GROUP], &OF_TARGET_GROUP[..2], BALANCER),
            (
                "AWS/GlobalAccelerator",
                &[ACCELERATOR, LISTENER, GROUP],
                &[("Accelerator", "a1"), ("EndpointGroup", "g1"), ("Listener", "l1"), ("TransportProtocol", "TCP")],
                GROUP,
            ),
            (
                "AWS/GlobalAccelerator",
                &[ACCELERATOR, LISTENER, GROUP],
                &[("Accelerator", "a1"), ("Listener", "l1")],
                LISTENER,
            ),
            ("AWS/GlobalAccelerator", &[ACCELERATOR, LISTENER, GROUP], &[("Accelerator", "a1")], ACCELERATOR),
            (
                "AWS/TransitGateway",
                &["arn:aws:ec2:r:1:transit-gateway/tgw-1", ATTACHMENT],
                &[("TransitGateway", "tgw-1"), ("TransitGatewayAttachment", "tgw-attach-1")],
                ATTACHMENT,
            ),
            (
                "AWS/TransitGateway",
                &["arn:aws:ec2:r:1:transit-gateway/tgw-1", ATTACHMENT],
                &[("TransitGateway", "tgw-1")],
                "arn:aws:ec2:r:1:transit-gateway/tgw-1",
            ),
            // A cluster that was made again under its name.
            (
                "AWS/Kafka",
                &["arn:aws:kafka:r:1:cluster/logs/b2", "arn:aws:kafka:r:1:cluster/logs/a1"],
                &[("Cluster Name", "logs")],
                "arn:aws:kafka:r:1:cluster/logs/a1",
            ),
        ];
        for (namespace, arns, dimensions, expected) in cases {
            let dimensions: Dimensions =
                dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            for order in orders(arns) {
                let resources =
                    Resources::new(service_of(namespace).unwrap(), order.into_iter().map(resource).collect());
                assert_eq!(resources.of(&dimensions).map(|found| found.arn.as_str()), Some(expected), "{namespace}");
            }
        }
    }
}
