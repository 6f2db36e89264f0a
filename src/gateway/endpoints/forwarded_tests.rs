//! A replica in front of a writer that the test plays.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::{Document, Pattern};
use crate::gateway::endpoints::routes::router;
use crate::gateway::groups::position::Identity;
use crate::gateway::persistence::group_store::GroupStore;
use crate::gateway::replication::settings::Settings;
use crate::gateway::replication::shared::Shared;
use crate::gateway::replication::status::UNSEEN;
use crate::http::access::{Right, User, Viewer};
use crate::settings::{self, Overrides};

const OK: &str =
    "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nX-Of-Writer: a\r\nConnection: x-hop\r\nX-Hop: a\r\n\r\ndone\n";

/// A replica and the requests that its writer got.
struct Replica {
    gateway: Arc<Gateway>,
    status: Arc<Shared>,
    got: Arc<Mutex<Vec<String>>>,
}

/// The settings of a gateway.
fn gateway_settings(toml: &str) -> crate::gateway::settings::Settings {
    let document = Document::parse("test", toml, &|_| None).unwrap();
    settings::Settings::check(&document, &Overrides::default()).unwrap().gateway
}

fn follower(writer_url: Option<String>) -> Status {
    let identity = Some(Identity { id: 1, created: 1 });
    Status { writer_url, identity, seen: Some(Instant::now()), ..Status::default() }
}

fn writer() -> Status {
    Status { role: Role::Writer, ..follower(None) }
}

impl Replica {
    fn new(scrape: Scrape, toml: &str, status: Status) -> Replica {
        let url = "http://this.example".to_owned();
        let settings = Settings { stream: "s".to_owned(), scrape, name: "this".to_owned(), url, ..Settings::default() };
        let client = client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let shared = Arc::new(Shared::default());
        shared.set(status);
        let replication = Replication { settings, status: shared.clone(), client };
        let store = GroupStore::open(None).unwrap();
        let gateway = Gateway::new(store, Some(replication), gateway_settings(toml));
        Replica { gateway, status: shared, got: Arc::default() }
    }

    /// A follower of a writer that gives these responses, one on each connection; none closes it after the request.
    async fn of_writer(responses: &'static [&'static str]) -> Replica {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let replica = Replica::new(Scrape::Writer, "", follower(Some(url)));
        let got = replica.got.clone();
        tokio::spawn(async move {
            for response in responses {
                let (mut connection, _) = listener.accept().await.unwrap();
                let request = request_on(&mut connection).await;
                got.lock().unwrap().push(request);
                connection.write_all(response.as_bytes()).await.unwrap();
            }
        });
        replica
    }

    async fn responds(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let service = TowerToHyperService::new(router(self.gateway.clone()));
        let response = service.call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The requests that the writer got.
    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

/// One request with a Content-Length, or none.
async fn request_on(connection: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return String::from_utf8(request).unwrap();
            }
        }
        let mut chunk = [0; 4096];
        let count = connection.read(&mut chunk).await.unwrap();
        assert!(count > 0, "{text}");
        request.extend_from_slice(&chunk[..count]);
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

fn push() -> Request<Body> {
    request("PUT", "/metrics/job/a", &[], "x 1\n")
}

#[test]
fn the_log_has_the_reason_of_a_replica_that_is_not_the_writer() {
    let response = not_the_writer();
    let expected = Refused(Reason::Writer, "this replica is not the writer; try again later".to_owned());
    assert_eq!(response.extensions().get(), Some(&expected));
    assert_eq!(response.status(), Reason::Writer.status());
}

