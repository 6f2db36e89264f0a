//! What pages of other origins may do through the browser of a user who looks at them: nothing, unless the settings allow it.

use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::{Reply, Request, request};

/// The harness asks the host `x`.
const OWN: &str = "http://x";
const OTHER: &str = "http://other.example";

/// Everything that changes something.
fn changes() -> Vec<Request> {
    let points = "cpu,host=a idle=1";
    vec![
        request("PUT", "/metrics/job/kept", "x 2\n"),
        request("POST", "/metrics/job/kept", "x 2\n"),
        request("POST", "/metrics/job/new", ""),
        request("DELETE", "/metrics/job/kept", ""),
        request("DELETE", "/api/v1/groups?match[]=%7Bjob%3D~%22.%2B%22%7D", ""),
        request("PUT", "/api/v1/admin/wipe", ""),
        request("POST", "/write", points),
        request("POST", "/api/v2/write", points),
        request("PUT", "/-/quit", ""),
        request("POST", "/-/quit", ""),
    ]
}

fn gateway(more: &str) -> Own {
    let gateway = Own::start(&format!("admin_api = true\nlifecycle = true\n{more}"));
    assert_eq!(gateway.put("/metrics/job/kept", "x 1\n").status, 200);
    gateway
}

fn is_as_it_was(gateway: &Own) -> bool {
    let exposition = gateway.exposition();
    exposition.contains("x{instance=\"\",job=\"kept\"} 1\n")
        && !exposition.contains("cpu")
        && !exposition.contains("new")
}

#[test]
fn no_page_of_another_origin_changes_anything() {
    let gateway = gateway("");
    for change in changes() {
        let reported = format!("{} {}", change.method, change.target);
        for foreign in [
            change.clone().header("Origin", OTHER),
            change.clone().header("Origin", "null"),
            change.clone().header("Origin", "http://x:9091"),
            change.clone().header("Sec-Fetch-Site", "cross-site"),
            change.clone().header("Sec-Fetch-Site", "same-site").header("Origin", OWN),
            change.clone().header("Content-Type", "text/plain").header("Origin", OTHER),
        ] {
            let reply = gateway.send(&foreign);
            assert_eq!(reply.status, 403, "{reported}: {reply:?}");
            assert!(reply.body.contains("[gateway] allowed_origins"), "{reported}: {reply:?}");
            assert!(reply.header("access-control-allow-origin").is_none(), "{reported}: {reply:?}");
        }
        assert!(is_as_it_was(&gateway), "{reported}");
    }
}

#[test]
fn programs_and_the_gateways_own_page_change_what_they_may() {
    for headers in [
        &[] as &[_],
        &[("Origin", OWN)],
        &[("Sec-Fetch-Site", "same-origin"), ("Origin", OWN)],
        &[("Sec-Fetch-Site", "none")],
    ] {
        for change in changes() {
            let gateway = gateway("");
            let reported = format!("{} {} {headers:?}", change.method, change.target);
            let change = headers.iter().fold(change, |change, (name, value)| change.header(name, value));
            let reply = gateway.send(&change);
            assert!((200..300).contains(&reply.status), "{reported}: {reply:?}");
        }
    }
}

fn preflight(gateway: &Own, target: &str, origin: &str, method: &str) -> Reply {
    let asks = request("OPTIONS", target, "").header("Origin", origin);
    gateway.send(&asks.header("Access-Control-Request-Method", method))
}

#[test]
fn a_preflight_lets_other_pages_read_what_pushgateway_lets_them_and_no_more() {
    let gateway = gateway("");
    for target in ["/api/v1/groups", "/api/v1/admin/wipe", "/metrics/job/kept", "/write", "/-/quit", "/api/v1/status"] {
        let reply = preflight(&gateway, target, OTHER, "DELETE");
        let methods = reply.header("access-control-allow-methods").unwrap_or_default();
        for method in ["DELETE", "PUT", "POST"] {
            assert!(!methods.contains(method), "{target}: {reply:?}");
        }
    }
    let reply = preflight(&gateway, "/api/v1/metrics", OTHER, "GET");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{reply:?}");
    let reply = gateway.send(&request("GET", "/api/v1/metrics", "").header("Origin", OTHER));
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("*")));
    let reply = gateway.send(&request("GET", "/metrics", "").header("Origin", OTHER));
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
}

