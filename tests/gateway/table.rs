//! What gateways are asked, and what they answer: one table for Taffrail and for Pushgateway.

use std::io::Write;

use crate::harness::http::{Framing, Request, request};

/// A sequence of requests to a gateway that has just been started.
pub(crate) struct Case {
    pub name: &'static str,
    pub requests: Vec<Request>,
    /// The statuses of Taffrail's answers.
    pub statuses: Vec<u16>,
    /// What the last answer's body holds.
    pub says: &'static str,
    /// Lines that the exposition holds afterwards.
    pub shows: Vec<&'static str>,
    pub pushgateway: Theirs,
}

/// What Pushgateway makes of it.
pub(crate) enum Theirs {
    /// The same answers and the same exposition.
    Same,
    /// Something else, for which there is a reason, with these statuses; 0 is an exposition that cannot be had.
    Differs(&'static str, Vec<u16>),
}

impl Case {
    fn new(name: &'static str, requests: &[Request], statuses: &[u16]) -> Case {
        let (requests, statuses) = (requests.to_vec(), statuses.to_vec());
        Case { name, requests, statuses, says: "", shows: Vec::new(), pushgateway: Theirs::Same }
    }

    fn says(mut self, fragment: &'static str) -> Case {
        self.says = fragment;
        self
    }