/// The follower's log names the client; the writer's can only name the follower.
#[tokio::test]
async fn the_reason_of_a_writer_that_refuses_reaches_the_client_and_the_log() {
    let refused = "HTTP/1.1 429 Too Many\r\nContent-Length: 10\r\nRetry-After: 7\r\n\r\n100 groups";
    let cut = "HTTP/1.1 400 Bad\r\nContent-Length: 99999999\r\n\r\nx";
    for (method, response, status, body) in [
        ("PUT", refused, 429, "100 groups"),
        ("DELETE", refused, 429, "100 groups"),
        ("PUT", cut, 400, "the reason of the writer has not arrived, or is too long"),
    ] {
        let replica = Replica::of_writer(vec![response].leak()).await;
        let writer = replica.status.get().writer_url.clone().unwrap();
        let service = TowerToHyperService::new(router(replica.gateway.clone()));
        let response = service.call(request(method, "/metrics/job/a", &[], "")).await.unwrap();
        let expected =
            Refused(Reason::AtWriter(StatusCode::from_u16(status).unwrap()), format!("the writer at {writer}: {body}"));
        assert_eq!(response.extensions().get(), Some(&expected));
        assert_eq!(
            (response.status().as_u16(), response.headers().contains_key("retry-after")),
            (status, status == 429)
        );
        let got = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&got).trim_end(), body);
    }
}