#[test]
fn pages_of_an_allowed_origin_do_what_they_may_also_where_there_are_users() {
    let gateway = gateway(&format!("allowed_origins = [\"{OTHER}\"]\n"));
    let reply = preflight(&gateway, "/api/v1/groups", OTHER, "DELETE");
    assert_eq!(reply.header("access-control-allow-origin"), Some(OTHER), "{reply:?}");
    assert!(reply.header("access-control-allow-methods").unwrap().contains("DELETE"), "{reply:?}");
    assert!(reply.header("vary").unwrap().contains("Origin"), "{reply:?}");
    let another = preflight(&gateway, "/api/v1/groups", "http://third.example", "DELETE");
    assert_eq!(another.header("access-control-allow-origin"), None);
    let change = request("DELETE", "/metrics/job/kept", "").header("Sec-Fetch-Site", "cross-site");
    assert_eq!(gateway.send(&change.clone().header("Origin", "http://third.example")).status, 403);
    let reply = gateway.send(&change.header("Origin", OTHER));
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (202, Some(OTHER)));

    let users = "[[http.users]]\nname = \"a\"\ntoken = \"secret\"\n";
    let config = format!("[gateway]\nallowed_origins = [\"{OTHER}\"]\n{users}");
    let gateway = Own::start_with(&config, &[]);
    let reply = preflight(&gateway, "/metrics/job/a", OTHER, "PUT");
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(OTHER)), "{reply:?}");
    let push = request("PUT", "/metrics/job/a", "x 1\n").header("Origin", OTHER);
    assert_eq!(gateway.send(&push).status, 401);
    assert_eq!(gateway.send(&push.header("Authorization", "Bearer secret")).status, 200);
}

#[test]
fn a_name_that_leads_to_the_gateway_is_refused_where_names_are_said() {
    let gateway = Own::start("allowed_hosts = [\"x\"]\n");
    assert_eq!(gateway.put("/metrics/job/a", "x 1\n").status, 200);
    // The owner of a name can let it lead here, and has the gateway's origin then.
    let gateway = Own::start("allowed_hosts = [\"gateway.example\"]\n");
    let reply = gateway.send(&request("PUT", "/metrics/job/a", "x 1\n").header("Origin", OWN));
    assert!(reply.status == 421 && reply.body.contains("[gateway] allowed_hosts"), "{reply:?}");
    assert_eq!(gateway.send(&request("GET", "/", "")).status, 421);
    assert_eq!(gateway.send(&request("GET", "/-/ready", "")).status, 200);
    assert!(gateway.exposition().contains("taffrail_gateway_groups 0"), "by its address it is asked as before");
}

#[test]
fn no_answer_runs_or_loads_anything_of_others_or_stands_in_another_page() {
    let gateway = Own::start("route_prefix = \"/push\"\n");
    assert_eq!(gateway.put("/push/metrics/job/a", "x 1\n").status, 200);
    for (method, target, status) in [
        ("GET", "/push/", 200),
        ("GET", "/push/status", 200),
        ("GET", "/push", 301),
        ("GET", "/push/metrics", 200),
        ("GET", "/push/metrics/job/a", 200),
        ("GET", "/push/metrics/job/none", 404),
        ("GET", "/push/style.css", 200),
        ("GET", "/push/gateway.css", 200),
        ("GET", "/push/gateway.js", 200),
        ("GET", "/push/api/v1/metrics", 200),
        ("PUT", "/push/metrics/job/a/l", 400),
        ("PUT", "/push/metrics", 405),
        ("GET", "/elsewhere", 404),
    ] {
        let reply = gateway.send(&request(method, target, ""));
        assert_eq!(reply.status, status, "{target}: {reply:?}");
        let policy = reply.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{target}: {policy}");
        }
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(reply.header("x-frame-options"), Some("DENY"), "{target}");
        // 'self' must not let a page run or apply what somebody pushed.
        let kind = reply.header("content-type").unwrap_or_default();
        assert_eq!(kind.contains("javascript"), target.ends_with(".js"), "{target}: {kind}");
        assert_eq!(kind.contains("css"), target.ends_with(".css"), "{target}: {kind}");
    }
    let page = gateway.send(&request("GET", "/push/", ""));
    // No origin but its own, nothing inline, no eval: images alone may be data.
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("script-src ") && policy.contains("style-src ") && policy.contains("form-action "),
        "{policy}"
    );
    for directive in policy.split("; ") {
        let (name, sources) = directive.split_once(' ').unwrap();
        let expected: &[&str] = match name {
            "default-src" | "frame-ancestors" | "base-uri" => &["'none'"],
            "img-src" => &["data:"],
            _ => &["'self'"],
        };
        assert_eq!(sources.split(' ').collect::<Vec<_>>(), expected, "{directive}");
    }
    let tags: Vec<&str> = page.body.split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect();
    for tag in &tags {
        let inline =
            tag.starts_with("style") || tag.starts_with("script") && !tag.starts_with("script src=\"gateway.js?");
        let has_handler = tag.split_whitespace().any(|word| word.starts_with("on") && word.contains('='));
        assert!(!inline && !has_handler && !tag.contains(" style="), "{tag}");
    }
    assert!(tags.iter().any(|tag| tag.starts_with("script ")) && page.body.contains(" defer></script>"));
    for file in ["style.css", "gateway.css", "gateway.js"] {
        let text = gateway.send(&request("GET", &format!("/push/{file}"), "")).body;
        assert!(!text.contains("://") && !text.contains("url(") && !text.contains("@import"), "{file}");
    }
}

