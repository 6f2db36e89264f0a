//! Resources by the APIs of their services, with answers as AWS's references document them.

use serde_json::{Value, json};

use super::scripted::{account, job, now, start, wait_for};
use crate::harness::aws::{Aws, Call, Reply};

/// A metric with these dimensions.
fn metric(namespace: &str, dimensions: &[(&str, &str)]) -> Value {
    let dimensions: Vec<Value> = dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    json!({"Namespace": namespace, "MetricName": "Count", "Dimensions": dimensions})
}

/// Names and values.
type Dimensions = &'static [(&'static str, &'static str)];

/// The names of resources that each namespace's metrics get, and the family of resources with their tags.
const CASES: [(&str, Dimensions, &str, &str); 10] = [
    (
        "AWS/ApiGateway",
        &[("ApiName", "orders: v2/eu")],
        "arn:aws:apigateway:eu-west-1::/restapis/orders: v2/eu",
        "aws_apigateway_info{tag_Team=\"shop\"}",
    ),
    (
        "AWS/ApiGateway",
        &[("ApiName", "orders: v2/eu"), ("Stage", "prod")],
        "arn:aws:apigateway:eu-west-1::/restapis/orders: v2/eu/stages/prod",
        "aws_apigateway_info{tag_Team=\"stage\"}",
    ),
    (
        "AWS/AutoScaling",
        &[("AutoScalingGroupName", "my-asg")],
        "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:12345678-1234-1234-1234-123456789012:autoScalingGroupName/my-asg",
        "aws_autoscaling_info{tag_environment=\"R&D\"}",
    ),
    (
        "AWS/DDoSProtection",
        &[("ResourceArn", "arn:aws:ec2:eu-west-1:1:eip-allocation/eipalloc-1")],
        "arn:aws:ec2:eu-west-1:1:eip-allocation/eipalloc-1",
        "aws_ddosprotection_info{tag_ProtectionArn=\"arn:aws:shield::1:protection/p1\",tag_Team=\"shop\"}",
    ),
    (
        "AWS/DMS",
        &[("ReplicationInstanceIdentifier", "migrate")],
        "arn:aws:dms:eu-west-1:1:rep:R1/migrate",
        "aws_dms_info{tag_Team=\"shop\"}",
    ),
    (
        "AWS/DMS",
        &[("ReplicationInstanceIdentifier", "migrate"), ("ReplicationTaskIdentifier", "T1")],
        "arn:aws:dms:eu-west-1:1:task:T1/migrate",
        "aws_dms_info{tag_Team=\"task\"}",
    ),
    (
        "AWS/EC2Spot",
        &[("AvailabilityZone", "a"), ("FleetRequestId", "sfr-73fbd2ce")],
        "sfr-73fbd2ce",
        "aws_ec2spot_info{tag_Team=\"shop\"}",
    ),
    (
        "AWS/Prometheus",
        &[("Rule", "r")],
        "global",
        "aws_prometheus_info{name=\"arn:aws:aps:eu-west-1:1:workspace/ws-1\",tag_Team=\"shop\"}",
    ),
    (
        "AWS/StorageGateway",
        &[("GatewayId", "sgw-1"), ("GatewayName", "files")],
        "sgw-1/files",
        "aws_storagegateway_info{tag_Team=\"shop\"}",
    ),
    (
        "AWS/TransitGateway",
        &[("TransitGateway", "tgw-1"), ("TransitGatewayAttachment", "tgw-attach-1")],
        "tgw-1/tgw-attach-1",
        "aws_transitgateway_info{tag_Name=\"hub\"}",
    ),
];

fn xml(text: &str) -> Reply {
    Reply::Raw(200, "text/xml;charset=UTF-8".to_owned(), text.as_bytes().to_vec())
}

fn plain(body: &Value) -> Reply {
    Reply::Raw(200, "application/json".to_owned(), body.to_string().into_bytes())
}

/// Two pages: nothing in the first.
fn paged(call: &Call, token: &str, first: Reply, second: Reply) -> Reply {
    match call.input.get(token) {
        None => first,
        Some(token) => {
            assert_eq!(*token, "a+b/c=");
            second
        }
    }
}

