//! What AWS may do, done by a server of ours.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::aws::{Aws, Call, Reply};
use crate::harness::{Taffrail, wait_until};

impl Aws {
    /// Waits until there are `count` calls of an operation.
    pub(crate) fn wait_for_calls(&self, operation: &str, count: usize) -> Vec<Call> {
        wait_until(&format!("{count} calls of {operation}"), || {
            Some(self.calls(operation)).filter(|calls| calls.len() >= count)
        })
    }
}

/// Credentials that no server checks, and none of this machine's.
pub(crate) const ENVIRONMENT: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "AKIATEST"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
];

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A job of this namespace, with these settings besides.
pub(crate) fn job(aws: &Aws, settings: &str) -> String {
    format!(
        "[collectors]\ndefault = false\n[[collectors.cloudwatch]]\nendpoint_url = \"{}\"\nregions = [\"eu-west-1\"]\n\
         period = \"1s\"\ndelay = \"0s\"\nwindow = \"1m\"\nmax_age = \"1m\"\n{settings}\n",
        aws.url()
    )
}

/// A job that asks once: its interval does not pass while a test runs.
pub(crate) fn daily_job(aws: &Aws, settings: &str) -> String {
    let config = job(aws, settings).replace("period = \"1s\"", "period = \"1h\"\ninterval = \"1d\"");
    config.replace("\"1m\"", "\"1d\"")
}

pub(crate) fn start(config: &str) -> Taffrail {
    let taffrail = Taffrail::start_with_environment("run", config, &["--listen", "127.0.0.1:0"], &ENVIRONMENT);
    taffrail.wait_for_log("listening on");
    taffrail
}

/// The metrics of `names`, each of the instances `i-0`, `i-1`, …
pub(crate) fn metrics(names: &[&str], instances: usize) -> Vec<Value> {
    let metric = |name: &str, index: usize| {
        json!({"Namespace": "AWS/EC2", "MetricName": name,
            "Dimensions": [{"Name": "InstanceId", "Value": format!("i-{index}")}]})
    };
    (0..instances).flat_map(|index| names.iter().map(move |name| metric(name, index))).collect()
}

/// The results of all queries of a call, as `result` makes them of a query: times and values.
pub(crate) fn results(call: &Call, result: impl Fn(&Value) -> Vec<(i64, f64)>) -> Value {
    let each = |query: &Value| {
        let (times, values): (Vec<i64>, Vec<f64>) = result(query).into_iter().unzip();
        json!({"Id": query["Id"], "Label": "x", "Timestamps": times, "Values": values, "StatusCode": "Complete"})
    };
    let queries = call.input["MetricDataQueries"].as_array().unwrap();
    json!({"MetricDataResults": queries.iter().map(each).collect::<Vec<_>>(), "Messages": []})
}

/// An account in which everything is well, as far as `other` does not say otherwise.
pub(crate) fn account(
    listed: Vec<Value>,
    value: impl Fn(&Value) -> Vec<(i64, f64)> + Send + Sync + 'static,
) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    move |call| match call.operation.as_str() {
        "ListMetrics" => Reply::Output(json!({"Metrics": listed})),
        "GetMetricData" => Reply::Output(results(call, &value)),
        "GetResources" => Reply::Output(json!({"ResourceTagMappingList": [], "PaginationToken": ""})),
        "DescribeAlarms" => Reply::Output(json!({"MetricAlarms": [{"AlarmName": "cpu", "StateValue": "OK"}]})),
        "GetCallerIdentity" => Reply::Output(json!({"Account": "111122223333", "Arn": "arn:x", "UserId": "x"})),
        other => panic!("unexpected {other}"),
    }
}

pub(crate) const SERIES: &str =
    "{account_id=\"111122223333\",dimension_InstanceId=\"i-0\",name=\"global\",region=\"eu-west-1\"}";
pub(crate) const CPU: &str = "aws_ec2_cpuutilization_average";

/// Waits until the exposition has a series.
pub(crate) fn wait_for(taffrail: &Taffrail, series: &str) -> f64 {
    wait_until(series, || taffrail.get("/metrics").sample(series))
}

/// Waits until all that was asked for has come.
pub(crate) fn wait_until_up(taffrail: &Taffrail) {
    let series = "taffrail_cloudwatch_up{account_id=\"111122223333\",job=\"AWS/EC2\",region=\"eu-west-1\"}";
    wait_until(series, || taffrail.get("/metrics").sample(series).filter(|up| *up == 1.0));
}

