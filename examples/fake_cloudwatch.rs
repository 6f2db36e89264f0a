//! An account of CloudWatch for benches/cloudwatch, benches/compare-yace and benches/compare-yace-examples.
//!
//! `fake_cloudwatch METRICS` has that many metrics of EC2. `fake_cloudwatch ACCOUNT` has those of a file of JSON:
//!
//! ```json
//! {"metrics": [{"Namespace": "AWS/SQS", "MetricName": "NumberOfMessagesSent", "Dimensions": [{"Name": "QueueName", "Value": "jobs"}]}],
//!  "resources": [{"ResourceARN": "arn:aws:sqs:eu-west-1:111122223333:jobs", "Tags": [{"Key": "Team", "Value": "shop"}]}],
//!  "paths": {"/restapis": {"item": [{"id": "r1", "name": "shop"}]}}}
//! ```
//!
//! It prints where it listens, and then of each request the operation, the access key, the namespace, and what it bills: the
//! metrics of GetMetricData, where up to five statistics of one are one, and one of each other operation of CloudWatch.
//! With the word `queries` behind the account, it prints instead of each metric that is asked for: `query`, the access key, the
//! region, and a list of JSON: namespace, metric, dimensions, statistic, period.

#[path = "../tests/harness/aws.rs"]
#[allow(dead_code, unreachable_pub)]
mod aws;
#[path = "../tests/harness/wire.rs"]
#[allow(dead_code, unreachable_pub)]
mod wire;

use std::collections::BTreeMap;

use aws::{Aws, Call, Reply};
use serde_json::{Value, json};

/// At most so many metrics are on a page of CloudWatch.
const PAGE: usize = 500;
/// At most so many statistics of a metric are billed as one.
const STATISTICS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1).ok_or("usage: fake_cloudwatch METRICS|ACCOUNT")?;
    let account = match argument.parse() {
        Ok(count) => {
            Account { metrics: (0..count).map(metric_of_ec2).collect(), resources: Vec::new(), paths: Value::Null }
        }
        Err(_) => Account::from_file(&argument)?,
    };
    let prints_queries = std::env::args().nth(2).is_some_and(|word| word == "queries");
    let aws = Aws::start(move |call| {
        let first = &call.input["MetricDataQueries"][0]["MetricStat"]["Metric"];
        let namespace = first["Namespace"].as_str().or(call.input["Namespace"].as_str()).unwrap_or("-");
        match prints_queries {
            true => {
                queries(call).iter().for_each(|query| println!("query {} {} {query}", call.access_key, call.region))
            }
            false => println!("{} {} {namespace:?} {}", call.operation, call.access_key, billed(call)),
        }
        account.reply(call)
    });
    println!("{}", aws.url());
    loop {
        std::thread::park();
    }
}

fn metric_of_ec2(index: usize) -> Value {
    let name = ["CPUUtilization", "NetworkIn"][index % 2];
    let dimension = json!({"Name": "InstanceId", "Value": format!("i-{:017x}", index / 2)});
    json!({"Namespace": "AWS/EC2", "MetricName": name, "Dimensions": [dimension]})
}

/// What a request bills: <https://aws.amazon.com/cloudwatch/pricing/>.
fn billed(call: &Call) -> usize {
    match call.operation.as_str() {
        "GetMetricData" => {
            let mut statistics: BTreeMap<String, usize> = BTreeMap::new();
            for query in call.input["MetricDataQueries"].as_array().into_iter().flatten() {
                let asked = &query["MetricStat"];
                *statistics.entry(format!("{} {}", asked["Metric"], asked["Period"])).or_default() += 1;
            }
            statistics.values().map(|count| count.div_ceil(STATISTICS)).sum()
        }
        "ListMetrics" | "GetMetricStatistics" => 1,
        _ => 0,
    }
}

