//! Line protocol in, by InfluxDB's endpoints.

use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::request;
use crate::harness::{Taffrail, recorded_host, wait_until};

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
    assert_eq!(gateway.post("/write?precision=s&precision=ns", "a value=1\n").status, 400);
    assert_eq!(gateway.send(&request("POST", "/write", "x").header("Content-Encoding", "gzip")).status, 400);
}

#[test]
fn a_point_without_a_time_has_one_of_the_requests_precision() {
    let gateway = Own::start("");
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    assert_eq!(gateway.post("/write?precision=h", "m value=1\n").status, 204);
    // It is newer than the hour's beginning.
    assert_eq!(gateway.post("/write", &format!("m value=2 {before}\n")).status, 204);
    assert_eq!(gateway.sample("m"), Some(2.0));
}

/// They would stay the newest of their series.
#[test]
fn a_time_that_influxdb_does_not_store_is_refused_and_freezes_no_series() {
    let gateway = Own::start("");
    for (precision, time) in [
        ("ns", "9223372036854775807"),
        ("ns", "-9223372036854775807"),
        ("u", "9223372036854776"),
        ("ms", "9223372036855"),
        ("s", "9223372037"),
        ("s", "-9223372037"),
        ("s", "1700000000000000000"),
        ("m", "153722867281"),
        ("h", "2562048"),
    ] {
        let written = gateway.post(&format!("/write?precision={precision}"), &format!("m g=1 {time}\nn g=1\n"));
        assert_eq!(written.status, 400, "{precision} {time}");
        let reason = "time outside range -9223372036854775806 - 9223372036854775806 dropped=1";
        assert!(written.body.contains(reason), "{written:?}");
    }
    assert_eq!((gateway.sample("m_g"), gateway.sample("n_g")), (None, Some(1.0)));
    assert_eq!(gateway.post("/write?precision=s", "m g=2 1700000000\n").status, 204);
    assert_eq!(gateway.sample("m_g"), Some(2.0));
}

/// `\\` in names and tags, control characters, signs, unsigned numbers, and the name of the timestamp.
#[test]
fn what_influxdb_takes_is_taken() {
    let gateway = Own::start("");
    for line in [
        "m1,host=two\\\\ words value=42\n",
        "m3,regions=eas\\\\ t value=1.0\n",
        "m4,a=\x01b value=1\n",
        "m5 value=1u\n",
        "m6 time=5,value=1\n",
    ] {
        let written = gateway.post("/write?db=x", line);
        assert_eq!(written.status, 204, "{line:?}: {written:?}");
    }
    assert_eq!(gateway.sample("m1{host=\"two\\\\ words\"}"), Some(42.0));
    for line in ["m,time=x value=1\n", "m time=1\n", "m value=+1\n", "m,a=b=c value=1\n", "m value=-1u\n"] {
        assert_eq!(gateway.post("/write?db=x", line).status, 400, "{line:?}");
    }
    assert!(!gateway.exposition().contains("m6_time"));
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
    // A client that pushes the name of a point gets it.
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