/// The value of one of the job's own families.
pub(crate) fn own(taffrail: &Taffrail, family: &str, api: &str) -> f64 {
    let api = if api.is_empty() { String::new() } else { format!(",api=\"{api}\"") };
    let series = format!("{family}{{account_id=\"111122223333\"{api},job=\"AWS/EC2\",region=\"eu-west-1\"}}");
    taffrail.get("/metrics").sample(&series).unwrap_or_else(|| panic!("{series}"))
}

/// A name of a query: metric, instance, statistic.
pub(crate) fn asked(query: &Value) -> (String, String, String) {
    let (metric, text) = (&query["MetricStat"]["Metric"], |value: &Value| value.as_str().unwrap().to_owned());
    let instance = metric["Dimensions"][0]["Value"].as_str().unwrap_or_default().to_owned();
    (text(&metric["MetricName"]), instance, text(&query["MetricStat"]["Stat"]))
}

pub(crate) fn queries(call: &Call) -> &Vec<Value> {
    call.input["MetricDataQueries"].as_array().unwrap()
}

#[test]
fn what_is_there_is_shown_by_the_names_that_people_know() {
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 2), |_| vec![(now() - 2, 12.5)]));
    let taffrail = start(&job(&aws, "namespace = \"AWS/EC2\"\nstatistics = [\"Average\", \"p99.9\"]"));
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{SERIES}")), 12.5);
    let exposition = taffrail.get("/metrics");
    assert_eq!(exposition.sample(&format!("aws_ec2_cpuutilization_p99_9{SERIES}")), Some(12.5));
    assert!(exposition.text().contains("\n# TYPE aws_ec2_cpuutilization_average gauge\n"));
    let call = &aws.calls("GetMetricData")[0];
    assert_eq!((call.region.as_str(), call.access_key.as_str()), ("eu-west-1", "AKIATEST"));
    assert_eq!(queries(call)[0]["MetricStat"]["Period"], 1);
    let list = &aws.calls("ListMetrics")[0].input;
    assert_eq!((&list["Namespace"], &list["RecentlyActive"]), (&json!("AWS/EC2"), &json!("PT3H")));
}

/// The dashboards of cloudwatch_exporter.
#[test]
fn another_exporters_names_can_be_had_and_times_too() {
    let arn = "arn:aws:ec2:eu-west-1:111122223333:instance/i-0";
    let tagged = json!([{"ResourceARN": arn, "Tags": [{"Key": "Name", "Value": "web"}]}]);
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 1.0)]);
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "GetResources" => Reply::Output(json!({"ResourceTagMappingList": tagged, "PaginationToken": ""})),
        _ => plain(call),
    });
    let taffrail = start(&job(&aws, "namespace = \"AWS/EC2\"\nnaming = \"cloudwatch_exporter\"\ntimestamps = true"));
    let line = wait_until("a sample", || {
        let exposition = taffrail.get("/metrics");
        let line = exposition.text().lines().find(|line| line.starts_with("aws_ec2_cpuutilization_average{"));
        line.map(str::to_owned)
    });
    let (series, rest) = line.split_once("} ").unwrap();
    assert_eq!(series, "aws_ec2_cpuutilization_average{instance_id=\"i-0\",job=\"aws_ec2\"");
    let time: i64 = rest.split_once(' ').unwrap().1.parse().unwrap();
    assert!(time % 1000 == 0 && (now() - time / 1000) < 60, "{line}");
    let info = format!("aws_resource_info{{arn=\"{arn}\",instance_id=\"i-0\",job=\"aws_ec2\",tag_Name=\"web\"}}");
    assert_eq!(taffrail.get("/metrics").sample(&info), Some(1.0));
}