fn tagged(types: &Value) -> Value {
    let resource = |arn: &str, team: &str| json!({"ResourceARN": arn, "Tags": [{"Key": "Team", "Value": team}]});
    let of = |arns: &[(&str, &str)]| arns.iter().map(|(arn, team)| resource(arn, team)).collect::<Vec<_>>();
    let resources = match types[0].as_str().unwrap() {
        "apigateway" => of(&[
            ("arn:aws:apigateway:eu-west-1::/restapis/a1b2", "shop"),
            ("arn:aws:apigateway:eu-west-1::/restapis/a1b2/stages/prod", "stage"),
        ]),
        "dms:rep" => of(&[("arn:aws:dms:eu-west-1:1:rep:R1", "shop"), ("arn:aws:dms:eu-west-1:1:task:T1", "task")]),
        "shield:protection" => of(&[("arn:aws:shield::1:protection/p1", "shop")]),
        "storagegateway:gateway" => of(&[("arn:aws:storagegateway:eu-west-1:1:gateway/sgw-1", "shop")]),
        _ => Vec::new(),
    };
    json!({"ResourceTagMappingList": resources, "PaginationToken": ""})
}

fn answer(call: &Call) -> Option<Reply> {
    const NEXT: &str = "a+b/c=";
    Some(match call.operation.as_str() {
        "GetResources" => Reply::Output(tagged(&call.input["ResourceTypeFilters"])),
        "/restapis" => paged(
            call,
            "position",
            plain(&json!({"item": [], "position": NEXT})),
            plain(&json!({"item": [{"id": "a1b2", "name": "orders: v2/eu", "createdDate": 1_438_884_790}]})),
        ),
        "DescribeAutoScalingGroups" => paged(
            call,
            "NextToken",
            xml(&format!(
                "<DescribeAutoScalingGroupsResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\">\
                 <DescribeAutoScalingGroupsResult><NextToken>{NEXT}</NextToken><AutoScalingGroups/>\
                 </DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>"
            )),
            xml("<DescribeAutoScalingGroupsResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\">
  <DescribeAutoScalingGroupsResult>
    <AutoScalingGroups>
      <member>
        <HealthCheckType>ELB</HealthCheckType>
        <LoadBalancerNames><member>my-loadbalancer</member></LoadBalancerNames>
        <Instances>
          <member><AvailabilityZone>us-east-1e</AvailabilityZone><InstanceId>i-1234567890abcdef0</InstanceId></member>
        </Instances>
        <SuspendedProcesses/>
        <AutoScalingGroupName>my-asg</AutoScalingGroupName>
        <AutoScalingGroupARN>arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:12345678-1234-1234-1234-123456789012:autoScalingGroupName/my-asg</AutoScalingGroupARN>
        <Tags>
          <member>
            <ResourceId>my-asg</ResourceId><PropagateAtLaunch>true</PropagateAtLaunch>
            <Value>R&amp;D</Value><Key>environment</Key><ResourceType>auto-scaling-group</ResourceType>
          </member>
        </Tags>
      </member>
    </AutoScalingGroups>
  </DescribeAutoScalingGroupsResult>
  <ResponseMetadata><RequestId>7c6e177f-f082-11e1-ac58-3714bEXAMPLE</RequestId></ResponseMetadata>
</DescribeAutoScalingGroupsResponse>"),
        ),
        "DescribeSpotFleetRequests" => xml(
            "<DescribeSpotFleetRequestsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
             <requestId>4d68a6cc</requestId><spotFleetRequestConfigSet><item>\
             <spotFleetRequestId>sfr-73fbd2ce</spotFleetRequestId><spotFleetRequestState>active</spotFleetRequestState>\
             <spotFleetRequestConfig><targetCapacity>20</targetCapacity><launchSpecifications><item>\
             <instanceType>cc2.8xlarge</instanceType></item></launchSpecifications></spotFleetRequestConfig>\
             <tagSet><item><key>Team</key><value>shop</value></item></tagSet>\
             </item></spotFleetRequestConfigSet></DescribeSpotFleetRequestsResponse>",
        ),
        "DescribeTransitGatewayAttachments" => xml(
            "<DescribeTransitGatewayAttachmentsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
             <transitGatewayAttachments><item><transitGatewayId>tgw-1</transitGatewayId>\
             <transitGatewayAttachmentId>tgw-attach-1</transitGatewayAttachmentId><resourceType>vpc</resourceType>\
             <association><state>associated</state></association>\
             <tagSet><item><key>Name</key><value>hub</value></item></tagSet></item></transitGatewayAttachments>\
             </DescribeTransitGatewayAttachmentsResponse>",
        ),
        "DescribeReplicationInstances" => Reply::Output(json!({"ReplicationInstances": [
            {"ReplicationInstanceArn": "arn:aws:dms:eu-west-1:1:rep:R1", "ReplicationInstanceIdentifier": "migrate"}]})),
        "DescribeReplicationTasks" => paged(
            call,
            "Marker",
            Reply::Output(json!({"ReplicationTasks": [], "Marker": NEXT})),
            Reply::Output(json!({"ReplicationTasks": [{"ReplicationTaskArn": "arn:aws:dms:eu-west-1:1:task:T1",
                "ReplicationInstanceArn": "arn:aws:dms:eu-west-1:1:rep:R1"}]})),
        ),
        "ListProtections" => Reply::Output(json!({"Protections": [
            {"Id": "p1", "Name": "ip", "ResourceArn": "arn:aws:ec2:eu-west-1:1:eip-allocation/eipalloc-1",
                "ProtectionArn": "arn:aws:shield::1:protection/p1"},
            {"Id": "p2", "Name": "zone", "ResourceArn": "arn:aws:route53:::hostedzone/Z1",
                "ProtectionArn": "arn:aws:shield::1:protection/p2"}]})),
        "/workspaces" => plain(&json!({"workspaces": [{"arn": "arn:aws:aps:eu-west-1:1:workspace/ws-1",
            "workspaceId": "ws-1", "status": {"statusCode": "ACTIVE"}, "tags": {"Team": "shop"}}]})),
        "ListGateways" => Reply::Output(json!({"Gateways": [{"GatewayId": "sgw-1", "GatewayName": "files",
            "GatewayARN": "arn:aws:storagegateway:eu-west-1:1:gateway/sgw-1"}]})),
        _ => return None,
    })
}

/// An account that has all of them.
fn all() -> Aws {
    let other = account(Vec::new(), |_| vec![(now() - 2, 1.0)]);
    Aws::start(move |call| match (answer(call), call.operation.as_str()) {
        (Some(reply), _) => reply,
        (None, "ListMetrics") => {
            let of_namespace = CASES.iter().filter(|(namespace, ..)| call.input["Namespace"] == *namespace);
            let metrics: Vec<Value> = of_namespace.map(|(name, dimensions, ..)| metric(name, dimensions)).collect();
            Reply::Output(json!({"Metrics": metrics}))
        }
        (None, _) => other(call),
    })
}

#[test]
fn resources_that_the_tagging_api_does_not_name_come_from_their_services() {
    let aws = all();
    let mut namespaces: Vec<&str> = CASES.iter().map(|(namespace, ..)| *namespace).collect();
    namespaces.dedup();
    let jobs: Vec<String> =
        namespaces.iter().map(|name| job(&aws, &format!("namespace = \"{name}\"\nservice_apis = true"))).collect();
    let config = jobs.concat().replace("[collectors]\ndefault = false\n", "");
    let taffrail = start(&format!("[collectors]\ndefault = false\n{config}"));
    for (namespace, dimensions, name, info) in CASES {
        let family = namespace.to_lowercase().replace('/', "_");
        let dimensions: String =
            dimensions.iter().map(|(name, value)| format!("dimension_{name}=\"{value}\",")).collect();
        let series = format!(
            "{family}_count_average{{account_id=\"111122223333\",{dimensions}name=\"{name}\",region=\"eu-west-1\"}}"
        );
        assert_eq!(wait_for(&taffrail, &series), 1.0);
        let (family, tags) = info.split_once('{').unwrap();
        let (name, tags) = match tags.split_once("\",tag_") {
            Some((given, rest)) if given.starts_with("name=") => (given[6..].to_owned(), format!("tag_{rest}")),
            _ => (name.to_owned(), tags.to_owned()),
        };
        let info = format!("{family}{{account_id=\"111122223333\",name=\"{name}\",region=\"eu-west-1\",{tags}");
        assert_eq!(wait_for(&taffrail, &info), 0.0);
    }
    let text = taffrail.get("/metrics").text().to_owned();
    assert!(!text.contains("hostedzone"), "global resources are protected in us-east-1");
    let infos = text.lines().filter(|line| line.starts_with("aws_") && line.contains("_info{")).count();
    assert_eq!(infos, CASES.len(), "no resource twice");
    assert!(text.contains("api=\"DescribeAutoScalingGroups\""), "requests are counted");
    let region = |operation: &str| aws.calls(operation)[0].region.clone();
    assert_eq!((region("ListProtections"), region("/restapis")), ("us-east-1".to_owned(), "eu-west-1".to_owned()));
    assert_eq!(aws.calls("/restapis")[0].input["limit"], "500");
    assert!(aws.calls("GetResources").len() < namespaces.len() * 2, "none for Auto Scaling and Spot fleets");
}

#[test]
fn services_are_asked_on_request_alone_and_tags_choose() {
    let aws = all();
    let taffrail = start(&job(&aws, "namespace = \"AWS/AutoScaling\""));
    wait_for(
        &taffrail,
        "aws_autoscaling_count_average{account_id=\"111122223333\",dimension_AutoScalingGroupName=\"my-asg\",\
         name=\"AWS/AutoScaling\",region=\"eu-west-1\"}",
    );
    assert!(aws.calls("DescribeAutoScalingGroups").is_empty());
    let tags = "service_apis = true\nsearch_tags = { environment = \"^R&\" }\ntags_on_metrics = [\"environment\"]";
    let taffrail = start(&job(&aws, &format!("namespace = \"AWS/AutoScaling\"\n{tags}")));
    let arn = CASES[2].2;
    let series = format!(
        "aws_autoscaling_count_average{{account_id=\"111122223333\",dimension_AutoScalingGroupName=\"my-asg\",\
         name=\"{arn}\",region=\"eu-west-1\",tag_environment=\"R&D\"}}"
    );
    wait_for(&taffrail, &series);
    let taffrail = start(&job(&aws, &format!("namespace = \"AWS/AutoScaling\"\n{}", tags.replace("^R&", "^S"))));
    taffrail.wait_for_log("nothing found: none of the 1 metrics of AWS/AutoScaling has a resource with these tags");
}

#[test]
fn a_service_that_refuses_is_reported_once_with_its_action() {
    for (namespace, operation, reply, action) in [
        (
            "AWS/EC2Spot",
            "DescribeSpotFleetRequests",
            Reply::Raw(
                403,
                "text/xml".to_owned(),
                b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>"
                    .to_vec(),
            ),
            "ec2:DescribeSpotFleetRequests",
        ),
        (
            "AWS/StorageGateway",
            "ListGateways",
            Reply::Error(400, "com.amazonaws#AccessDeniedException", "no"),
            "storagegateway:ListGateways",
        ),
    ] {
        let other = account(vec![metric(namespace, &[("X", "y")])], |_| vec![(now() - 2, 1.0)]);
        let aws = Aws::start(move |call| if call.operation == operation { reply.clone() } else { other(call) });
        let taffrail = start(&job(&aws, &format!("namespace = \"{namespace}\"\nservice_apis = true")));
        let said = format!("{operation} in eu-west-1: not allowed, the policy needs {action}: no");
        taffrail.wait_for_log(&said);
        let family = namespace.to_lowercase().replace('/', "_");
        let series = format!(
            "{family}_count_average{{account_id=\"111122223333\",dimension_X=\"y\",name=\"global\",region=\"eu-west-1\"}}"
        );
        assert_eq!(wait_for(&taffrail, &series), 1.0, "data do not wait for resources");
        aws.wait_for_calls(operation, 2);
        assert_eq!(taffrail.logged(&said), 1);
    }
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let other = account(Vec::new(), |_| Vec::new());
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "/workspaces" => {
            let next = call.input.get("nextToken").map_or(0, |token| token.as_str().unwrap().parse::<u32>().unwrap());
            plain(&json!({"workspaces": [], "nextToken": (next + 1).to_string()}))
        }
        _ => other(call),
    });
    let taffrail = start(&job(&aws, "namespace = \"AWS/Prometheus\"\nservice_apis = true"));
    taffrail.wait_for_log("ListWorkspaces in eu-west-1: more than 100 pages");
}
