//! Inputs of Telegraf that become jobs with targets.

use taffrail::migrate::report;

use super::assert_is_sound;
use super::telegraf::{assert_any_measurement, of_text};

#[test]
fn scraped_exporters_become_jobs() {
    let checked = of_text(
        "[agent]\n  interval = \"30s\"\n[[outputs.influxdb]]\n  urls = [\"http://a:8086\"]\n  database = \"d\"\n\
         [[inputs.prometheus]]\n  urls = [\"http://u:geheim@b:9100/metrics\", \"http://u:geheim@c:9100\"]\n  url_tag = \"\"\n\
         \x20 metric_version = 2\n  timeout = \"3s\"\n  ignore_timestamp = true\n  monitor_kubernetes_pods = false\n\
         \x20 kubernetes_services = []\n\
         \x20 [inputs.prometheus.http_headers]\n    X-Scope = \"s\"\n  [inputs.prometheus.tags]\n    room = \"1\"\n\
         [[inputs.prometheus]]\n  urls = [\"unix:///run/x.sock?path=/m\"]\n  metric_version = 2\n  bearer_token = \"/run/t\"\n\
         \x20 interval = \"1m\"\n  content_length_limit = \"10MB\"\n  tls_ca = \"/ca.pem\"\n  tls_server_name = \"x\"\n\
         [[inputs.prometheus]]\n  monitor_kubernetes_pods = true\n  pod_scrape_scope = \"node\"\n",
    );
    let (report, toml) = (report::text(&checked.translation), checked.toml);
    for part in [
        "name = \"prometheus\"",
        "name = \"prometheus-2\"",
        "targets = [\"http://b:9100/metrics\", \"http://c:9100\"]",
        "username = \"u\"",
        "password = \"geheim\"",
        "url_tag = \"\"",
        "metric_version = 2",
        "timeout = \"3s\"",
        "honor_timestamps = false",
        "interval = \"30s\"",
        "X-Scope = \"s\"",
        "room = \"1\"",
        "unix:///run/x.sock?path=/m",
        "bearer_token_file = \"/run/t\"",
        "interval = \"1m\"",
        "max_body = \"10MB\"",
        "tls_ca = \"/ca.pem\"",
        "tls_server_name = \"x\"",
        "\"openmetric\",",
    ] {
        assert!(toml.contains(part), "{part} in {toml}\n{report}");
    }
    assert!(report.contains("there are no urls") && !report.contains("geheim"), "{report}");
    assert_eq!(checked.translation.kept().values().flatten().filter(|line| **line >= 25).count(), 3, "{report}");
    // With version 1, the measurements are the families of pages.
    let toml =
        of_text("[[outputs.influxdb]]\n  urls = [\"http://a:8086\"]\n[[inputs.prometheus]]\n  urls = [\"a:1\"]\n").toml;
    assert_any_measurement(&toml);
    assert!(toml.contains("interval = \"10s\""), "{toml}");
}

#[test]
fn urls_of_one_host_have_labels_of_their_own() {
    let of = |urls: &str| of_text(&format!("[[inputs.prometheus]]\n  urls = [{urls}]\n"));
    let toml = of("\"http://a:1/x\", \"http://a:1/y\"").toml;
    assert!(toml.contains("relabel_configs") && toml.contains("\"path\""), "{toml}");
    let toml = of("\"http://a:1/x\", \"http://b:1/x\"").toml;
    assert!(!toml.contains("relabel_configs"), "{toml}");
}

