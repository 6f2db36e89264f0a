//! Series that stay apart: dimensions beside tags, regions and resources.

use serde_json::{Value, json};

use super::scripted::{account, job, now, results, start, wait_for};
use crate::harness::aws::{Aws, Call, Reply};
use crate::harness::server::FakeInflux;
use crate::harness::wait_until;

fn metric(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Value {
    let dimensions: Vec<Value> = dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    json!({"Namespace": namespace, "MetricName": name, "Dimensions": dimensions})
}

/// An account with these resources: ARN and tag `Name`.
fn with_resources(
    plain: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    resources: &'static [(&'static str, &'static str)],
) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    let resource = |(arn, name): &(&str, &str)| json!({"ResourceARN": arn, "Tags": [{"Key": "Name", "Value": name}]});
    let listed: Vec<Value> = resources.iter().map(resource).collect();
    move |call| match call.operation.as_str() {
        "GetResources" => Reply::Output(json!({"ResourceTagMappingList": listed, "PaginationToken": ""})),
        _ => plain(call),
    }
}

#[test]
fn a_dimension_called_region_is_beside_the_region_in_both_vocabularies() {
    let regions = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1"];
    let of = |region: &&str| metric("AWS/Route53", "ConnectionTime", &[("HealthCheckId", "hc-1"), ("Region", region)]);
    let value = move |query: &Value| {
        let region = query["MetricStat"]["Metric"]["Dimensions"][1]["Value"].as_str().unwrap();
        let index = regions.iter().position(|own| *own == region).unwrap();
        vec![(now() - 2, 10.0 + index as f64)]
    };
    let aws = Aws::start(account(regions.iter().map(of).collect(), value));
    let influx = FakeInflux::agreeable();
    let config = format!(
        "[agent]\ninterval = \"1s\"\nflush_interval = \"100ms\"\nhostname = \"h\"\n{}\n\
         [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
        job(&aws, "namespace = \"AWS/Route53\""),
        influx.url()
    );
    let taffrail = start(&config);
    for (index, region) in regions.iter().enumerate() {
        let series = format!(
            "aws_route53_connection_time_average{{account_id=\"111122223333\",dimension_HealthCheckId=\"hc-1\",\
             dimension_Region=\"{region}\",name=\"global\",region=\"eu-west-1\"}}"
        );
        assert_eq!(wait_for(&taffrail, &series), 10.0 + index as f64);
        let point = format!(
            "cloudwatch_aws_route53,dimension_region={region},health_check_id=hc-1,host=h,region=eu-west-1 \
             connection_time_average=1{index} "
        );
        wait_until(&point, || influx.stored().iter().any(|line| line.starts_with(&point)).then_some(()));
    }
}

#[test]
fn regions_stay_apart_under_the_names_of_cloudwatch_exporter() {
    let listed = vec![metric("AWS/SQS", "NumberOfMessagesSent", &[("QueueName", "jobs")])];
    let plain = account(listed, |_| vec![(now() - 2, 1.0)]);
    let aws = Aws::start(with_resources(plain, &[("arn:aws:sqs:eu-west-1:111122223333:jobs", "the jobs")]));
    let settings = "namespace = \"AWS/SQS\"\nnaming = \"cloudwatch_exporter\"\ntags_on_metrics = [\"Name\"]\n\
        custom_tags = { team = \"shop\" }";
    let two = job(&aws, settings).replace("[\"eu-west-1\"]", "[\"eu-west-1\", \"us-east-1\"]");
    let taffrail = start(&two);
    for region in ["eu-west-1", "us-east-1"] {
        let labels = format!("custom_tag_team=\"shop\",job=\"aws_sqs\",queue_name=\"jobs\",region=\"{region}\"");
        wait_for(&taffrail, &format!("aws_sqs_number_of_messages_sent_average{{{labels},tag_Name=\"the jobs\"}}"));
        let info = format!(
            "aws_resource_info{{arn=\"arn:aws:sqs:eu-west-1:111122223333:jobs\",{labels},tag_Name=\"the jobs\"}}"
        );
        assert_eq!(taffrail.get("/metrics").sample(&info), Some(1.0));
    }
}

#[test]
fn a_target_group_has_its_own_tags_whatever_is_listed_first() {
    const BALANCER: (&str, &str) =
        ("arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/web/50dc", "the-balancer");
    const TARGET_GROUP: (&str, &str) =
        ("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/tg/73e2", "the-target-group");
    let dimensions = [("LoadBalancer", "app/web/50dc"), ("TargetGroup", "targetgroup/tg/73e2")];
    const ORDERS: [&[(&str, &str)]; 2] = [&[BALANCER, TARGET_GROUP], &[TARGET_GROUP, BALANCER]];
    for order in ORDERS {
        let plain =
            account(vec![metric("AWS/ApplicationELB", "HealthyHostCount", &dimensions)], |_| vec![(now() - 2, 1.0)]);
        let aws = Aws::start(with_resources(plain, order));
        let taffrail = start(&job(&aws, "namespace = \"AWS/ApplicationELB\"\ntags_on_metrics = [\"Name\"]"));
        let series = format!(
            "aws_applicationelb_healthy_host_count_average{{account_id=\"111122223333\",\
             dimension_LoadBalancer=\"app/web/50dc\",dimension_TargetGroup=\"targetgroup/tg/73e2\",name=\"{}\",\
             region=\"eu-west-1\",tag_Name=\"the-target-group\"}}",
            TARGET_GROUP.0
        );
        assert_eq!(wait_for(&taffrail, &series), 1.0);
    }
}

