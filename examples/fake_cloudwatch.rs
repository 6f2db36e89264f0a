//! An account of CloudWatch with as many metrics as are wanted, for benches/cloudwatch.
//!
//! `fake_cloudwatch METRICS` prints where it listens, and then the name of every operation that it is asked for.

#[path = "../tests/cloudwatch/aws.rs"]
#[allow(dead_code)]
mod aws;
#[path = "../tests/harness/wire.rs"]
#[allow(dead_code, unreachable_pub)]
mod wire;

mod harness {
    pub(crate) use crate::wire;
}

use aws::{Aws, Call, Reply};
use serde_json::{Value, json};

/// What CloudWatch lists in a page, at the most.
const PAGE: usize = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).ok_or("usage: fake_cloudwatch METRICS")?.parse()?;
    let aws = Aws::start(move |call| {
        println!("{}", call.operation);
        Reply::Output(match call.operation.as_str() {
            "ListMetrics" => list(call, count),
            "GetMetricData" => data(call),
            "GetResources" => json!({"ResourceTagMappingList": [], "PaginationToken": ""}),
            _ => json!({"Account": "111122223333"}),
        })
    });
    println!("{}", aws.url());
    loop {
        std::thread::park();
    }
}

fn list(call: &Call, count: usize) -> Value {
    let first: usize = call.input["NextToken"].as_str().map_or(0, |token| token.parse().unwrap_or_default());
    let last = (first + PAGE).min(count);
    let metric = |index: usize| {
        let name = ["CPUUtilization", "NetworkIn"][index % 2];
        json!({"Namespace": "AWS/EC2", "MetricName": name,
            "Dimensions": [{"Name": "InstanceId", "Value": format!("i-{:017x}", index / 2)}]})
    };
    let token = if last < count { json!(last.to_string()) } else { Value::Null };
    json!({"Metrics": (first..last).map(metric).collect::<Vec<_>>(), "NextToken": token})
}

/// Three datums of five minutes for each query.
fn data(call: &Call) -> Value {
    let end = call.input["EndTime"].as_f64().unwrap_or_default() as i64;
    let times: Vec<i64> = (1..=3).map(|period| end - period * 300).collect();
    let result = |query: &Value| json!({"Id": query["Id"], "Timestamps": times, "Values": [1.5, 2.5, 3.5], "StatusCode": "Complete"});
    let queries = call.input["MetricDataQueries"].as_array().into_iter().flatten();
    json!({"MetricDataResults": queries.map(result).collect::<Vec<_>>()})
}