#[test]
fn a_server_of_targets_is_discovery() {
    let of = |urls: &str, table: &str| {
        of_text(&format!("[[inputs.prometheus]]\n{urls}[inputs.prometheus.http_service_discovery]\n{table}"))
    };
    let checked = of("", "  enabled = true\n  url = \"http://a:1/targets\"\n  query_interval = \"30s\"\n");
    assert_is_sound(&checked);
    assert!(!checked.translation.is_incomplete(), "{}", report::text(&checked.translation));
    for part in
        ["[[collectors.prometheus.http_sd_configs]]", "url = \"http://a:1/targets\"", "refresh_interval = \"30s\""]
    {
        assert!(checked.toml.contains(part), "{part} in {}", checked.toml);
    }
    let default = of("  urls = [\"http://b:1\"]\n", "  enabled = true\n  url = \"http://a:1\"\n  other = \"x\"\n");
    assert!(
        default.toml.contains("refresh_interval = \"5m\"") && default.toml.contains("targets ="),
        "{}",
        default.toml
    );
    assert!(default.translation.missing().map(|entry| &*entry.text).eq(["other = …"]));
    let off = of("  urls = [\"http://b:1\"]\n", "  url = \"http://a:1\"\n");
    assert!(!off.toml.contains("http_sd_configs") && !off.translation.is_incomplete(), "{}", off.toml);
    // Without a URL there is nothing to scrape.
    assert!(!of("", "  enabled = true\n").toml.contains("[[collectors.prometheus]]"));
}

/// An element of a list that is refused loses itself, and is named.
#[test]
fn an_element_that_is_refused_loses_itself() {
    for (text, kept, refused) in [
        (
            "[[inputs.x509_cert]]\n  sources = [\"https://a\", \"smtp://a:25\", \"/etc/*.pem\", \"udp://b:1\"]\n",
            "targets = [\"https://a\", \"/etc/*.pem\"]",
            &["\"smtp://a:25\"", "\"udp://b:1\""][..],
        ),
        ("[[inputs.file]]\n  files = [\"/a/**/b\", \"/c/*\"]\n", "files = [\"/c/*\"]", &["\"/a/**/b\""]),
        (
            "[[inputs.phpfpm]]\n  urls = [\"/run/php*.sock\", \"http://a/status\", \"fcgi://b:9000/x\"]\n",
            "urls = [\"http://a/status\", \"fcgi://b:9000/x\"]",
            &["\"/run/php*.sock\""],
        ),
        (
            "[[inputs.http_response]]\n  urls = [\"http://a\", \"ftp://u:geheim@b\", \"http://c\"]\n",
            "targets = [\"http://a\", \"http://c\"]",
            &[],
        ),
        ("[[inputs.ping]]\n  urls = [\"a\", \"b/c\"]\n", "targets = [\"a\"]", &["\"b/c\""]),
    ] {
        let checked = of_text(text);
        let report = report::text(&checked.translation);
        if text.contains("geheim") {
            assert!(!report.contains("geheim"), "{report}");
            continue;
        }
        assert!(checked.toml.contains(kept), "{kept} in {}\n{report}", checked.toml);
        assert!(checked.translation.missing().map(|entry| &*entry.text).eq(refused.iter().copied()), "{report}");
        assert!(report.contains("Taffrail refuses it: collectors."), "{report}");
        assert_is_sound(&checked);
    }
    // Nothing is left without them.
    for text in ["[[inputs.file]]\n  files = [\"/a/**/b\"]\n", "[[inputs.phpfpm]]\n  urls = [\"/run/*.sock\"]\n"] {
        let checked = of_text(text);
        assert!(!checked.toml.contains("[[collectors"), "{}", checked.toml);
        assert_eq!(checked.translation.missing().count(), 2, "{}", report::text(&checked.translation));
    }
}

#[test]
fn queries_of_several_domains_are_modules() {
    let checked = of_text(
        "[[inputs.dns_query]]\n  servers = [\"192.0.2.1\", \"192.0.2.2\"]\n  domains = [\"a.example\", \"b.example\"]\n\
         \x20 record_type = \"MX\"\n[[inputs.dns_query]]\n  servers = [\"192.0.2.3\"]\n  domains = [\"c.example\"]\n\
         [[inputs.net_response]]\n  address = \":80\"\n",
    );
    assert_is_sound(&checked);
    assert!(!checked.translation.is_incomplete(), "{}", report::text(&checked.translation));
    assert_eq!(checked.toml.matches("targets = [\"192.0.2.1\", \"192.0.2.2\"]").count(), 2, "{}", checked.toml);
    assert_eq!(checked.toml.matches("query_type = \"MX\"").count(), 2, "{}", checked.toml);
    for part in [
        "query_name = \"a.example\"",
        "query_name = \"b.example\"",
        "query_name = \"c.example\"",
        "name = \"dns_query-3\"",
        "targets = [\"localhost:80\"]",
    ] {
        assert_eq!(checked.toml.matches(part).count(), 1, "{part} in {}", checked.toml);
    }
}