#[test]
fn tags_come_from_resources_and_choose_among_them() {
    let arn = |index: usize| format!("arn:aws:ec2:eu-west-1:111122223333:instance/i-{index}");
    let resource = move |index: usize, team: &str| {
        json!({"ResourceARN": arn(index), "Tags": [{"Key": "Name", "Value": format!("web {index}")},
            {"Key": "team:name", "Value": team}]})
    };
    let pages = [json!([resource(0, "shop")]), json!([resource(1, "search"), resource(2, "shipping")])];
    let plain = account(metrics(&["CPUUtilization"], 4), |_| vec![(now() - 2, 1.0)]);
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "GetResources" => {
            let page = usize::from(call.input["PaginationToken"] == "second");
            let token = ["second", ""][page];
            Reply::Output(json!({"ResourceTagMappingList": pages[page], "PaginationToken": token}))
        }
        _ => plain(call),
    });
    let settings = "namespace = \"AWS/EC2\"\ntags_on_metrics = [\"Name\"]\n\
        tags = { \"team:name\" = \"sh*\" }\ncustom_tags = { room = \"1\" }";
    let taffrail = start(&job(&aws, settings));
    let of = |index: usize| {
        format!(
            "{CPU}{{account_id=\"111122223333\",custom_tag_room=\"1\",dimension_InstanceId=\"i-{index}\",\
             name=\"{}\",region=\"eu-west-1\",tag_Name=\"web {index}\"}}",
            arn(index)
        )
    };
    assert_eq!(wait_for(&taffrail, &of(0)), 1.0);
    let exposition = taffrail.get("/metrics");
    assert_eq!((exposition.sample(&of(2)), exposition.sample(&of(1))), (Some(1.0), None));
    assert_eq!(exposition.text().lines().filter(|line| line.starts_with(CPU)).count(), 2);
    let info = "aws_ec2_info{account_id=\"111122223333\",custom_tag_room=\"1\",\
        name=\"arn:aws:ec2:eu-west-1:111122223333:instance/i-2\",region=\"eu-west-1\",tag_Name=\"web 2\",tag_team_name=\"shipping\"}";
    assert_eq!(exposition.sample(info), Some(0.0));
    let asked = &aws.calls("GetResources")[0].input;
    assert_eq!(asked["ResourceTypeFilters"], json!(["ec2:instance"]));
    assert_eq!(asked["TagFilters"], json!([{"Key": "team:name"}]));
    // As yet-another-cloudwatch-exporter's searchTags, which match anywhere.
    let settings = "namespace = \"AWS/EC2\"\nsearch_tags = { Name = \"[12]$\", \"team:name\" = \"p\" }";
    let taffrail = start(&job(&aws, settings));
    wait_until("the metric", || {
        let exposition = taffrail.get("/metrics");
        let shown = |index: usize| exposition.text().contains(&format!("dimension_InstanceId=\"i-{index}\""));
        ([0, 1, 2, 3].map(shown) == [false, false, true, false]).then_some(())
    });
}

#[test]
fn dimensions_and_names_choose_metrics() {
    let mut listed = metrics(&["CPUUtilization", "NetworkIn", "NetworkOut"], 12);
    listed.push(json!({"Namespace": "AWS/EC2", "MetricName": "NetworkIn", "Dimensions": []}));
    listed.push(json!({"Namespace": "AWS/EC2", "MetricName": "NetworkIn", "Dimensions": [
        {"Name": "InstanceId", "Value": "i-1"}, {"Name": "Disk", "Value": "a"}]}));
    let aws = Aws::start(account(listed, |_| vec![(now() - 2, 1.0)]));
    let settings =
        "namespace = \"AWS/EC2\"\nmetrics = [\"Network*\"]\ndimensions = { InstanceId = [\"i-1?\", \"i-3\"] }";
    let taffrail = start(&job(&aws, settings));
    let call = &aws.wait_for_calls("GetMetricData", 1)[0];
    let mut names: Vec<String> = queries(call).iter().map(asked).map(|(n, i, _)| n + &i).collect();
    names.sort();
    assert_eq!(
        names,
        ["NetworkIni-10", "NetworkIni-11", "NetworkIni-3", "NetworkOuti-10", "NetworkOuti-11", "NetworkOuti-3"]
    );
    assert_eq!(aws.calls("ListMetrics")[0].input["Dimensions"], json!([{"Name": "InstanceId"}]));
    drop(taffrail);
}

