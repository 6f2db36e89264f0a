//! What was put into moto comes out: by discovery, tags, roles, regions, pages, and late.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::scripted::{ENVIRONMENT, now};
use crate::harness::aws::{Aws, Call};
use crate::harness::python::{python, run};
use crate::harness::real::{Server, free_port};
use crate::harness::server::FakeInflux;
use crate::harness::{Taffrail, wait_until};

/// Python with moto.
fn moto() -> Command {
    static PYTHON: OnceLock<Box<dyn Fn() -> Command + Send + Sync>> = OnceLock::new();
    PYTHON.get_or_init(|| Box::new(python("moto", &["moto[server]==5.2.5", "boto3==1.44.5"])))()
}

/// A moto of its own, behind what speaks CBOR to it.
struct Moto {
    server: Server,
    aws: Aws,
}

/// One datum that was put.
#[derive(Debug)]
struct Put(Value);

impl Put {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }

    fn dimension(&self) -> (&str, &str) {
        let (name, value) = self.0["dimensions"].as_object().unwrap().iter().next().unwrap();
        (name, value.as_str().unwrap())
    }

    /// The series by yet-another-cloudwatch-exporter's names.
    fn series(&self, family: &str) -> String {
        let has_tags = !["Shop"].contains(&self.text("namespace"));
        let name = match (self.text("arn"), has_tags) {
            ("", true) => "global",
            ("", false) => self.text("namespace"),
            (arn, _) => arn,
        };
        let (dimension, value) = self.dimension();
        let (account, region) = (self.text("account"), self.text("region"));
        format!(
            "{family}{{account_id=\"{account}\",dimension_{dimension}=\"{value}\",name=\"{name}\",region=\"{region}\"}}"
        )
    }
}

impl Moto {
    fn start() -> Moto {
        let port = free_port();
        let mut command = moto();
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = Server::start(command, port, "/moto-api/data.json");
        let aws = Aws::before_moto(server.url.clone());
        Moto { server, aws }
    }

    fn seed(&self) -> Vec<Put> {
        let printed = run(moto().arg("seed.py").arg(&self.server.url).arg("all"));
        printed.lines().map(|line| Put(serde_json::from_str(line).unwrap())).collect()
    }

    fn put(&self, shelf: &str, at: i64, value: f64) {
        let (dimension, at, value) = (format!("Shelf={shelf}"), at.to_string(), value.to_string());
        run(moto().arg("seed.py").arg(&self.server.url).args([
            "put",
            "eu-west-1",
            "Shop",
            "Orders",
            &dimension,
            &at,
            &value,
        ]));
    }

    /// A job in both regions of the own account and of the other, by its role.
    fn job(&self, namespace: &str, settings: &str) -> String {
        format!(
            "[[collectors.cloudwatch]]\nendpoint_url = \"{}\"\nnamespace = \"{namespace}\"\n\
             regions = [\"eu-west-1\", \"us-east-2\"]\nperiod = \"1s\"\ninterval = \"2s\"\ndelay = \"0s\"\nwindow = \"4m\"\nmax_age = \"4m\"\n{settings}\n\
             [[collectors.cloudwatch.roles]]\nrole_arn = \"arn:aws:iam::123456789012:role/metrics\"\n\
             [[collectors.cloudwatch.roles]]\nrole_arn = \"arn:aws:iam::210987654321:role/metrics\"\nexternal_id = \"shop\"\n",
            self.aws.url()
        )
    }
}

fn start(config: &str) -> Taffrail {
    let config = format!("[collectors]\ndefault = false\n{config}");
    let taffrail = Taffrail::start_with_environment("run", &config, &["--listen", "127.0.0.1:0"], &ENVIRONMENT);
    taffrail.wait_for_log("listening on");
    taffrail
}