#[test]
fn probes_become_modules() {
    let checked = of_text(
        "[agent]\n  interval = \"20s\"\n[[outputs.influxdb]]\n  urls = [\"http://a:8086\"]\n  database = \"d\"\n\
         [[inputs.http_response]]\n  urls = [\"https://u:geheim@a/x\"]\n  response_timeout = \"3s\"\n  method = \"POST\"\n  \
         response_string_match = \"ok\"\n  response_status_code = 204\n  [inputs.http_response.headers]\n    X-A = \"b\"\n\
         [[inputs.http_response]]\n\
         [[inputs.net_response]]\n  protocol = \"udp\"\n  address = \"a:161\"\n  send = \"x\"\n  expect = \"y\"\n\
         [[inputs.ping]]\n  urls = [\"a\", \"b\"]\n  count = 3\n  ping_interval = 0.5\n  method = \"native\"\n  ipv6 = true\n\
         [[inputs.dns_query]]\n  servers = [\"192.0.2.53\"]\n  domains = [\"example.org\"]\n  record_type = \"MX\"\n  network = \"tcp\"\n\
         [[inputs.dns_query]]\n  servers = [\"192.0.2.53\"]\n\
         [[inputs.x509_cert]]\n  alias = \"certificates\"\n  sources = [\"/etc/ssl/*.pem\", \"https://a\"]\n  server_name = \"n\"\n  \
         interval = \"1h\"\n",
    );
    assert_is_sound(&checked);
    assert!(!checked.translation.is_incomplete(), "{}", report::text(&checked.translation));
    for part in [
        "name = \"http_response\"",
        "name = \"http_response-2\"",
        "targets = [\"https://a/x\"]",
        "username = \"u\"",
        "timeout = \"3s\"",
        "method = \"POST\"",
        "fail_if_body_not_matches_regexp = [\"ok\"]",
        "valid_status_codes = [204]",
        "X-A = \"b\"",
        "targets = [\"http://localhost\"]",
        "prober = \"udp\"",
        "send = \"x\"",
        "targets = [\"a\", \"b\"]",
        "count = 3",
        "packet_interval = \"500ms\"",
        "preferred_ip_protocol = \"ip6\"",
        "query_name = \"example.org\"",
        "query_type = \"MX\"",
        "transport = \"tcp\"",
        "query_name = \".\"",
        "query_type = \"NS\"",
        "name = \"certificates\"",
        "tls_server_name = \"n\"",
        "interval = \"1h\"",
        "interval = \"20s\"",
        "\"x509_cert\"",
    ] {
        assert!(checked.toml.contains(part), "{part} in {}", checked.toml);
    }
    assert_eq!(checked.toml.matches("[[collectors.probe]]").count(), 7, "{}", checked.toml);
    assert!(!report::text(&checked.translation).contains("geheim"));
}

/// As in Telegraf, a token takes precedence over a user, and the port of name servers is an option of its own.
#[test]
fn options_that_depend_on_others_are_translated_with_them() {
    let checked = of_text(
        "[[inputs.prometheus]]\n  urls = [\"http://a\"]\n  username = \"u\"\n  password = \"p\"\n  bearer_token = \"/t\"\n\
         [[inputs.dns_query]]\n  servers = [\"192.0.2.1\", \"2001:db8::1\"]\n  port = 5353\n",
    );
    assert!(!checked.translation.is_incomplete(), "{}", report::text(&checked.translation));
    assert!(
        checked.toml.contains("bearer_token_file = \"/t\"") && !checked.toml.contains("username"),
        "{}",
        checked.toml
    );
    for server in ["192.0.2.1:5353", "[2001:db8::1]:5353"] {
        assert!(checked.toml.contains(server), "{}", checked.toml);
    }
}