#[test]
fn what_is_given_is_not_looked_for() {
    let aws = Aws::start(account(Vec::new(), |_| vec![(now() - 2, 3.0)]));
    // Only percentiles: that has brought down others.
    let settings = "name = \"bill\"\nnamespace = \"AWS/Billing\"\nstatistics = [\"p50\"]\n\
        [[collectors.cloudwatch.static]]\nmetrics = [\"EstimatedCharges\"]\ndimensions = { Currency = \"USD\" }";
    let taffrail = start(&job(&aws, settings));
    let series = "aws_billing_estimated_charges_p50{account_id=\"111122223333\",dimension_Currency=\"USD\",\
        name=\"bill\",region=\"eu-west-1\"}";
    assert_eq!(wait_for(&taffrail, series), 3.0);
    assert!(aws.calls("ListMetrics").is_empty() && aws.calls("GetResources").is_empty());
}

#[test]
fn linked_accounts_are_asked_for_by_their_number() {
    let listed =
        json!({"Metrics": metrics(&["CPUUtilization"], 2), "OwningAccounts": ["111122223333", "444455556666"]});
    let plain =
        account(Vec::new(), |query| vec![(now() - 2, query["AccountId"].as_str().unwrap().parse::<f64>().unwrap())]);
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "ListMetrics" => Reply::Output(listed.clone()),
        _ => plain(call),
    });
    let taffrail = start(&job(&aws, "namespace = \"AWS/EC2\"\nlinked_accounts = true"));
    let series = format!("{CPU}{}", SERIES.replace("111122223333", "444455556666").replace("i-0", "i-1"));
    assert_eq!(wait_for(&taffrail, &series), 444_455_556_666.0);
    assert_eq!(taffrail.get("/metrics").sample(&format!("{CPU}{SERIES}")), Some(111_122_223_333.0));
    assert_eq!(aws.calls("ListMetrics")[0].input["IncludeLinkedAccounts"], true);
}

#[test]
fn a_metric_without_a_datum_is_absent_or_stands_for_one_as_told() {
    for (setting, expected) in [("", None), ("missing = \"nan\"", Some("NaN")), ("missing = \"zero\"", Some("0"))] {
        let some = |query: &Value| if asked(query).1 == "i-1" { vec![(now() - 2, 5.0)] } else { Vec::new() };
        let aws = Aws::start(account(metrics(&["CPUUtilization"], 2), some));
        let taffrail = start(&job(&aws, &format!("namespace = \"AWS/EC2\"\n{setting}")));
        wait_for(&taffrail, &format!("{CPU}{}", SERIES.replace("i-0", "i-1")));
        let exposition = taffrail.get("/metrics");
        let value = exposition.text().lines().find_map(|line| line.strip_prefix(&format!("{CPU}{SERIES} ")));
        assert_eq!(value, expected, "{setting}");
    }
}

#[test]
fn a_role_is_assumed_with_its_external_id_and_its_account_is_told() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]);
    let aws = Aws::start(move |call| {
        if call.operation != "AssumeRole" {
            return plain(call);
        }
        let xml = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>\
            <SecretAccessKey>x</SecretAccessKey><SessionToken>y</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
            </Credentials></AssumeRoleResult></AssumeRoleResponse>";
        Reply::Raw(200, "text/xml".to_owned(), xml.as_bytes().to_vec())
    });
    let role = "[[collectors.cloudwatch.roles]]\nrole_arn = \"arn:aws:iam::444455556666:role/read\"\n\
        external_id = \"shop\"\nsession_name = \"tests\"";
    let taffrail = start(&job(&aws, &format!("namespace = \"AWS/EC2\"\n{role}")));
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{}", SERIES.replace("111122223333", "444455556666"))), 4.0);
    let assumed = &aws.calls("AssumeRole")[0];
    assert_eq!(assumed.access_key, "AKIATEST");
    assert_eq!(assumed.input["RoleArn"], "arn:aws:iam::444455556666:role/read");
    assert_eq!((&assumed.input["ExternalId"], &assumed.input["RoleSessionName"]), (&json!("shop"), &json!("tests")));
    assert!(aws.calls("GetMetricData").iter().all(|call| call.access_key == "ASIAROLE"));
    assert!(aws.calls("GetCallerIdentity").is_empty(), "the role tells whose account it is");
}