#[test]
#[ignore = "needs pip3: tests/run"]
fn with_python3_pip_and_moto_what_was_put_is_shown() {
    let families: BTreeMap<(&str, &str), &str> = [
        (("AWS/EC2", "CPUUtilization"), "aws_ec2_cpuutilization_average"),
        (("AWS/EC2", "NetworkIn"), "aws_ec2_network_in_average"),
        (("AWS/SQS", "ApproximateNumberOfMessagesVisible"), "aws_sqs_approximate_number_of_messages_visible_average"),
        (("AWS/RDS", "EBSIOBalance%"), "aws_rds_ebsiobalance_percent_average"),
        (("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"), "aws_applicationelb_httpcode_elb_5_xx_count_average"),
        (("AWS/Lambda", "Errors"), "aws_lambda_errors_average"),
        (("Shop", "Orders"), "aws_shop_orders_average"),
    ]
    .into();
    let moto = Moto::start();
    let put = moto.seed();
    assert_eq!(put.len(), 1300 + 3 * 3 + 2 * (110 + 3 * 2) + 4 * 4);
    let namespaces = ["AWS/EC2", "AWS/SQS", "AWS/RDS", "AWS/ApplicationELB", "AWS/Lambda", "Shop"];
    // moto goes over all data for each second that it is asked about.
    let by_seconds = "period = \"1s\"\ninterval = \"2s\"";
    let of = |namespace| moto.job(namespace, "").replace(by_seconds, "period = \"10s\"\ninterval = \"10s\"");
    let taffrail = start(&namespaces.map(of).concat());
    let exposition = wait_until("all series", || {
        let exposition = taffrail.get("/metrics");
        let are_all_there = put.iter().all(|put| {
            let family = families[&(put.text("namespace"), put.text("metric"))];
            exposition.sample(&put.series(family)).is_some()
        });
        are_all_there.then_some(exposition)
    });
    for put in &put {
        let series = put.series(families[&(put.text("namespace"), put.text("metric"))]);
        assert_eq!(exposition.sample(&series), put.0["value"].as_f64(), "{series}");
    }
    let shown = exposition.text().lines().filter(|line| families.values().any(|family| line.starts_with(family)));
    assert_eq!(shown.count(), put.len());
    let is_second_page = |call: &Call| call.input["PaginationToken"].as_str().is_some_and(|token| !token.is_empty());
    assert!(moto.aws.calls("GetResources").iter().any(is_second_page));
    assert!(moto.aws.calls("ListMetrics").iter().any(|call| call.input["NextToken"].is_string()));
    // The names of instances, by their tags.
    let instance = put.iter().find(|put| put.text("metric") == "CPUUtilization").unwrap();
    let info = format!(
        "aws_ec2_info{{account_id=\"{}\",name=\"{}\",region=\"{}\",tag_Name=\"web eu-west-1\"}}",
        instance.text("account"),
        instance.text("arn"),
        instance.text("region")
    );
    assert_eq!(exposition.sample(&info), Some(0.0));
    assert_eq!(taffrail.logged("WARN"), 0, "{:?}", taffrail.log());
}

#[test]
#[ignore = "needs pip3: tests/run"]
fn with_python3_pip_and_moto_what_is_late_is_pushed_once() {
    let moto = Moto::start();
    let base = now() - 20;
    moto.put("a", base, 1.0);
    let influx = FakeInflux::agreeable();
    let config = format!(
        "[agent]\ninterval = \"100ms\"\nflush_interval = \"100ms\"\nhostname = \"h\"\n\
         [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n{}",
        influx.url(),
        moto.job("Shop", "statistics = [\"Sum\"]")
    );
    let taffrail = start(&config);
    let points =
        || -> Vec<String> { influx.stored().into_iter().filter(|line| line.starts_with("cloudwatch_shop")).collect() };
    let wait_for = |count: usize| wait_until(&format!("{count} points"), || (points().len() >= count).then_some(()));
    wait_for(1);
    moto.put("a", base - 7, 0.5);
    wait_for(2);
    moto.put("a", base + 1, 2.0);
    wait_for(3);
    let asked = moto.aws.calls("GetMetricData").len();
    moto.aws.wait_for_calls("GetMetricData", asked + 3);
    let line = |at: i64, value: &str| {
        format!("cloudwatch_shop,account=123456789012,host=h,region=eu-west-1,shelf=a orders_sum={value} {at}000000000")
    };
    assert_eq!(points(), [line(base, "1"), line(base - 7, "0.5"), line(base + 1, "2")]);
    drop(taffrail);
}

#[test]
#[ignore = "needs pip3: tests/run"]
fn with_python3_pip_and_moto_what_the_sink_puts_the_collector_reads() {
    let moto = Moto::start();
    let sink = format!(
        "{}\n[agent]\ninterval = \"200ms\"\nhostname = \"h\"\n[[sinks.cloudwatch]]\nregion = \"eu-west-1\"\n\
         storage_resolution = \"1s\"\nendpoint_url = \"{}\"\nflush_interval = \"500ms\"\n",
        crate::harness::recorded_host(),
        moto.aws.url()
    );
    let puts = Taffrail::start_with_environment("run", &sink, &["--listen", "127.0.0.1:0"], &ENVIRONMENT);
    puts.wait_for_log("listening on");
    moto.aws.wait_for_calls("PutMetricData", 2);
    let reads = start(&moto.job("CWAgent", "metrics = [\"mem_used_percent\"]"));
    let series = "aws_cwagent_mem_used_percent_average{account_id=\"123456789012\",dimension_host=\"h\",name=\"CWAgent\",region=\"eu-west-1\"}";
    let read = wait_until(series, || reads.get("/metrics").sample(series));
    let text = puts.get("/metrics");
    let of = |name: &str| text.sample(&format!("node_memory_{name}_bytes")).unwrap();
    let expected = (of("MemTotal") - of("MemAvailable")) / of("MemTotal") * 100.0;
    assert!((read - expected).abs() < 1e-6, "{read} was read, {expected} put");
}
