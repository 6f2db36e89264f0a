//! Line protocol in, by InfluxDB's endpoints.

use super::harness::gateway::{Gateway, Own};
use super::harness::http::request;
use super::harness::{Taffrail, recorded_host, wait_until};

#[test]
fn points_are_served_to_prometheus() {
    let gateway = Own::start("");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let body = format!("cpu,host=a usage=1.5,idle=98i {now}\nweather value=t {now}\nlog text=\"x\" {now}\n");
    let written = gateway.post("/write?db=telegraf&precision=s", &body);
    assert_eq!(written.status, 204, "{written:?}");
    assert_eq!(gateway.sample("cpu_usage{host=\"a\"}"), Some(1.5));
    assert_eq!(gateway.sample("cpu_idle{host=\"a\"}"), Some(98.0));
    assert_eq!(gateway.sample("weather"), Some(1.0));
    assert_eq!(gateway.sample("taffrail_gateway_point_series"), Some(3.0));
    // What comes later but is older is not taken.
    let late = format!("cpu,host=a usage=9 {}\n", now - 60);
    assert_eq!(gateway.post("/api/v2/write?org=o&bucket=b&precision=s", &late).status, 204);
    assert_eq!(gateway.sample("cpu_usage{host=\"a\"}"), Some(1.5));
    assert_eq!(request("GET", "/ping", "").send(&gateway.address()).status, 204);
    assert!(gateway.post("/query", "q=CREATE+DATABASE+telegraf").body.contains("results"));
    assert!(request("GET", "/health", "").send(&gateway.address()).body.contains("\"status\":\"pass\""));
}

#[test]
fn what_is_wrong_is_told_as_influxdb_tells_it_and_the_rest_is_taken() {
    let gateway = Own::start("");
    let body = "a value=1\nb\nc value=2\nd x=y\n";
    let one = gateway.post("/write?db=x", body);
    assert_eq!(one.status, 400);
    assert_eq!(one.body, "{\"error\":\"partial write: unable to parse 'b': missing fields dropped=2\"}");
    assert!(one.header("x-influxdb-error").unwrap().starts_with("partial write"));
    let two = gateway.post("/api/v2/write", body);
    assert_eq!(
        two.body,
        "{\"code\":\"invalid\",\"message\":\"partial write: unable to parse 'b': missing fields dropped=2\"}"
    );
    assert_eq!((gateway.sample("a"), gateway.sample("c")), (Some(1.0), Some(2.0)));
    assert_eq!(gateway.sample("taffrail_gateway_points_total{outcome=\"dropped\"}"), Some(4.0));
    assert_eq!(gateway.post("/write?precision=y", "a value=1\n").status, 400);
    assert_eq!(gateway.send(&request("POST", "/write", "x").header("Content-Encoding", "gzip")).status, 400);
}

#[test]
fn points_and_pushes_are_in_nobodys_way() {
    let gateway = Own::start("point_ttl = \"1s\"\nmax_point_series = 2\n");
    assert_eq!(gateway.put("/metrics/job/a", "x 1\n").status, 200);
    for (line, says) in [
        ("x value=2\n", "x is the name of a family that was pushed"),
        ("taffrail_gateway groups=2\n", "or is the gateway's own"),
        ("push_time_seconds value=2\n", "push_time_seconds is the name"),
        ("m,__a=b value=1\n", "reserved label"),
        ("m value=1\nn value=1\no value=1\n", "max_point_series"),
    ] {
        let written = gateway.post("/write", line);
        assert!(written.status == 400 && written.body.contains(says), "{line}: {written:?}");
    }
    // Whoever pushes the name of a point has it.
    assert_eq!(gateway.put("/metrics/job/a", "# TYPE m gauge\nm 5\n").status, 200);
    let exposition = gateway.exposition();
    assert_eq!(exposition.matches("# TYPE m ").count(), 1);
    assert!(exposition.contains("m{instance=\"\",job=\"a\"} 5"));
    wait_until("the end of what was not renewed", || gateway.sample("n").is_none().then_some(()));
}

#[test]
fn another_taffrail_pushes_its_host() {
    let gateway = Own::start("");
    let config = format!(
        "{}[agent]\ninterval = \"1s\"\n[[sinks.influxdb]]\nurls = [\"http://{}\"]\ndatabase = \"telegraf\"\n",
        recorded_host(),
        gateway.address()
    );
    let _agent = Taffrail::start(&config);
    wait_until("a host's points", || gateway.exposition().contains("system_load1{host=").then_some(()));
    assert_eq!(gateway.sample("taffrail_gateway_points_total{outcome=\"dropped\"}"), Some(0.0));
}
