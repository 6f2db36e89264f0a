"""Resources and metrics of CloudWatch's namespaces for an account in memory, as examples/fake_cloudwatch has one."""

ACCOUNT = "111122223333"
# What the dimension Region of a metric says.
REGION = "eu-west-1"
# Namespace: the resources' ARNs, behind region and account; a metric; the dimensions of each, by the number of the ARN, or
# of none.
NAMESPACES = {
    "AWS/AmazonMQ": (["mq:broker:mail:b-1"], "CpuUtilization", [(0, {"Broker": "mail"})]),
    "AWS/ApiGateway": (
        ["apigateway::/apis/a1", "apigateway::/restapis/r1"],
        "Latency",
        [(0, {"ApiId": "a1"}), (1, {"ApiName": "shop"})],
    ),
    "AWS/ApplicationELB": (
        ["elasticloadbalancing:loadbalancer/app/web/50dc", "elasticloadbalancing:targetgroup/web/73e2"],
        "HTTPCode_ELB_5XX_Count",
        [(0, {"LoadBalancer": "app/web/50dc"}), (1, {"LoadBalancer": "app/web/50dc", "TargetGroup": "targetgroup/web/73e2"})],
    ),
    "AWS/Backup": (["backup:backup-vault:nightly"], "NumberOfBackupJobsFailed", [(0, {"BackupVaultName": "nightly"})]),
    "AWS/CertificateManager": (["acm:certificate/c1"], "DaysToExpiry", [(0, {"CertificateArn": "ARN"})]),
    "AWS/DynamoDB": (
        ["dynamodb:table/orders"],
        "ConsumedReadCapacityUnits",
        [(0, {"TableName": "orders"}), (0, {"TableName": "orders", "GlobalSecondaryIndexName": "by-day"})],
    ),
    "AWS/EBS": (["ec2:volume/vol-1"], "VolumeReadOps", [(0, {"VolumeId": "vol-1"}), (None, {"VolumeId": "vol-2"})]),
    "AWS/EC2": (
        [f"ec2:instance/i-{number:03x}" for number in range(700)],
        "CPUUtilization",
        [(number, {"InstanceId": f"i-{number:03x}"}) for number in range(700)]
        + [(None, {"InstanceType": "m5.large"}), (None, {"AutoScalingGroupName": "web"}), (None, {})],
    ),
    "AWS/ECS": (
        ["ecs:cluster/main", "ecs:service/main/web"],
        "CPUUtilization",
        [(0, {"ClusterName": "main"}), (1, {"ClusterName": "main", "ServiceName": "web"})],
    ),
    "AWS/EFS": (["elasticfilesystem:file-system/fs-1"], "ClientConnections", [(0, {"FileSystemId": "fs-1"})]),
    "AWS/ElastiCache": (["elasticache:cluster:cache-001"], "CPUUtilization", [(0, {"CacheClusterId": "cache-001"})]),
    "AWS/ELB": (["elasticloadbalancing:loadbalancer/old"], "RequestCount", [(0, {"LoadBalancerName": "old"})]),
    "AWS/ES": (["es:domain/logs"], "FreeStorageSpace", [(0, {"DomainName": "logs", "ClientId": ACCOUNT})]),
    "AWS/Firehose": (["firehose:deliverystream/logs"], "IncomingBytes", [(0, {"DeliveryStreamName": "logs"})]),
    "AWS/Kafka": (["kafka:cluster/events/u-1"], "CpuUser", [(0, {"Cluster Name": "events", "Broker ID": "1"})]),
    "AWS/Kinesis": (["kinesis:stream/clicks"], "IncomingRecords", [(0, {"StreamName": "clicks"})]),
    "AWS/Lambda": (
        ["lambda:function:resize"],
        "Errors",
        [(0, {"FunctionName": "resize"}), (0, {"FunctionName": "resize", "Resource": "resize:live"}), (None, {})],
    ),
    "AWS/Logs": (["logs:log-group:/aws/lambda/resize"], "IncomingBytes", [(0, {"LogGroupName": "/aws/lambda/resize"})]),
    "AWS/NATGateway": (["ec2:natgateway/nat-1"], "BytesOutToDestination", [(0, {"NatGatewayId": "nat-1"})]),
    "AWS/NetworkELB": (
        ["elasticloadbalancing:loadbalancer/net/tcp/60ab", "elasticloadbalancing:targetgroup/tcp/81f0"],
        "ActiveFlowCount",
        [(0, {"LoadBalancer": "net/tcp/60ab"}), (1, {"LoadBalancer": "net/tcp/60ab", "TargetGroup": "targetgroup/tcp/81f0"})],
    ),
    "AWS/RDS": (
        ["rds:db:orders", "rds:cluster:books"],
        "EBSIOBalance%",
        [(0, {"DBInstanceIdentifier": "orders"}), (1, {"DBClusterIdentifier": "books"}), (None, {"EngineName": "postgres"})],
    ),
    "AWS/Redshift": (["redshift:cluster:wh"], "CPUUtilization", [(0, {"ClusterIdentifier": "wh"})]),
    "AWS/Route53": (["route53:::healthcheck/h-1"], "HealthCheckStatus", [(0, {"HealthCheckId": "h-1", "Region": "eu-west-1"})]),
    "AWS/S3": (["s3:::photos"], "BucketSizeBytes", [(0, {"BucketName": "photos", "StorageType": "StandardStorage"})]),
    "AWS/SNS": (["sns:alerts"], "NumberOfMessagesPublished", [(0, {"TopicName": "alerts"})]),
    "AWS/SQS": (["sqs:jobs"], "ApproximateNumberOfMessagesVisible", [(0, {"QueueName": "jobs"}), (None, {"QueueName": "new"})]),
    "AWS/States": (["states:stateMachine:ship"], "ExecutionsFailed", [(0, {"StateMachineArn": "ARN"})]),
    "AWS/TransitGateway": (["ec2:transit-gateway/tgw-1"], "BytesIn", [(0, {"TransitGateway": "tgw-1"})]),
    "AWS/VPN": (["ec2:vpn-connection/vpn-1"], "TunnelState", [(0, {"VpnId": "vpn-1"})]),
    "AWS/WAFV2": (["wafv2:regional/webacl/edge/a1"], "BlockedRequests", [(0, {"WebACL": "edge", "Region": REGION, "Rule": "ALL"})]),
    "Shop": ([], "Orders", [(None, {"Shelf": str(number)}) for number in range(20)]),
}
# The same of one resource and one metric each.
for namespace, short, dimensions in [
    ("/aws/sagemaker/Endpoints", "sagemaker:endpoint/guess", {"EndpointName": "guess", "VariantName": "a"}),
    ("/aws/sagemaker/TrainingJobs", "sagemaker:training-job/learn", {"Host": "learn/algo-1"}),
    ("AWS/ACMPrivateCA", "acm-pca:certificate-authority/ca", {"PrivateCAArn": "ARN"}),
    ("AWS/AOSS", "aoss:collection/c1", {"CollectionId": "c1", "CollectionName": "papers", "ClientId": ACCOUNT}),
    ("AWS/AppStream", "appstream:fleet/desks", {"Fleet": "desks"}),
    ("AWS/AppSync", "appsync:apis/g1", {"GraphQLAPIId": "g1"}),
    ("AWS/Athena", "athena:workgroup/reports", {"WorkGroup": "reports", "QueryState": "SUCCEEDED"}),
    ("AWS/Bedrock/Guardrails", "bedrock:guardrail/g1", {"GuardrailArn": "ARN", "GuardrailVersion": "1"}),
    ("AWS/Cassandra", "cassandra:/keyspace/shop/table/orders", {"Keyspace": "shop", "TableName": "orders"}),
    ("AWS/ClientVPN", "ec2:client-vpn-endpoint/cvpn-1", {"Endpoint": "cvpn-1"}),
    ("AWS/Cognito", "cognito-idp:userpool/u1", {"UserPool": "u1", "UserPoolClient": "web"}),
    ("AWS/DMS", "dms:rep:R1", {"ReplicationInstanceIdentifier": "mover"}),
    ("AWS/DX", "directconnect:dxcon/dxcon-1", {"ConnectionId": "dxcon-1"}),
    ("AWS/DataSync", "datasync:task/task-1", {"TaskId": "task-1"}),
    ("AWS/DirectoryService", "ds:directory/d-1", {"Directory ID": "d-1"}),
    ("AWS/DocDB", "rds:cluster:papers", {"DBClusterIdentifier": "papers"}),
    ("AWS/EKS", "eks:cluster/main", {"ClusterName": "main"}),
    ("AWS/EMRServerless", "emr-serverless:/applications/e1", {"ApplicationId": "e1"}),
    ("AWS/ElasticBeanstalk", "elasticbeanstalk:environment/shop/shop-prod", {"EnvironmentName": "shop-prod"}),
    ("AWS/ElasticMapReduce", "elasticmapreduce:cluster/j-1", {"JobFlowId": "j-1"}),
    ("AWS/Events", "events:rule/bus/nightly", {"EventBusName": "bus", "RuleName": "nightly"}),
    ("AWS/FSx", "fsx:file-system/fs-2", {"FileSystemId": "fs-2"}),
    ("AWS/GameLift", "gamelift:fleet/f1", {"FleetId": "f1"}),
    ("AWS/GlobalAccelerator", "globalaccelerator::accelerator/a1", {"Accelerator": "a1"}),
    ("AWS/IPAM", "ec2:ipam-pool/pool-1", {"IpamPoolId": "pool-1"}),
    ("AWS/IoT", "iot:rule/r1", {"RuleName": "r1"}),
    ("AWS/KMS", "kms:key/k1", {"KeyId": "k1"}),
    ("AWS/KafkaConnect", "kafkaconnect:connector/copy/u-1", {"ConnectorName": "copy"}),
    ("AWS/KinesisAnalytics", "kinesisanalytics:application/sums", {"Application": "sums"}),
    ("AWS/MediaConnect", "mediaconnect:flow:1:tv", {"FlowARN": "ARN"}),
    ("AWS/MediaConvert", "mediaconvert:queues/Default", {"Queue": "ARN"}),
    ("AWS/MediaLive", "medialive:channel:7", {"ChannelId": "7", "Pipeline": "0"}),
    ("AWS/MediaPackage", "mediapackage:channels/m1", {"IngestEndpoint": "m1"}),
    ("AWS/MediaTailor", "mediatailor:playbackConfiguration/ads", {"ConfigurationName": "ads"}),
    ("AWS/MemoryDB", "memorydb:cluster/mem", {"ClusterName": "mem"}),
    ("AWS/Neptune", "rds:cluster:graph", {"DBClusterIdentifier": "graph"}),
    ("AWS/NetworkFirewall", "network-firewall:firewall/wall", {"FirewallName": "wall", "AvailabilityZone": "eu-west-1a"}),
    ("AWS/PrivateLinkEndpoints", "ec2:vpc-endpoint/vpce-1", {"VPC Endpoint Id": "vpce-1", "VPC Id": "vpc-1"}),
    ("AWS/PrivateLinkServices", "ec2:vpc-endpoint-service/vpce-svc-1", {"Service Id": "vpce-svc-1"}),
    ("AWS/Redshift-Serverless", "redshift-serverless:workgroup/w1", {"Workgroup": "small"}),
    ("AWS/Route53Resolver", "route53resolver:resolver-endpoint/rslvr-1", {"EndpointId": "rslvr-1"}),
    ("AWS/SageMaker", "sagemaker:endpoint/guess", {"EndpointName": "guess", "VariantName": "a"}),
    ("AWS/StorageGateway", "storagegateway:gateway/sgw-1", {"GatewayId": "sgw-1", "GatewayName": "files"}),
    ("AWS/VpcLattice", "vpc-lattice:service/svc-1", {"Service": "svc-1"}),
    ("AWS/WorkSpaces", "workspaces:workspace/ws-1", {"WorkspaceId": "ws-1"}),
    ("Glue", "glue:job/clean", {"JobName": "clean", "JobRunId": "ALL", "Type": "gauge"}),
]:
    NAMESPACES[namespace] = ([short], "Requests", [(0, dimensions)])