#[test]
fn a_profile_has_its_own_credentials_and_region() {
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let profile = "[profile metrics]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = x\nregion = us-west-2\n";
    std::fs::write(&file, profile).unwrap();
    let mut environment = ENVIRONMENT.to_vec();
    environment.retain(|(name, _)| !name.contains("ACCESS_KEY") && *name != "AWS_CONFIG_FILE");
    environment.push(("AWS_CONFIG_FILE", file.to_str().unwrap()));
    let config = job(&aws, "namespace = \"AWS/EC2\"\nprofile = \"metrics\"").replace("regions = [\"eu-west-1\"]\n", "");
    let taffrail = Taffrail::start_with_environment("run", &config, &["--listen", "127.0.0.1:0"], &environment);
    taffrail.wait_for_log("listening on");
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{}", SERIES.replace("eu-west-1", "us-west-2"))), 4.0);
    let call = &aws.calls("GetMetricData")[0];
    assert_eq!((call.access_key.as_str(), call.region.as_str()), ("AKIAPROFILE", "us-west-2"));
}

#[test]
fn one_reading_waits_for_what_is_far_away() {
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taffrail.toml");
    std::fs::write(&file, job(&aws, "namespace = \"AWS/EC2\"")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_taffrail"));
        let output = command.args(arguments).args(["--config", file.to_str().unwrap()]).envs(ENVIRONMENT).output();
        crate::harness::printed(&output.unwrap()).0
    };
    let printed = run(&["print", "--format", "openmetrics"]);
    assert!(printed.contains(&format!("\n{CPU}{SERIES} 4\n")), "{printed}");
    let listed = run(&["collectors"]);
    assert!(listed.contains("AWS/EC2: Average of AWS/EC2 in eu-west-1, every 1s"), "{listed}");
}

/// As a pod of EKS has them.
#[test]
fn a_web_identity_is_a_way_to_ask() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]);
    let aws = Aws::start(move |call| {
        if call.operation != "AssumeRoleWithWebIdentity" {
            return plain(call);
        }
        let xml = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
            <AccessKeyId>ASIAPOD</AccessKeyId><SecretAccessKey>x</SecretAccessKey><SessionToken>y</SessionToken>\
            <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
            </AssumeRoleWithWebIdentityResponse>";
        Reply::Raw(200, "text/xml".to_owned(), xml.as_bytes().to_vec())
    });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a token of the cluster").unwrap();
    let mut environment = ENVIRONMENT.to_vec();
    environment.retain(|(name, _)| !name.contains("ACCESS_KEY"));
    let url = aws.url();
    environment.extend([
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/pod"),
        ("AWS_ENDPOINT_URL_STS", &url),
    ]);
    let config = job(&aws, "namespace = \"AWS/EC2\"");
    let taffrail = Taffrail::start_with_environment("run", &config, &["--listen", "127.0.0.1:0"], &environment);
    taffrail.wait_for_log("listening on");
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{SERIES}")), 4.0);
    assert_eq!(aws.calls("AssumeRoleWithWebIdentity")[0].input["WebIdentityToken"], "a token of the cluster");
    assert!(aws.calls("GetMetricData").iter().all(|call| call.access_key == "ASIAPOD"));
}

#[test]
fn metrics_of_one_job_can_have_statistics_periods_and_defaults_of_their_own() {
    let value = |query: &Value| match asked(query) {
        (name, ..) if name == "Errors" => Vec::new(),
        _ => vec![(now() / 5 * 5 - 5, query["MetricStat"]["Period"].as_f64().unwrap())],
    };
    let aws = Aws::start(account(metrics(&["CPUUtilization", "Errors", "NetworkIn"], 1), value));
    let settings = "namespace = \"AWS/EC2\"\n[[collectors.cloudwatch.overrides]]\nmetrics = [\"Network*\"]\n\
        statistics = [\"Sum\", \"p90\"]\nperiod = \"5s\"\n[[collectors.cloudwatch.overrides]]\nmetrics = \"Errors\"\nmissing = \"zero\"";
    let taffrail = start(&job(&aws, settings));
    for (name, expected) in
        [(CPU, 1.0), ("aws_ec2_network_in_sum", 5.0), ("aws_ec2_network_in_p90", 5.0), ("aws_ec2_errors_average", 0.0)]
    {
        assert_eq!(wait_for(&taffrail, &format!("{name}{SERIES}")), expected, "{name}");
    }
    assert!(!taffrail.get("/metrics").text().contains("network_in_average"));
    for call in aws.calls("GetMetricData") {
        let periods: Vec<_> = queries(&call).iter().map(|query| &query["MetricStat"]["Period"]).collect();
        assert!(periods.iter().all(|period| *period == periods[0]), "{periods:?}");
    }
}