    fn shows(mut self, lines: &[&'static str]) -> Case {
        self.shows = lines.to_vec();
        self
    }

    /// Pushgateway answers otherwise.
    fn unlike(mut self, why: &'static str, statuses: &[u16]) -> Case {
        self.pushgateway = Theirs::Differs(why, statuses.to_vec());
        self
    }
}

fn put(target: &str, body: &str) -> Request {
    request("PUT", target, body)
}

fn post(target: &str, body: &str) -> Request {
    request("POST", target, body)
}

fn get(target: &str) -> Request {
    request("GET", target, "")
}

fn delete(target: &str) -> Request {
    request("DELETE", target, "")
}

const DELIMITED: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A gauge `name` of 1 as a delimited message.
fn protobuf_gauge(name: &str) -> Vec<u8> {
    let mut message = vec![0x0a, name.len() as u8];
    message.extend(name.bytes());
    message.extend([0x18, 1, 0x22, 11, 0x12, 9, 0x09]);
    message.extend(1f64.to_le_bytes());
    let mut delimited = vec![message.len() as u8];
    delimited.extend(message);
    delimited
}

/// A histogram `h` of schema 3 with native buckets of 1, -4 and -4 observations.
fn native_histogram_below_zero() -> Vec<u8> {
    let histogram = [0x28, 6, 0x62, 4, 8, 0, 16, 3, 0x6a, 3, 2, 9, 0];
    let length = histogram.len() as u8;
    let mut message = vec![0x0a, 1, b'h', 0x18, 4, 0x22, length + 2, 0x3a, length];
    message.extend(histogram);
    let mut delimited = vec![message.len() as u8];
    delimited.extend(message);
    delimited
}

fn put_protobuf(target: &str, body: Vec<u8>) -> Request {
    request("PUT", target, body).header("Content-Type", DELIMITED)
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn put_packed(target: &str, encoding: &str, body: Vec<u8>) -> Request {
    request("PUT", target, body).header("Content-Encoding", encoding)
}

/// Everything.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = groups();
    for more in [keys(), texts(), packings(), checks(), endpoints(), wrong_there()] {
        cases.extend(more);
    }
    cases
}

fn groups() -> Vec<Case> {
    let two = "x{a=\"1\"} 1\nx{a=\"2\"} 2\ny 3\n";
    vec![
        Case::new(
            "PUT replaces everything",
            &[put("/metrics/job/a", two), put("/metrics/job/a", "z 4\n")],
            &[200, 200],
        )
        .shows(&["z{instance=\"\",job=\"a\"} 4"]),
        Case::new(
            "POST replaces families by name",
            &[post("/metrics/job/a", two), post("/metrics/job/a", "x{a=\"3\"} 4\n")],
            &[200, 200],
        )
        .shows(&["x{a=\"3\",instance=\"\",job=\"a\"} 4", "y{instance=\"\",job=\"a\"} 3"]),
        Case::new("an empty PUT empties", &[put("/metrics/job/a", two), put("/metrics/job/a", "")], &[200, 200])
            .shows(&["push_time_seconds{instance=\"\",job=\"a\"} T"]),
        Case::new(
            "an empty POST touches",
            &[put("/metrics/job/a", two), post("/metrics/job/a", "# only this\n")],
            &[200, 200],
        ),
        Case::new("a head alone is nothing", &[put("/metrics/job/a", "# HELP a A.\n# TYPE a gauge\n")], &[200]),
        Case::new(
            "DELETE ends that group alone",
            &[put("/metrics/job/a", two), put("/metrics/job/a/l/1", "w 1\n"), delete("/metrics/job/a")],
            &[200, 200, 202],
        )
        .shows(&["w{instance=\"\",job=\"a\",l=\"1\"} 1"]),
        Case::new("DELETE of nothing", &[delete("/metrics/job/none")], &[202]),
        Case::new(
            "DELETE with a body",
            &[put("/metrics/job/a", two), request("DELETE", "/metrics/job/a", "what?")],
            &[200, 202],
        ),
        Case::new(
            "the group's labels win",
            &[put("/metrics/job/a/host/h", "x{job=\"evil\",host=\"evil\",instance=\"i\"} 1\n")],
            &[200],
        )
        .shows(&["x{host=\"h\",instance=\"i\",job=\"a\"} 1"]),
        Case::new(
            "markers that are pushed are not taken",
            &[put("/metrics/job/a", "# TYPE push_time_seconds counter\npush_time_seconds 7\nx 1\n")],
            &[200],
        ),
        Case::new(
            "a refused push marks the group",
            &[put("/metrics/job/a", "x 1\n"), put("/metrics/job/b", "# TYPE x counter\nx 1\n")],
            &[200, 400],
        )
        .says("pushed metrics are invalid or inconsistent with existing metrics")
        .shows(&[
            "push_time_seconds{instance=\"\",job=\"b\"} 0",
            "push_failure_time_seconds{instance=\"\",job=\"b\"} T",
        ]),
        Case::new("an unreadable push marks nothing", &[put("/metrics/job/a", "x{ 1\n")], &[400]),
        Case::new(
            "a group may change a type that is its own alone",
            &[put("/metrics/job/a", "# TYPE x gauge\nx 1\n"), put("/metrics/job/a", "# TYPE x counter\nx 1\n")],
            &[200, 200],
        ),
        Case::new(
            "families may have different labels",
            &[put("/metrics/job/a", "x{a=\"1\"} 1\nx{b=\"1\"} 1\n"), put("/metrics/job/b", "x 1\n")],
            &[200, 200],
        ),
        Case::new("le of a group", &[put("/metrics/job/a/le/1/quantile/2", "x 1\n")], &[200]),
    ]
}

fn keys() -> Vec<Case> {
    let key = |name, path: &'static str| Case::new(name, &[put(path, "x 1\n")], &[200]);
    let bad = |name, path: &'static str, says| Case::new(name, &[put(path, "x 1\n")], &[400]).says(says);
    vec![
        key("base64", "/metrics/job@base64/Zm9v").shows(&["x{instance=\"\",job=\"foo\"} 1"]),
        key("base64 padded", "/metrics/job@base64/Zm8="),
        key("base64 padded beyond measure", "/metrics/job@base64/Zm8====="),
        key("base64 unpadded", "/metrics/job@base64/Zm8"),
        key("base64 of a path", "/metrics/job/x/path@base64/L3Zhci90bXA")
            .shows(&["x{instance=\"\",job=\"x\",path=\"/var/tmp\"} 1"]),
        key("an empty value", "/metrics/job/x/instance@base64/="),
        key("a plus is a plus", "/metrics/job/sp%20ace+plus").shows(&["x{instance=\"\",job=\"sp ace+plus\"} 1"]),
        key("a slash at the end", "/metrics/job/foo/"),
        key("an instance", "/metrics/job/foo/instance/i").shows(&["x{instance=\"i\",job=\"foo\"} 1"]),
        key("the first job wins", "/metrics/job/foo/job/bar"),
        key("the last label wins", "/metrics/job/foo/l/1/l/2"),
        Case::new(
            "the order is nothing",
            &[put("/metrics/job/a/b/1/c/2", "x 1\n"), put("/metrics/job/a/c/2/b/1", "x 2\n")],
            &[200, 200],
        )
        .shows(&["x{b=\"1\",c=\"2\",instance=\"\",job=\"a\"} 2"]),
        key("unicode", "/metrics/job/%E2%98%83"),
        bad("no job", "/metrics/job@base64/=", "job name is required"),
        bad("half a pair", "/metrics/job/a/b", "odd number of components in label string"),
        bad("a name with a dash", "/metrics/job/a/a-b/c", "improper label name \"a-b\""),
        bad("a name with a digit", "/metrics/job/a/1a/c", "improper label name \"1a\""),
        bad("a reserved name", "/metrics/job/a/__b/c", "improper label name \"__b\""),
        bad("what is not base64", "/metrics/job/x/l@base64/!!", "invalid base64 encoding for label l=\"!!\": "),
        bad("a job that is not base64", "/metrics/job@base64/!!", "invalid base64 encoding in job name"),
        Case::new("an empty value is no value", &[put("/metrics/job/foo/l/", "x 1\n")], &[200])
            .shows(&["x{instance=\"\",job=\"foo\"} 1"])
            .unlike("l=\"\" is shown, and makes another group, which Prometheus cannot tell from that without", &[200]),
        Case::new("a slash in a value", &[put("/metrics/job/a%2Fb", "x 1\n")], &[200])
            .shows(&["x{instance=\"\",job=\"a/b\"} 1"])
            .unlike("the path is decoded before it is split, so npm's client cannot push what has a slash", &[400]),
        Case::new("two slashes", &[put("//metrics/job/a", "x 1\n")], &[200])
            .shows(&["x{instance=\"\",job=\"a\"} 1"])
            .unlike("a redirect, which clients follow with GET: the push is lost, and nobody is told", &[301]),
        Case::new("a job in capitals", &[put("/metrics/JOB/x", "x 1\n")], &[404])
            .unlike("a redirect, to a job that was not named", &[307]),
        Case::new("a job without a name", &[put("/metrics/job/", "x 1\n")], &[404])
            .unlike("a redirect to /metrics/job, which is 404", &[307]),
        Case::new("no job at all", &[put("/metrics/job", "x 1\n")], &[404]),
        Case::new("an escaped name", &[put("/metrics/job/a/U__b_2e_c/d", "x 1\n")], &[200]),
    ]
}

fn texts() -> Vec<Case> {
    let good = |name, body: &'static str| Case::new(name, &[put("/metrics/job/a", body)], &[200]);
    let bad = |name, body: &'static str| Case::new(name, &[put("/metrics/job/a", body)], &[400]);
    vec![
        good(
            "types",
            "# HELP c A \\\\ and \\n.\n# TYPE c counter\nc 1\n# TYPE g gauge\ng -1\n# TYPE u untyped\nu 0.5\n",
        ),
        good("a summary", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.9\"} 2\ns_sum 3\ns_count 2\n"),
        good(
            "a histogram",
            "# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
        ),
        good("a histogram without its last bucket", "# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_sum 3\nh_count 2\n")
            .shows(&["h_bucket{instance=\"\",job=\"a\",le=\"+Inf\"} 2"]),
        good(
            "a histogram whose buckets shrink",
            "# TYPE h histogram\nh_bucket{le=\"0.1\"} 5\nh_bucket{le=\"1\"} 3\nh_sum 3\nh_count 2\n",
        ),
        good("a histogram without a count", "# TYPE h histogram\nh_bucket{le=\"0.1\"} 5\nh_sum 3\n"),
        good("values", "a NaN\nb +Inf\nc -Inf\nd 1e3\ne +1\nf 1234567.5\ng 0.00001\n"),
        good("escapes", "a{b=\"\\\"\\n\\\\\"} 1\n"),
        good("blanks", "  a  {  b = \"c\" , d=\"e\", }   1\n\ta\t2\n"),
        good("families that take turns", "a{x=\"1\"} 1\nb 1\na{x=\"2\"} 1\n"),
        good("comments of OpenMetrics", "# TYPE a counter\n# UNIT a seconds\na 1\n# EOF\n"),
        good("a family without samples", "# TYPE a counter\n# TYPE b counter\nb 1\n"),
        good("a negative counter", "# TYPE a counter\na -1\n"),
        bad("no line end", "a 1"),
        bad("carriage returns", "a 1\r\n"),
        bad("a hexadecimal number", "a 0x10\n"),
        bad("a number with underscores", "a 1_000\n"),
        bad("a type too late", "a 1\n# TYPE a counter\n"),
        bad("a type twice", "# TYPE a counter\n# TYPE a counter\na 1\n"),
        bad("an exemplar", "# TYPE a counter\na 1 # {trace=\"x\"} 1\n"),
        bad("a name as a label", "a{__name__=\"b\"} 1\n"),
        bad("a label twice", "a{b=\"1\",b=\"2\"} 1\n"),
        bad("no value", "a{b=\"1\"}\n"),
        bad("an open quote", "a{b=\"1} 1\n"),
        Case::new("what is not UTF-8", &[request("PUT", "/metrics/job/a", &b"a{b=\"\xff\"} 1\n"[..])], &[400]),
        Case::new("protobuf", &[put_protobuf("/metrics/job/a", protobuf_gauge("x"))], &[200])
            .shows(&["x{instance=\"\",job=\"a\"} 1"]),
        Case::new("an empty protobuf", &[put_protobuf("/metrics/job/a", Vec::new())], &[200]),
        Case::new(
            "a protobuf that was cut off",
            &[put_protobuf("/metrics/job/a", protobuf_gauge("x")[..9].to_vec())],
            &[400],
        ),
        Case::new(
            "a protobuf that says that it is text",
            &[request("PUT", "/metrics/job/a", "x 1\n").header(
                "Content-Type",
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
            )],
            &[200],
        ),
        Case::new(
            "text that says that it is JSON",
            &[put("/metrics/job/a", "x 1\n").header("Content-Type", "application/json")],
            &[200],
        ),
        Case::new(
            "text without its last line end, as chunks",
            &[put("/metrics/job/a", "x 1").framed(Framing::Chunked)],
            &[400],
        ),
        Case::new("text as chunks", &[put("/metrics/job/a", "x 1\n").framed(Framing::Chunked)], &[200]),
        Case::new(
            "OpenMetrics that text cannot hold",
            &[put("/metrics/job/a", "# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# EOF\n")
                .header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            &[200],
        )
        .shows(&["a_total{instance=\"\",job=\"a\"} 1"])
        .unlike("it is read as text 0.0.4, which has no exemplars", &[400]),
        good("a type of nothing", "# TYPE a\n# HELP a\n# TYPE a gauge\na 1\n"),
        good("a type of nothing behind samples", "a 1\n# TYPE a\n# HELP a\n# TYPE a \n"),
        good("comments without a name", "#\n# HELP\n# TYPE\n# TYPE \n# HELP \n#x\na 1\n"),
        good("a help text that is empty, before another", "# HELP a \n# HELP a x\na 1\n"),
        good("a help text of a count", "# TYPE s summary\n# HELP s_count x\ns_count 2\ns_sum 1\n")
            .shows(&["s_count{instance=\"\",job=\"a\"} 2"]),
        bad("a type of a count", "# TYPE s summary\n# TYPE s_count gauge\ns_count 2\n").says("second TYPE line"),
        good("numbers as Go has them", "a INF\nb -inFinity\nc nan\nd 0\ne .5e+1\nf 5.\ng +1E5\nh 00012\ni 1e-400\n"),
        bad("a number that is too large", "a 1e400\n").says("expected float as value, got \"1e400\""),
        bad("a bound that is too large", "# TYPE h histogram\nh_bucket{le=\"-1e400\"} 1\n"),
        bad("a hexadecimal number with an exponent", "a 0x1p4\n"),
        bad("a NaN with a sign", "a +NaN\n"),
        bad("a name of a label with a colon", "a{a:b=\"1\"} 1\n"),
        good("a bucket by the histogram's name", "# TYPE h histogram\nh{le=\"1\"} 2\nh_count 3\nh_sum 4\n"),
        good("a bound that is no number", "# TYPE h histogram\nh_bucket{le=\"NaN\"} 2\nh_bucket{le=\"1\"} 2\nh_count 3\n"),
        good("a bucket without a bound", "# TYPE h histogram\nh_bucket 2\nh_count 3\n"),
        good("a count with a bound", "# TYPE h histogram\nh_count{le=\"1\"} 3\n"),
        good("a histogram of nothing", "# TYPE h histogram\nh 1\n"),
        good("quotes in a help text", "# HELP a say \\\"q\\\"\na 1\n")
            .unlike("an unknown escape sequence; newer versions take it", &[400]),
        good("blanks at ends", "# TYPE a gauge \na 1 \n").unlike("an unknown type, and a timestamp", &[400]),
        good("a gauge histogram", "# TYPE g gaugehistogram\ng_bucket{le=\"1\"} 2\ng_gcount 3\ng_gsum 4\n")
            .shows(&[
                "g_bucket{instance=\"\",job=\"a\",le=\"1\"} 2",
                "g_count{instance=\"\",job=\"a\"} 3",
                "g_sum{instance=\"\",job=\"a\"} 4",
            ])
            .unlike("an unknown type; newer versions take it", &[400]),
        bad("a negative count", "# TYPE h histogram\nh_count -1\n")
            .says("negative count -1 of \"h_count\"")
            .unlike("it becomes 18446744073709551615; newer versions refuse it", &[200]),
        Case::new(
            "OpenMetrics as client libraries write it",
            &[put(
                "/metrics/job/a",
                "# HELP a say \\\"q\\\"\n# TYPE a counter\n# UNIT a seconds\na_total{p=\"C:\\DIR\"} 1\na_created{p=\"C:\\DIR\"} 2\n# EOF",
            )
            .header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            &[200],
        )
        .shows(&["a_total{instance=\"\",job=\"a\",p=\"C:\\\\DIR\"} 1"])
        .unlike("it is read as text 0.0.4", &[400]),
        Case::new("a name in quotes", &[put("/metrics/job/a", "{\"a.b\"} 1\n")], &[200])
            .unlike("names were ASCII before 1.11, and are without a flag", &[400]),
    ]
}

fn packings() -> Vec<Case> {
    let (whole, mut twice) = (gzip("x 1\n"), gzip("x 1\n"));
    twice.extend(gzip("y 1\n"));
    let snappy = snap::raw::Encoder::new().compress_vec(b"x 1\n").unwrap();
    let zstd = zrip::compress(b"x 1\n", 1).unwrap();
    let packed = |encoding, body: Vec<u8>| put_packed("/metrics/job/a", encoding, body);
    vec![
        Case::new("gzip", &[packed("gzip", whole.clone())], &[200]).shows(&["x{instance=\"\",job=\"a\"} 1"]),
        Case::new("gzip in two parts", &[packed("gzip", twice)], &[200]).shows(&["y{instance=\"\",job=\"a\"} 1"]),
        Case::new("what is not gzip", &[packed("gzip", b"x 1\n".to_vec())], &[400]),
        Case::new("gzip in capitals", &[packed("GZIP", whole.clone())], &[200]).unlike("exact before 1.6", &[400]),
        Case::new("snappy", &[packed("snappy", snappy)], &[200]).unlike("since 1.6, and framed", &[400]),
        Case::new("zstd", &[packed("zstd", zstd)], &[200]).unlike("not at all: read as it is", &[400]),
        Case::new("an encoding that is unknown", &[packed("br", b"x 1\n".to_vec())], &[415])
            .says("br")
            .unlike("it is passed over, and what was packed is read as it is", &[200]),
        Case::new("gzip without its end", &[packed("gzip", whole[..whole.len() - 8].to_vec())], &[400])
            .unlike("what is cut off is taken: part of a push would replace the whole", &[200]),
    ]
}

fn checks() -> Vec<Case> {
    const PREFIX: &str = "pushed metrics are invalid or inconsistent with existing metrics: ";
    let bad = |name, body: &'static str| Case::new(name, &[put("/metrics/job/a", body)], &[400]).says(PREFIX);
    let beside = |name, before: &'static str, body: &'static str| {
        Case::new(name, &[put("/metrics/job/a", before), put("/metrics/job/b", body)], &[200, 400]).says(PREFIX)
    };
    let twice = |name, body: &'static str, says| {
        let case = Case::new(name, &[put("/metrics/job/a", body)], &[400]).says(says);
        case.unlike("the last is taken, or both are shown", &[200])
    };
    vec![
        bad("a timestamp", "a 1 1000\n").says("pushed metrics must not have timestamps"),
        bad("a series twice", "a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n"),
        bad("a reserved label", "a{__b=\"1\"} 1\n"),
        bad("two series that the group makes one", "a{job=\"b\"} 1\na{job=\"c\"} 1\n"),
        bad("a series twice, of a counter", "# TYPE c counter\nc 1\nc 1\n"),
        Case::new(
            "a series twice, where it is there once",
            &[put("/metrics/job/a", "c 1\n"), post("/metrics/job/a", "c 1\nc 1\n")],
            &[200, 400],
        )
        .says(PREFIX),
        twice("a count twice", "# TYPE h histogram\nh_count 1\nh_count 2\n", "h_count{}"),
        twice("a sum twice", "# TYPE s summary\ns_sum{a=\"1\"} 1\ns_sum{a=\"1\"} 1\n", "s_sum{a=\"1\"}"),
        twice(
            "a quantile twice",
            "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.50\"} 2\n",
            "s{quantile=\"0.5\"}",
        ),
        twice(
            "a bucket twice",
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\n",
            "h_bucket{le=\"1\"}",
        ),
        beside("another type", "# TYPE a gauge\na 1\n", "# TYPE a counter\na 1\n"),
        beside("a sum beside a histogram", "# TYPE h histogram\nh_sum 1\nh_count 1\n", "h_sum 1\n"),
        beside("a histogram beside a bucket", "h_bucket 1\n", "# TYPE h histogram\nh_sum 1\nh_count 1\n"),
        Case::new(
            "a series of another group",
            &[put("/metrics/job/a/l/1", "x 1\n"), put("/metrics/job/a", "x{l=\"1\"} 1\n")],
            &[200, 400],
        )
        .says(PREFIX),
    ]
}

const EVERY_TYPE: &str = "# HELP c C.\n# TYPE c counter\nc{k=\"v\"} 1e9\n# TYPE g gauge\ng -0.5\n\
    # TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.99\"} 2.5\ns_sum 3\ns_count 2\n\
    # TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";

fn endpoints() -> Vec<Case> {
    vec![
        Case::new("health", &[get("/-/healthy")], &[200]).says("OK"),
        Case::new("readiness", &[get("/-/ready")], &[200]).says("OK"),
        Case::new("quit is off", &[post("/-/quit", "")], &[403]).says("Lifecycle API is not enabled."),
        Case::new("quit by GET", &[get("/-/quit")], &[405]).says("Only POST or PUT requests allowed."),
        Case::new("wipe is off", &[put("/api/v1/admin/wipe", "")], &[404]),
        Case::new("the status", &[get("/api/v1/status")], &[200]).says("\"status\":\"success\""),
        Case::new("the status by POST", &[post("/api/v1/status", "")], &[405]),
        Case::new("what is not there", &[get("/nowhere")], &[404]),
        Case::new("a push to all", &[put("/metrics", "x 1\n")], &[405]),
        Case::new("PATCH", &[request("PATCH", "/metrics/job/a", "x 1\n")], &[405]),
        Case::new("OPTIONS", &[request("OPTIONS", "/metrics/job/a", "")], &[200]),
        Case::new("OPTIONS of the API", &[request("OPTIONS", "/api/v1/status", "")], &[200]),
        Case::new(
            "groups as JSON",
            &[put("/metrics/job/a", "# HELP x X.\n# TYPE x gauge\nx 1.5\n"), get("/api/v1/metrics")],
            &[200, 200],
        )
        .says("\"type\":\"GAUGE\""),
        Case::new(
            "all types as JSON",
            &[
                put("/metrics/job/a/l/1", EVERY_TYPE),
                put("/metrics/job/b", "u 1\nu{x=\"\\\"\"} NaN\n"),
                put("/metrics/job/b", "u{ 1\n"),
                get("/api/v1/metrics"),
            ],
            &[200, 200, 400, 200],
        ),
        Case::new(
            "a refused group as JSON",
            &[put("/metrics/job/a", "x 1 1000\n"), get("/api/v1/metrics")],
            &[400, 200],
        )
        .says("\"last_push_successful\":false"),
        Case::new("no groups as JSON", &[get("/api/v1/metrics")], &[200]).says("\"data\":[]"),
        Case::new("a group", &[put("/metrics/job/a", "x 1\n"), get("/metrics/job/a")], &[200, 200])
            .says("x{instance=\"\",job=\"a\"} 1\n")
            .unlike("a group cannot be got", &[200, 405]),
        Case::new("no group", &[get("/metrics/job/a")], &[404]).unlike("a group cannot be got", &[405]),
        Case::new("HEAD", &[request("HEAD", "/-/healthy", "")], &[200]).unlike("HEAD is not known", &[405]),
        Case::new(
            "deletion by matcher",
            &[put("/metrics/job/a", "x 1\n"), delete("/api/v1/groups?match%5B%5D=job%3D%22a%22")],
            &[200, 200],
        )
        .says("\"groups\":1")
        .unlike("groups go one by one, each by its exact key", &[200, 404]),
    ]
}

/// Requests after which Pushgateway serves no client, or the wrong thing.
fn wrong_there() -> Vec<Case> {
    let other = put("/metrics/job/other", "o 1\n");
    vec![
        Case::new(
            "an empty instance is none",
            &[
                put("/metrics/job/x", "a 1\n"),
                put("/metrics/job/x/instance@base64/=", "a 2\n"),
                other.clone(),
                get("/metrics"),
            ],
            &[200, 200, 200, 200],
        )
        .shows(&["a{instance=\"\",job=\"x\"} 2", "o{instance=\"\",job=\"other\"} 1"])
        .unlike(
            "the marker of the second collides with that of the first: no job can push any more",
            &[200, 400, 400, 500],
        ),
        Case::new(
            "a key that is not UTF-8",
            &[put("/metrics/job@base64/-_-_", "a 1\n"), other.clone(), get("/metrics")],
            &[400, 200, 200],
        )
        .shows(&["o{instance=\"\",job=\"other\"} 1"])
        .unlike("its marker is kept, and cannot be shown: no job can push any more", &[400, 400, 500]),
        Case::new(
            "a parameter that nobody knows",
            &[post("/metrics/job/a?mod=aggregate", "a 1\n"), delete("/metrics/job/a?dry_run=true")],
            &[400, 400],
        )
        .says("unknown query parameter \"dry_run\"")
        .unlike("it is passed over, and the group is replaced or deleted", &[200, 202]),
        Case::new(
            "a native histogram with a bucket below 0",
            &[put_protobuf("/metrics/job/a", native_histogram_below_zero()), other.clone()],
            &[400, 200],
        )
        .shows(&["o{instance=\"\",job=\"other\"} 1"])
        .unlike("it is taken; Prometheus refuses the whole exposition", &[200, 200]),
        Case::new(
            "a family without a name",
            &[put_protobuf("/metrics/job/a", protobuf_gauge("")), other.clone()],
            &[400, 200],
        )
        .shows(&["o{instance=\"\",job=\"other\"} 1"])
        .unlike("it is taken, and the exposition ends before it: empty, with status 200", &[200, 200]),
        Case::new("a name that makes lines", &[put_protobuf("/metrics/job/a", protobuf_gauge("a b\nevil 1"))], &[400])
            .unlike("it is written as it is: lines for everybody", &[200]),
        Case::new(
            "a body shorter than it says",
            &[put("/metrics/job/a", "x 1\n").framed(Framing::TooShort), get("/api/v1/metrics")],
            &[400, 200],
        )
        .says("\"data\":[]")
        .unlike("what came is taken as the whole", &[200, 200]),
        Case::new(
            "chunks that do not end",
            &[put("/metrics/job/a", "x 1\n").framed(Framing::Unended), get("/api/v1/metrics")],
            &[400, 200],
        )
        .says("\"data\":[]")
        .unlike("what came is taken as the whole", &[200, 200]),
        Case::new("an empty label is none", &[put("/metrics/job/a", "x 1\nx{l=\"\"} 2\n")], &[400])
            .says("twice")
            .unlike("both are taken; Prometheus keeps one, and does not say which", &[200]),
        Case::new(
            "a metric that is called labels",
            &[put("/metrics/job/a", "labels 1\n"), get("/api/v1/metrics")],
            &[200, 200],
        )
        .says("\"labels\":{\"job\":\"a\"}")
        .unlike("it takes the place of the group's labels", &[200, 200]),
    ]
}