/// What a request asks for: namespace, metric, dimensions, statistic and period of each query.
fn queries(call: &Call) -> Vec<Value> {
    let dimensions = |metric: &Value| {
        let pairs = metric["Dimensions"].as_array().into_iter().flatten();
        let pairs: BTreeMap<String, Value> =
            pairs.map(|pair| (pair["Name"].as_str().unwrap_or_default().to_owned(), pair["Value"].clone())).collect();
        json!(pairs)
    };
    let of = |metric: &Value, statistic: &Value, period: &Value| {
        json!([metric["Namespace"], metric["MetricName"], dimensions(metric), statistic, period])
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match call.operation.as_str() {
        "GetMetricData" => {
            let asked = list(&call.input["MetricDataQueries"]).into_iter().map(|query| query["MetricStat"].clone());
            asked.map(|asked| of(&asked["Metric"], &asked["Stat"], &asked["Period"])).collect()
        }
        "GetMetricStatistics" => {
            let statistics = ["Statistics", "ExtendedStatistics"].map(|key| list(&call.input[key])).concat();
            statistics.iter().map(|statistic| of(&call.input, statistic, &call.input["Period"])).collect()
        }
        _ => Vec::new(),
    }
}

/// Its metrics and resources, as the operations give them.
struct Account {
    metrics: Vec<Value>,
    resources: Vec<Value>,
    /// What REST APIs reply, by path.
    paths: Value,
}

impl Account {
    fn from_file(path: &str) -> Result<Account, Box<dyn std::error::Error>> {
        let account: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        let list = |name: &str| account[name].as_array().cloned().unwrap_or_default();
        Ok(Account { metrics: list("metrics"), resources: list("resources"), paths: account["paths"].clone() })
    }

    fn reply(&self, call: &Call) -> Reply {
        Reply::Output(match call.operation.as_str() {
            "ListMetrics" => self.list(call),
            "GetMetricData" => data(call),
            "GetResources" => self.resources(call),
            "ListAccountAliases" => return Reply::Raw(200, "text/xml".to_owned(), NO_ALIASES.into()),
            path if path.starts_with('/') => {
                let reply = self.paths[path].to_string();
                return Reply::Raw(200, "application/json".to_owned(), reply.into());
            }
            _ => json!({"Account": "111122223333"}),
        })
    }

    fn list(&self, call: &Call) -> Value {
        let is_wanted = |metric: &&Value| {
            let wanted =
                ["Namespace", "MetricName"].map(|key| call.input[key].is_null() || call.input[key] == metric[key]);
            wanted == [true, true]
        };
        let found: Vec<&Value> = self.metrics.iter().filter(is_wanted).collect();
        let first: usize = call.input["NextToken"].as_str().map_or(0, |token| token.parse().unwrap_or_default());
        let last = (first + PAGE).min(found.len());
        let token = if last < found.len() { json!(last.to_string()) } else { Value::Null };
        json!({"Metrics": found[first..last], "NextToken": token})
    }

    fn resources(&self, call: &Call) -> Value {
        let kinds: Vec<&str> =
            call.input["ResourceTypeFilters"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let is_wanted = |resource: &&Value| {
            let arn = resource["ResourceARN"].as_str().unwrap_or_default();
            kinds.is_empty() || kinds.iter().any(|kind| is_of_kind(arn, kind))
        };
        let found: Vec<&Value> = self.resources.iter().filter(is_wanted).collect();
        json!({"ResourceTagMappingList": found, "PaginationToken": ""})
    }
}

const NO_ALIASES: &str = "<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases/><IsTruncated>false</IsTruncated>\
                          </ListAccountAliasesResult></ListAccountAliasesResponse>";

/// Whether an ARN is of a type as `ec2:instance`, or of all of a service's, as `sqs`.
fn is_of_kind(arn: &str, kind: &str) -> bool {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, resource) = (parts.next().unwrap_or_default(), parts.nth(2).unwrap_or_default());
    match kind.split_once(':') {
        None => kind == service,
        Some((of, kind)) => {
            let rest = resource.trim_start_matches('/').strip_prefix(kind);
            of == service && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
        }
    }
}

/// Up to three datums of the newest periods for each query, each the length of what was asked for.
fn data(call: &Call) -> Value {
    let time = |key: &str| call.input[key].as_f64().unwrap_or_default() as i64;
    let result = |query: &Value| {
        let asked = &query["MetricStat"];
        let period = asked["Period"].as_i64().unwrap_or(300);
        let newest = (time("EndTime") - 1).div_euclid(period) * period;
        let times = (0..3).map(|back| newest - back * period).filter(|at| *at >= time("StartTime"));
        let times: Vec<i64> = times.collect();
        let value = asked["Metric"].to_string().len() as f64 + asked["Stat"].to_string().len() as f64 / 100.0;
        json!({"Id": query["Id"], "Timestamps": times, "Values": vec![value; times.len()], "StatusCode": "Complete"})
    };
    let queries = call.input["MetricDataQueries"].as_array().into_iter().flatten();
    json!({"MetricDataResults": queries.map(result).collect::<Vec<_>>()})
}