#[test]
fn everything_is_below_a_prefix_and_links_lead_there() {
    for config in ["route_prefix = \"/push/gateway\"\n", "external_url = \"https://example.org/push/gateway/\"\n"] {
        let gateway = Own::start(config);
        let prefix = "/push/gateway";
        assert_eq!(gateway.put(&format!("{prefix}/metrics/job/a"), "x 1\n").status, 200);
        for (method, target, status) in [
            ("GET", "/metrics", 200),
            ("GET", "/", 200),
            ("GET", "/status", 200),
            ("GET", "/-/healthy", 200),
            ("GET", "/api/v1/status", 200),
            ("GET", "/api/v1/metrics", 200),
            ("GET", "/metrics/job/a", 200),
            ("POST", "/query", 200),
            ("GET", "/ping", 204),
            ("POST", "/write", 204),
            ("PUT", "/-/quit", 403),
            ("DELETE", "/metrics/job/a", 202),
        ] {
            let below = gateway.send(&request(method, &format!("{prefix}{target}"), ""));
            assert_eq!(below.status, status, "{config}: {target}: {below:?}");
            let beside = gateway.send(&request(method, target, "")).status;
            assert_eq!(beside, if target == "/-/healthy" { 200 } else { 404 }, "{config}: {target}");
        }
        assert_eq!(gateway.send(&request("GET", "/push/gatewayx/metrics", "")).status, 404);
        // Whatever a proxy puts before it.
        let redirect = gateway.send(&request("GET", prefix, ""));
        assert_eq!((redirect.status, redirect.header("location")), (301, Some("gateway/")));
        let redirect = gateway.send(&request("GET", &format!("{prefix}/status/"), ""));
        assert_eq!((redirect.status, redirect.header("location")), (301, Some("../status")));
    }
}

#[test]
fn a_proxy_may_take_the_path_away_and_call_the_gateway_by_another_name() {
    let gateway = Own::start("external_url = \"https://example.org/push/\"\nroute_prefix = \"/\"\n");
    assert_eq!(gateway.put("/metrics/job/a", "x 1\n").status, 200);
    let page = gateway.send(&request("GET", "/", "")).body;
    // Every link of the page is relative to it, and so are its files. The icon is in the page.
    let (icons, links): (Vec<&str>, Vec<&str>) = ["href=\"", "src=\"", "action=\"", "data-path=\""]
        .into_iter()
        .flat_map(|attribute| page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()))
        .partition(|link| link.starts_with("data:"));
    assert!(icons.len() == 1 && page.contains("<link rel=\"icon\" href=\"data:image/svg+xml,"), "{icons:?}");
    assert!(links.contains(&"metrics") && links.contains(&"metrics/job/a"), "{links:?}");
    for file in ["style.css?", "gateway.css?", "gateway.js?"] {
        assert!(links.iter().any(|link| link.starts_with(file)), "{file}: {links:?}");
    }
    assert!(links.iter().all(|link| !link.starts_with('/') && !link.contains(':')), "{links:?}");
    // Its page, through the proxy, which asks x.
    let delete = request("DELETE", "/metrics/job/a", "");
    assert_eq!(gateway.send(&delete.clone().header("Origin", OTHER)).status, 403);
    assert_eq!(gateway.send(&delete.header("Origin", "https://example.org")).status, 202);
}

#[test]
fn what_is_no_origin_or_path_is_told() {
    for (setting, reported) in [
        ("allowed_origins = [\"grafana\"]", "allowed_origins"),
        ("allowed_origins = [\"https://grafana.example/path\"]", "https://grafana.example:3000"),
        ("allowed_hosts = [\"gateway:9091\"]", "allowed_hosts[0]: expected the name of a host, without a port, found"),
        ("route_prefix = \"/a?b\"", "a path such as"),
        ("external_url = \"example.org\"", "a URL such as"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taffrail.toml");
        std::fs::write(&path, format!("[gateway]\n{setting}\n")).unwrap();
        let run = crate::harness::taffrail(&["check", "--config", path.to_str().unwrap()]);
        let (out, err) = crate::harness::printed(&run);
        assert!(!run.status.success() && (out + &err).contains(reported), "{setting}");
    }
}
