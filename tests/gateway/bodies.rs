//! Bodies that say something twice, or were damaged on the way, and keys that a URL does not hold as they are.

use std::process::Command;

use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::request;

/// All ways to push, by method and query.
const WAYS: [(&str, &str); 9] = [
    ("PUT", ""),
    ("POST", ""),
    ("POST", "?mode=series"),
    ("POST", "?merge=series"),
    ("PUT", "?mode=aggregate"),
    ("POST", "?mode=aggregate"),
    ("POST", "?mode=aggregate&gauges=sum"),
    ("POST", "?mode=aggregate&gauges=max"),
    ("POST", "?mode=aggregate&gauges=min"),
];

/// What a group has, without the times of its pushes; nothing if there is no group.
fn shown(gateway: &Own, path: &str) -> Vec<String> {
    let reply = gateway.send(&request("GET", path, ""));
    if reply.status == 404 {
        return Vec::new();
    }
    let markers = ["push_time_seconds", "push_failure_time_seconds", "# Push refused at "];
    let is_marker = |line: &&str| markers.iter().any(|marker| line.contains(marker));
    reply.body.lines().filter(|line| !is_marker(line)).map(str::to_owned).collect()
}

#[test]
fn a_series_that_is_there_twice_is_refused_however_it_is_pushed() {
    let gateway = Own::start("");
    let bodies = [
        ("# TYPE c counter\nc 1\n", "# TYPE c counter\nc 1\nc 1\n"),
        ("g{a=\"1\",b=\"2\"} 1\n", "g{a=\"1\",b=\"2\"} 1\ng{b=\"2\",a=\"1\"} 1\n"),
        ("x 1\n", "x{job=\"1\"} 1\nx{job=\"2\"} 1\n"),
        ("x{l=\"1\"} 1\n", "x{host=\"1\",l=\"1\"} 1\nx{l=\"1\"} 1\n"),
        ("x{instance=\"\"} 1\n", "x{instance=\"\"} 1\nx 1\n"),
        ("x 1\n", "x 1\ny 1\nx{l=\"\"} 1\n"),
        ("x 1\n", "x 1 1000\nx 1 2000\n"),
        (
            "# TYPE h histogram\nh_count 1\n",
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 1\nh_count 1\n",
        ),
        ("# TYPE h histogram\nh_count 1\n", "# TYPE h histogram\nh_count 1\nh_count 1\n"),
        ("# TYPE h histogram\nh_count 1\n", "# TYPE h histogram\nh_sum{job=\"1\"} 1\nh_count{job=\"2\"} 1\n"),
        ("# TYPE s summary\ns_count 1\n", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"5e-1\"} 1\n"),
        ("# TYPE s summary\ns_count 1\n", "# TYPE s summary\ns_sum 1\ns_sum 1\n"),
    ];
    let mut group = 0;
    for (method, query) in WAYS {
        for (sound, twice) in bodies {
            group += 1;
            let path = format!("/metrics/job/a/group/{group}/host/h");
            let push = |body: &str| gateway.send(&request(method, &format!("{path}{query}"), body)).status;
            let shown_after = || shown(&gateway, &path);
            assert_eq!(push(twice), 400, "{method} {query}: {twice}");
            assert_eq!(shown_after().len(), 0, "{method} {query}: {twice}");
            assert_eq!(push(sound), 200, "{method} {query}: {sound}");
            let before = shown_after();
            assert_eq!(push(twice), 400, "{method} {query}: {twice} where it is there once already");
            assert_eq!(shown_after(), before, "{method} {query}: {twice}");
        }
    }
}

#[test]
fn a_body_that_was_damaged_changes_nothing() {
    let gateway = Own::start("");
    let push = |path: &str, encoding: &str, body: &[u8]| {
        gateway.send(&request("PUT", path, body).header("Content-Encoding", encoding))
    };
    assert_eq!(gateway.put("/metrics/job/a", "zz_a 1\n").status, 200);
    // What arrived is not what its checksum is of.
    let damaged = b"\x28\xb5\x2f\xfd\x24\x0c\x61\x00\x00zz_a 91111111\n\x9e\xf9\xbc\xca";
    let reply = push("/metrics/job/a", "zstd", damaged);
    assert!(reply.status == 400 && reply.body.contains("no sound zstd: "), "{reply:?}");
    let sound = b"\x28\xb5\x2f\xfd\x24\x04\x21\x00\x00x 1\n\xd5\xe4\xf1\x67";
    for end in 0..sound.len() {
        assert_eq!(push("/metrics/job/a", "zstd", &sound[..end]).status, 400, "up to {end}");
    }
    assert_eq!(gateway.sample("zz_a{instance=\"\",job=\"a\"}"), Some(1.0));
    assert_eq!(push("/metrics/job/b", "zstd", sound).status, 200);
    assert_eq!(gateway.sample("x{instance=\"\",job=\"b\"}"), Some(1.0));
}