# What the service's own API replies.
PATHS = {"/restapis": {"item": [{"id": "r1", "name": "shop"}]}, "/v2/apis": {"items": [{"apiId": "a1", "name": "orders"}]}}


def arn(short, region):
    """The ARN of a resource."""
    service, rest = short.split(":", 1)
    return f"arn:aws:{short}" if rest.startswith("::") else f"arn:aws:{service}:{region}:" + (
        rest if rest.startswith(":") else f"{ACCOUNT}:{rest}"
    )


def resources(namespace, region):
    """The resources of a namespace, each with two tags."""
    arns = [arn(short, region) for short in NAMESPACES[namespace][0]]
    return [{"ResourceARN": of, "Tags": [{"Key": "Name", "Value": of[-8:]}, {"Key": "Team", "Value": "shop"}]} for of in arns]


def metrics(namespace, region, names):
    """The metrics of a namespace with these names, each of all of its series."""
    shorts, _, series = NAMESPACES[namespace]
    for number, dimensions in series:
        pairs = dimensions.items()
        values = [(name, arn(shorts[number], region) if value == "ARN" else value) for name, value in pairs]
        for metric in names:
            of = [{"Name": name, "Value": value} for name, value in values]
            yield {"Namespace": namespace, "MetricName": metric, "Dimensions": of}