/// An account for each role that is assumed: its access key is that of the role.
fn with_roles(
    plain: impl Fn(&Call) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    move |call| {
        if call.operation != "AssumeRole" {
            return plain(call);
        }
        let account = call.input["RoleArn"].as_str().unwrap().split(':').nth(4).unwrap();
        let xml = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA{account}</AccessKeyId>\
             <SecretAccessKey>x</SecretAccessKey><SessionToken>y</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        Reply::Raw(200, "text/xml".to_owned(), xml.into_bytes())
    }
}

#[test]
fn accounts_stay_apart_under_the_names_of_cloudwatch_exporter_in_one_job_or_two() {
    const ACCOUNTS: [(&str, f64); 2] = [("444455556666", 4.0), ("777788889999", 7.0)];
    let role = |(account, _): (&str, f64)| {
        format!("\n[[collectors.cloudwatch.roles]]\nrole_arn = \"arn:aws:iam::{account}:role/metrics\"")
    };
    let listed = vec![metric("AWS/SQS", "NumberOfMessagesSent", &[("QueueName", "jobs")])];
    let plain = with_roles(account(listed, |_| Vec::new()));
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "GetMetricData" => {
            let value = ACCOUNTS.iter().find(|(account, _)| call.access_key.ends_with(account)).unwrap().1;
            Reply::Output(results(call, |_| vec![(now() - 2, value)]))
        }
        _ => plain(call),
    });
    let settings = "namespace = \"AWS/SQS\"\nnaming = \"cloudwatch_exporter\"";
    let one_job = job(&aws, &format!("{settings}{}", ACCOUNTS.map(role).concat()));
    let of = |name: &str, account| job(&aws, &format!("{settings}\nname = \"{name}\"{}", role(account)));
    let two_jobs = of("a", ACCOUNTS[0]) + &of("b", ACCOUNTS[1]).replace("[collectors]\ndefault = false\n", "");
    for config in [one_job, two_jobs] {
        let influx = FakeInflux::agreeable();
        let sink = format!(
            "[agent]\ninterval = \"1s\"\nflush_interval = \"100ms\"\nhostname = \"h\"\n\
             [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
            influx.url()
        );
        let taffrail = start(&(config + &sink));
        for (account, value) in ACCOUNTS {
            let series = format!(
                "aws_sqs_number_of_messages_sent_average{{account_id=\"{account}\",job=\"aws_sqs\",queue_name=\"jobs\"}}"
            );
            assert_eq!(wait_for(&taffrail, &series), value);
            let point = format!(
                "cloudwatch_aws_sqs,account={account},host=h,queue_name=jobs,region=eu-west-1 \
                 number_of_messages_sent_average={value} "
            );
            wait_until(&point, || influx.stored().iter().any(|line| line.starts_with(&point)).then_some(()));
        }
        let exposition = taffrail.get("/metrics");
        let samples = exposition.text().lines().filter(|line| line.starts_with("aws_sqs_"));
        assert_eq!(samples.count(), ACCOUNTS.len(), "{}", exposition.text());
    }
}

#[test]
fn jobs_that_ask_for_the_same_metric_show_it_once() {
    let listed = vec![metric("AWS/SQS", "NumberOfMessagesSent", &[("QueueName", "jobs")])];
    let aws = Aws::start(account(listed, |_| vec![(now() - 2, 1.0)]));
    let of = |name: &str, more: &str| job(&aws, &format!("namespace = \"AWS/SQS\"\nname = \"{name}\"\n{more}"));
    let second = of("b", "metrics = [\"Number*\"]").replace("[collectors]\ndefault = false\n", "");
    let taffrail = start(&(of("a", "") + &second));
    let up =
        |job: &str| format!("taffrail_cloudwatch_up{{account_id=\"111122223333\",job=\"{job}\",region=\"eu-west-1\"}}");
    wait_until("both jobs", || {
        let exposition = taffrail.get("/metrics");
        ["a", "b"].iter().all(|job| exposition.sample(&up(job)) == Some(1.0)).then_some(())
    });
    let exposition = taffrail.get("/metrics");
    let samples = exposition.text().lines().filter(|line| line.starts_with("aws_sqs_number"));
    assert_eq!(samples.count(), 1, "{}", exposition.text());
}