#[test]
fn a_dot_is_a_value_like_any_other() {
    let gateway = Own::start("");
    let url = format!("http://{}", gateway.address());
    let push = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        let status = command.args(["push", "--url", &url]).args(arguments).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.prom");
    std::fs::write(&file, "x 1\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(gateway.put("/metrics/job/x", "keep 1\n").status, 200);
    for value in [".", "..", "%2e%2e", "...", "Li4", "../../job/x", "a/../b", "\\..\\", "..;", "=", "@base64", "ü ?#&+"]
    {
        let label = format!("l={value}");
        for (group, shows) in [(["--job", "x", "--label", &label], value), (["--job", value, "--label", "l=1"], value)]
        {
            push(&[&group[..], &[file]].concat());
            let escaped = shows.replace('\\', "\\\\");
            assert!(gateway.exposition().contains(&format!("=\"{escaped}\"")), "{group:?}");
            // The page's button asks for the same path.
            let page = gateway.send(&request("GET", "/", "")).body;
            let paths: Vec<&str> =
                page.split("data-path=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            assert_eq!(paths.len(), 2, "{paths:?}");
            push(&[&group[..], &["--delete"]].concat());
            assert!(!gateway.exposition().contains("\nx{"), "{group:?}");
            assert_eq!(gateway.sample("keep{instance=\"\",job=\"x\"}"), Some(1.0), "{group:?}");
        }
    }
}

#[test]
fn what_the_gateway_tells_of_itself_cannot_be_pushed() {
    let gateway = Own::start("");
    let exposition = gateway.exposition();
    let families = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let own: Vec<&str> = families.map(|(name, _)| name).filter(|name| name.starts_with("taffrail_")).collect();
    assert!(
        own.contains(&"taffrail_gateway_points_total") && own.contains(&"taffrail_gateway_point_series"),
        "{own:?}"
    );
    for name in own {
        for kind in ["counter", "gauge", "untyped", "histogram"] {
            let reply = gateway.put("/metrics/job/a", &format!("# TYPE {name} {kind}\n{name} 1\n"));
            let expected = format!("{name} is what the gateway tells of itself; choose another name");
            assert!(reply.status == 400 && reply.body.contains(&expected), "{kind}: {reply:?}");
        }
        let point = gateway.post("/write", &format!("{name} value=1\n"));
        assert!(point.status == 400 && point.body.contains("the gateway's own"), "{point:?}");
    }
}

#[test]
fn a_point_and_a_part_of_what_was_pushed_cannot_meet() {
    let gateway = Own::start("");
    let summary = "# TYPE s summary\ns_sum 1\ns_count 1\n";
    let histogram = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n";
    assert_eq!(gateway.put("/metrics/job/a", &[summary, histogram].concat()).status, 200);
    for measurement in ["s", "h"] {
        for (field, status) in [("value", 400), ("count", 400), ("sum", 400), ("total", 204)] {
            let reply = gateway.post("/write", &format!("{measurement} {field}=7\n"));
            assert_eq!(reply.status, status, "{measurement} {field}: {reply:?}");
        }
    }
    assert_eq!(gateway.post("/write", "h_bucket,le=2 value=7\n").status, 400);
    assert_eq!(gateway.post("/write", "s_bucket,le=2 value=7\n").status, 204, "a summary has no buckets");
    // A push is taken whatever points there are, which are not shown then.
    assert_eq!(gateway.post("/write", "t count=7,sum=7,value=7,max=7\n").status, 204);
    assert_eq!(gateway.put("/metrics/job/b", "# TYPE t summary\nt_sum 1\nt_count 1\n").status, 200);
    let exposition = gateway.exposition();
    let lines: Vec<&str> = exposition.lines().filter(|line| line.starts_with("t_") || line.starts_with("t ")).collect();
    assert_eq!(lines, ["t_sum{instance=\"\",job=\"b\"} 1", "t_count{instance=\"\",job=\"b\"} 1", "t_max 7"]);
}