#[tokio::test]
async fn a_push_reaches_the_writer_as_it_was_sent() {
    let replica = Replica::of_writer(&[OK]).await;
    let headers = [
        ("host", "gateway.example:9091"),
        ("authorization", "Bearer secret"),
        ("content-encoding", "gzip"),
        ("idempotency-key", "k"),
        ("connection", "keep-alive, X-Of-Connection"),
        ("x-of-connection", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("origin", "http://gateway.example:9091"),
    ];
    // The writer decompresses the body, and refuses it if it is not valid.
    let (status, headers, body) =
        replica.responds(request("POST", "/metrics/job/a/path@base64/L3g?a=b%20c", &headers, "not gzip")).await;
    assert_eq!((status, body.as_str()), (StatusCode::ACCEPTED, "done\n"));
    assert_eq!(
        (headers.get("x-of-writer").is_some(), headers.get("x-hop"), headers.get("connection")),
        (true, None, None)
    );
    let [got] = &replica.got()[..] else { panic!("{:?}", replica.got()) };
    let got = got.to_lowercase();
    assert!(got.starts_with("post /metrics/job/a/path@base64/l3g?a=b%20c http/1.1\r\n"), "{got}");
    assert!(got.ends_with("\r\n\r\nnot gzip"), "{got}");
    for name in ["host: gateway.example:9091", "authorization: bearer secret", "content-encoding: gzip"] {
        assert!(got.contains(name), "{name} in {got}");
    }
    assert!(got.contains("idempotency-key: k") && got.contains("x-taffrail-forwarded: 1"), "{got}");
    for name in ["connection:", "keep-alive", "te:", "proxy-", "origin:"] {
        assert!(!got.contains(&format!("\r\n{name}")), "{name} in {got}");
    }
}

#[tokio::test]
async fn all_that_changes_something_is_forwarded_and_nothing_else() {
    let replica = Replica::of_writer(&[OK, OK, OK, OK, OK, OK]).await;
    replica.gateway.settings.store(Arc::new(gateway_settings("[gateway]\nadmin_api = true")));
    for (method, path) in [
        ("POST", "/metrics/job/a"),
        ("DELETE", "/metrics/job/a"),
        ("POST", "/write?db=x"),
        ("POST", "/api/v2/write?bucket=x"),
        ("DELETE", "/api/v1/groups?match[]=job=%22a%22"),
        ("PUT", "/api/v1/admin/wipe"),
    ] {
        assert_eq!(replica.responds(request(method, path, &[], "")).await.0, StatusCode::ACCEPTED, "{method} {path}");
    }
    assert_eq!(replica.got().len(), 6);
    for (method, path, status) in [
        ("GET", "/metrics/job/a", 404),
        ("GET", "/api/v1/metrics", 200),
        ("GET", "/api/v1/status", 200),
        ("POST", "/metrics", 405),
        ("PUT", "/-/quit", 403),
        ("GET", "/-/healthy", 200),
        ("GET", "/", 200),
    ] {
        let got = replica.responds(request(method, path, &[], "")).await;
        assert_eq!(got.0.as_u16(), status, "{method} {path}: {}", got.2);
    }
    assert_eq!(replica.got().len(), 6);
}

#[tokio::test]
async fn rights_are_checked_before() {
    let replica = Replica::new(Scrape::Own, "", follower(Some("http://192.0.2.1:9".to_owned())));
    let jobs = vec![Pattern::new("a").unwrap()];
    let user = User { name: "a".to_owned(), password_hash: None, token: None, rights: vec![Right::Push], jobs };
    for (method, path) in
        [("PUT", "/metrics/job/b"), ("POST", "/write?db=x"), ("DELETE", "/api/v1/groups?match[]=a=%22%22")]
    {
        let mut request = request(method, path, &[], "");
        request.extensions_mut().insert(Viewer::Known(Arc::new(user.clone())));
        assert_eq!(replica.responds(request).await.0, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

#[tokio::test]
async fn a_forwarded_request_is_not_forwarded_again() {
    let replica = Replica::of_writer(&[]).await;
    let (status, headers, _) =
        replica.responds(request("PUT", "/metrics/job/a", &[("x-taffrail-forwarded", "1")], "x 1\n")).await;
    assert_eq!((status, headers.get(FORWARDED).is_some()), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(replica.got(), Vec::<String>::new());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_here() {
    let replica =
        Replica::new(Scrape::Own, "[gateway]\nmax_body = \"1KiB\"", follower(Some("http://192.0.2.1:9".to_owned())));
    let (status, ..) = replica.responds(request("PUT", "/metrics/job/a", &[], &"x 1\n".repeat(300))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_lost_response_is_unknown_and_not_tried_again() {
    let replica = Replica::of_writer(&["", OK]).await;
    let (status, headers, body) = replica.responds(push()).await;
    assert_eq!((status, headers.get("retry-after").is_some()), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert!(body.starts_with("it is not known whether the writer got the request: "), "{body}");
    assert_eq!(replica.got().len(), 1);
}

#[tokio::test]
async fn no_request_waits_for_a_writer_that_was_replaced() {
    let scrape = || request("GET", "/metrics", &[], "");
    for (sent, expected) in [(push(), StatusCode::SERVICE_UNAVAILABLE), (scrape(), StatusCode::ACCEPTED)] {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let replica = Replica::of_writer(&[OK]).await;
        let next = replica.status.get();
        replica.status.set(follower(Some(format!("http://{}", silent.local_addr().unwrap()))));
        let replace = async {
            let connection = silent.accept().await.unwrap();
            replica.status.set(Status::clone(&next));
            connection
        };
        let ((status, _, text), _connection) = tokio::join!(replica.responds(sent), replace);
        assert_eq!(status, expected, "{text}");
        let is_unknown =
            text.contains("it is not known whether the writer got the request: another replica writes now");
        assert_eq!(is_unknown, status != StatusCode::ACCEPTED, "{text}");
    }
}

#[tokio::test]
async fn a_replica_that_is_no_longer_the_writer_is_asked_again() {
    const NOT: &str = "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\nX-Taffrail-Forwarded: 0\r\n\r\n";
    let replica = Replica::of_writer(&[NOT, OK]).await;
    assert_eq!(replica.responds(push()).await.0, StatusCode::ACCEPTED);
    assert_eq!(replica.got().len(), 2);
}

#[tokio::test]
async fn a_request_waits_for_the_next_writer_which_may_be_this_replica() {
    // Nothing listens there.
    let replica = Replica::new(Scrape::Own, "", follower(Some("http://127.0.0.1:1".to_owned())));
    let status = replica.status.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        status.set(writer());
    });
    assert_eq!(replica.responds(push()).await.0, StatusCode::OK);
    let (status, _, body) = replica.responds(request("GET", "/metrics/job/a", &[], "")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("\nx{instance=\"\",job=\"a\"} 1\n"), "{body}");
}

#[tokio::test]
async fn without_a_writer_a_request_waits_and_gets_503() {
    let replica = Replica::new(Scrape::Own, "", follower(None));
    let (status, headers, body) = replica.responds(push()).await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "there is no writer; try again later\n"));
    assert_eq!(headers["retry-after"], "5");
    let stopped = Status { role: Role::Stopped, ..Status::default() };
    replica.status.set(stopped);
    let (status, _, body) = replica.responds(push()).await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "this replica has stopped; try again later\n")
    );
}

#[tokio::test]
async fn the_status_of_a_replica_is_in_the_api() {
    let writer_url = "http://writer.example:9091".to_owned();
    let status =
        Status { writer: Some("b".to_owned()), applied: 5, last: 7, persisted: 4, ..follower(Some(writer_url)) };
    let replica = Replica::new(Scrape::Own, "", status);
    let (_, _, body) = replica.responds(request("GET", "/api/v1/status", &[], "")).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "name": "this", "stream": "s", "stream_id": "00000000000000000000000000000001", "role": "follower",
        "exposes_groups": false, "reason": null, "writer": "b", "writer_url": "http://writer.example:9091",
        "applied_sequence": 5, "last_sequence": 7, "lag_messages": 2, "persisted_sequence": 4, "replicas": [],
        "durability": {"synced": null, "servers": {}, "failures": []}, "warnings": [],
    });
    assert_eq!(body["data"]["replica"], expected);
}

#[tokio::test]
async fn dots_in_a_path_are_not_lost_on_the_way() {
    let replica = Replica::of_writer(&[OK]).await;
    let (status, ..) = replica.responds(request("PUT", "/metrics/job/a/x/%2e%2E", &[], "x 1\n")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, ..) = replica.responds(request("PUT", "/metrics/job/a\\b", &[], "x 1\n")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(replica.got()[0].starts_with("PUT /metrics/job/a%5Cb HTTP/1.1\r\n"), "{:?}", replica.got());
}

#[tokio::test]
async fn only_the_writer_exposes_groups() {
    let replica = Replica::new(Scrape::Own, "", writer());
    assert_eq!(replica.responds(push()).await.0, StatusCode::OK);
    let scrape = || request("GET", "/metrics", &[], "");
    let exposes = |text: &str| text.contains("\nx{instance=\"\",job=\"a\"} 1\n");
    let until = |seconds| std::time::Instant::now().checked_add(Duration::from_secs(seconds));
    replica.status.set(Status { exposes_until: until(60), ..writer() });
    assert!(exposes(&replica.responds(scrape()).await.2));
    // Its lease has ended.
    for status in [writer(), follower(None)] {
        replica.status.set(status);
        let (status, _, body) = replica.responds(scrape()).await;
        assert!(status == StatusCode::OK && !exposes(&body), "{status} {body}");
        assert!(body.contains("\ntaffrail_gateway_role{role=\"stopped\"} 0\n"), "{body}");
    }
    // Behind one address, the writer is asked.
    let replica = Replica::of_writer(&[OK]).await;
    assert_eq!(replica.responds(scrape()).await.2, "done\n");
    assert!(replica.got()[0].starts_with("GET /metrics HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_replica_is_ready_when_it_follows_closely() {
    let replica = Replica::new(Scrape::Own, "", Status::default());
    for (status, is_ready) in [
        (Status::default(), false),
        (follower(None), true),
        (writer(), true),
        (Status { applied: 1, last: 1000, ..follower(None) }, false),
        (Status { applied: 990, last: 1000, ..follower(None) }, true),
        (Status { role: Role::Stopped, ..follower(None) }, false),
        (Status { seen: None, ..follower(None) }, false),
        (Status { seen: Instant::now().checked_sub(UNSEEN), ..follower(None) }, false),
    ] {
        replica.status.set(status.clone());
        let expected = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(replica.responds(request("GET", "/-/ready", &[], "")).await.0, expected, "{status:?}");
        assert_eq!(replica.responds(request("GET", "/-/healthy", &[], "")).await.0, StatusCode::OK);
    }
}
