//! Credentials, and what stands between this host and AWS: slow services, proxies, clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::json;

use super::scripted::{CPU, ENVIRONMENT, SERIES, account, job, metrics, now, start, wait_for, wait_until_up};
use crate::harness::Taffrail;
use crate::harness::aws::{Aws, Reply};

const EC2: &str = "namespace = \"AWS/EC2\"";

/// Starts without credentials in the environment.
fn start_without_credentials(config: &str) -> Taffrail {
    let environment: Vec<_> = ENVIRONMENT.into_iter().filter(|(name, _)| !name.contains("ACCESS_KEY")).collect();
    let taffrail = Taffrail::start_with_environment("run", config, &["--listen", "127.0.0.1:0"], &environment);
    taffrail.wait_for_log("listening on");
    taffrail
}

#[test]
fn keys_are_in_the_configuration_and_never_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "hunter2hunter2\n").unwrap();
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]);
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "GetResources" => Reply::Error(400, "InternalFailure", "minio with hunter2hunter2 and token-3"),
        _ => plain(call),
    });
    let keys = format!(
        "{EC2}\naccess_key = \"minio\"\nsecret_key = \"${{file:{}}}\"\nsession_token = \"token-3\"",
        file.display()
    );
    let taffrail = start_without_credentials(&job(&aws, &keys));
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{SERIES}")), 4.0);
    assert!(aws.calls("GetMetricData").iter().all(|call| call.access_key == "minio"));
    let said = taffrail.wait_for_log("InternalFailure");
    assert!(said.contains("[secret] with [secret] and [secret]"), "{said}");
}

#[test]
fn a_slow_account_number_delays_no_data() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]);
    let is_slow = Arc::new(AtomicBool::new(true));
    let slow = is_slow.clone();
    let aws = Aws::start(move |call| {
        while call.operation == "GetCallerIdentity" && slow.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        plain(call)
    });
    let taffrail = start(&job(&aws, EC2));
    let unknown = SERIES.replace("account_id=\"111122223333\",", "");
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{unknown}")), 4.0);
    is_slow.store(false, SeqCst);
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{SERIES}")), 4.0);
    assert_eq!(taffrail.get("/metrics").sample(&format!("{CPU}{unknown}")), None);
    wait_until_up(&taffrail);
}

#[test]
fn a_clock_that_is_wrong_is_not_taken_for_keys_that_are() {
    let message =
        "Signature expired: 20260101T000000Z is now earlier than 20260101T004500Z (20260101T010000Z - 15 min.)";
    let aws = Aws::start(move |_| Reply::Error(403, "SignatureDoesNotMatch", message));
    let taffrail = start(&job(&aws, EC2));
    let said = taffrail.wait_for_log("clock is wrong");
    assert!(said.contains(&format!("this host's clock is wrong; set it, such as by NTP: {message}")), "{said}");
    assert_eq!(taffrail.logged("credentials"), 0, "{:?}", taffrail.log());
}

#[test]
fn the_page_of_a_proxy_is_told_with_its_status_and_first_bytes() {
    let pages = [
        (
            200,
            "text/html",
            "<html>Sign in with your credentials</html>",
            "status 200: a page, which is no answer of AWS: <html>Sign in with",
        ),
        (
            403,
            "text/html",
            "<html>Blocked by policy</html>",
            "status 403: a page, which is no answer of AWS: <html>Blocked by policy",
        ),
        (407, "text/plain", "Proxy says no", "status 407, and no answer of AWS: Proxy says no"),
    ];
    for (status, kind, body, expected) in pages {
        let aws = Aws::start(move |_| Reply::Raw(status, kind.to_owned(), body.as_bytes().to_vec()));
        let taffrail = start(&job(&aws, EC2));
        let said = taffrail.wait_for_log("ListMetrics in eu-west-1");
        assert!(said.contains(expected), "{said}");
        assert_eq!(taffrail.logged("no credentials"), 0, "{:?}", taffrail.log());
    }
}

#[test]
fn a_job_that_finds_nothing_says_so_once() {
    let plain = account(Vec::new(), |_| vec![(now() - 2, 4.0)]);
    let lists = Arc::new(AtomicUsize::new(0));
    let count = lists.clone();
    let aws = Aws::start(move |call| {
        if call.operation == "ListMetrics" && count.fetch_add(1, SeqCst) >= 3 {
            return Reply::Output(json!({"Metrics": metrics(&["CPUUtilization"], 1)}));
        }
        plain(call)
    });
    let taffrail = start(&job(&aws, &format!("{EC2}\ndiscovery_interval = \"1s\"")));
    taffrail.wait_for_log("the choice of metrics: recovered");
    let said = "nothing found: no metric of AWS/EC2, with data of the last three hours, is there that metrics and dimensions choose";
    assert_eq!(taffrail.logged(said), 1, "{:?}", taffrail.log());
    let listed = Aws::start(account(metrics(&["CPUUtilization"], 2), |_| Vec::new()));
    let taffrail = start(&job(&listed, &format!("{EC2}\ntags = {{ Team = \"shop\" }}")));
    taffrail.wait_for_log("nothing found: none of the 2 metrics of AWS/EC2 has a resource with these tags");
}

#[test]
fn the_log_has_no_lines_of_libraries() {
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]));
    let mut environment = ENVIRONMENT.to_vec();
    environment.push(("RUST_LOG", "trace"));
    let config = job(&aws, EC2);
    let arguments = ["--listen", "127.0.0.1:0", "--log-level", "debug"];
    let taffrail = Taffrail::start_with_environment("run", &config, &arguments, &environment);
    taffrail.wait_for_log("listening on");
    wait_for(&taffrail, &format!("{CPU}{SERIES}"));
    let log = taffrail.log().join("\n");
    for word in ["provider", "credential", "endpoint", "AKIATEST", "request"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}

#[test]
fn an_alias_of_the_account_is_shown_when_asked_for() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]);
    let is_denied = Arc::new(AtomicBool::new(true));
    let denied = is_denied.clone();
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "ListAccountAliases" if denied.load(SeqCst) => Reply::Error(403, "AccessDenied", "User: x is not authorized"),
        "ListAccountAliases" => {
            let xml = "<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases><member>shop-prod</member>\
                </AccountAliases><IsTruncated>false</IsTruncated></ListAccountAliasesResult></ListAccountAliasesResponse>";
            Reply::Raw(200, "text/xml".to_owned(), xml.as_bytes().to_vec())
        }
        _ => plain(call),
    });
    let taffrail = start(&job(&aws, &format!("{EC2}\naccount_alias = true")));
    let said = "ListAccountAliases in us-east-1: not allowed, the policy needs iam:ListAccountAliases: User: x";
    taffrail.wait_for_log(said);
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{SERIES}")), 4.0, "without the alias, not without data");
    is_denied.store(false, SeqCst);
    let with_alias = SERIES.replace("{account_id", "{account_alias=\"shop-prod\",account_id");
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{with_alias}")), 4.0);
    assert_eq!(taffrail.logged(said), 1);
    let asked = &aws.calls("ListAccountAliases")[0];
    assert_eq!((asked.region.as_str(), asked.access_key.as_str()), ("us-east-1", "AKIATEST"));
    assert!(aws.calls("GetCallerIdentity").len() <= aws.calls("ListAccountAliases").len());
}
