//! The sink for Elasticsearch: into OpenSearch, and by scripted servers what a good one seldom says.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::python::{folder, run};
use crate::harness::real::{Server, free_port};
use crate::harness::server::{FakeInflux, Post, Reply, reply};
use crate::harness::{Taffrail, recorded_host, wait_until};
use serde_json::Value;
use taffrail::encode::lines::{Lines, RecordWriter};
use taffrail::spool::{Limits, Queue, Settings};

fn config(url: &str, more: &str) -> String {
    format!(
        "{}[collectors]\ndefault = false\nenable = [\"loadavg\"]\n\
         [agent]\ninterval = \"200ms\"\nflush_interval = \"200ms\"\nhostname = \"web-1\"\n\
         [[sinks.elasticsearch]]\nname = \"kibana\"\nretry_min = \"50ms\"\nretry_max = \"200ms\"\n\
         refused_retry = \"200ms\"\nurls = [\"{url}\"]\n{more}",
        recorded_host()
    )
}

/// A server that has the template, and answers `_bulk` by `script`, which gets the ids of documents.
fn server(script: impl Fn(&[String]) -> Reply + Send + Sync + 'static) -> FakeInflux {
    FakeInflux::start(move |post: &Post| match post.target.contains("/_bulk") {
        true => script(&ids(post)),
        false => reply(404, ""),
    })
}

fn ids(post: &Post) -> Vec<String> {
    let actions = post.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    actions.filter_map(|action| Some(action["create"]["_id"].as_str()?.to_owned())).collect()
}

/// That all these documents are stored.
fn stored(ids: &[String]) -> Reply {
    let items = vec!["{\"create\":{\"status\":201}}"; ids.len()];
    reply(200, &format!("{{\"errors\":false,\"items\":[{}]}}", items.join(",")))
}

/// All documents that were sent.
fn documents(server: &FakeInflux) -> Vec<Vec<String>> {
    server.writes().iter().filter(|(post, _)| post.target.contains("/_bulk")).map(|(post, _)| ids(post)).collect()
}

fn sample(taffrail: &Taffrail, family: &str, more: &str) -> f64 {
    taffrail.get("/metrics").sample(&format!("{family}{{{more}sink=\"kibana\"}}")).unwrap()
}

#[test]
fn of_a_bulk_every_point_is_settled_by_itself() {
    let seen = Mutex::new(HashSet::new());
    let server = server(move |ids| {
        let status = |id: &String| match id.as_bytes()[0] % 4 {
            0 => 400,
            // The first time.
            1 if seen.lock().unwrap().insert(id.clone()) => 429,
            2 => 409,
            _ => 201,
        };
        let item = |id: &String| match status(id) {
            201 => "{\"create\":{\"status\":201}}".to_owned(),
            status => format!("{{\"create\":{{\"status\":{status},\"error\":{{\"type\":\"t\",\"reason\":\"why\"}}}}}}"),
        };
        let items: Vec<String> = ids.iter().map(item).collect();
        reply(200, &format!("{{\"errors\":true,\"items\":[{}]}}", items.join(",")))
    });
    let more = "manage_template = false\nmetric_batch_size = 12\nflush_interval = \"1s\"\n";
    let taffrail = Taffrail::start(&config(&server.url(), more));
    wait_until("two batches", || (sample(&taffrail, "taffrail_sink_points_sent_total", "") > 30.0).then_some(()));
    let requests = documents(&server);
    let kind = |id: &str| id.as_bytes()[0] % 4;
    let sent_again = requests.windows(2).filter(|pair| pair[1].iter().any(|id| pair[0].contains(id)));
    let mut repeated = 0;
    for pair in sent_again {
        let again: Vec<&String> = pair[1].iter().filter(|id| pair[0].contains(id)).collect();
        assert!(again.iter().all(|id| kind(id) == 1), "only what was refused for now is sent again: {again:?}");
        repeated += again.len();
    }
    assert!(repeated > 0, "{requests:?}");
    let rejected = sample(&taffrail, "taffrail_sink_points_dropped_total", "reason=\"rejected\",");
    assert!(rejected > 0.0);
    assert!(taffrail.log().iter().any(|line| line.contains("t: why")), "{:#?}", taffrail.log());
}

#[test]
fn line_protocol_that_an_earlier_version_persisted_is_sent_as_documents() {
    let spool = tempfile::tempdir().unwrap();
    let settings = Settings { folder: Some(spool.path().to_owned()), ..Settings::default() };
    let limits = Limits { memory: 1 << 20, bytes: 1 << 20, age: Duration::from_secs(86_400) };
    let queue = Queue::on_disk(&settings.folder_of("kibana").unwrap(), limits);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let mut lines = Lines::default();
    (0..100).for_each(|n| lines.push(format!("old,host=a\\ b n={n}i,text=\"{n},\" {now}\n").as_bytes()));
    queue.push(lines);
    assert_eq!(queue.close(), 0);
    drop(queue);
    let server = server(stored);
    let more = format!("manage_template = false\n[spool]\nfolder = {:?}\n", spool.path());
    let taffrail = Taffrail::start(&config(&server.url(), &more));
    let numbers = || {
        let sent = server.writes().into_iter().flat_map(|(post, _)| post.lines);
        let documents = sent.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let old =
            documents.filter(|document| document["measurement_name"] == "old" && document["tag"]["host"] == "a b");
        old.filter_map(|document| document["old"]["n"].as_u64()).collect::<Vec<_>>()
    };
    wait_until("all of them", || (numbers().len() >= 100).then_some(()));
    assert_eq!(numbers(), (0..100).collect::<Vec<_>>());
    assert_eq!(sample(&taffrail, "taffrail_sink_points_dropped_total", "reason=\"rejected\","), 0.0);
}

#[test]
fn a_template_is_installed_once_and_one_of_others_is_left_alone() {
    let server = FakeInflux::start(|post| match post.target.as_str() {
        "/es/_index_template/metrics-taffrail-default" => reply(404, "").or_ok_if(!post.lines.is_empty()),
        _ => stored(&ids(post)),
    });
    let taffrail = Taffrail::start(&config(&format!("{}/es", server.url()), "api_key = \"id:key\"\n"));
    taffrail.wait_for_log("the index template metrics-taffrail-default was installed");
    server.wait_for_writes(5);
    let writes = server.writes();
    let templates = writes.iter().filter(|(post, _)| post.target.contains("_index_template"));
    assert_eq!(templates.count(), 2, "asked for, and installed: {writes:#?}");
    assert!(writes.iter().all(|(post, _)| post.header("authorization") == Some("ApiKey aWQ6a2V5")));
    drop(taffrail);
    server.answer(|post| match post.target.contains("_index_template") {
        true => reply(200, "{\"index_templates\":[{\"index_template\":{\"version\":0}}]}"),
        false => stored(&ids(post)),
    });
    let before = server.writes().len();
    let _taffrail = Taffrail::start(&config(&server.url(), ""));
    server.wait_for_writes(before + 4);
    let after = server.writes().split_off(before);
    assert_eq!(after.iter().filter(|(post, _)| post.target.contains("_index_template")).count(), 1);
}

trait OrOk {
    fn or_ok_if(self, condition: bool) -> Reply;
}

impl OrOk for Reply {
    fn or_ok_if(self, condition: bool) -> Reply {
        if condition { reply(200, "{\"acknowledged\":true}") } else { self }
    }
}

#[test]
fn a_server_that_refuses_the_template_is_told_of_and_keeps_the_points() {
    let server = FakeInflux::start(|_| reply(403, "no permission"));
    let taffrail = Taffrail::start(&config(&server.url(), "username = \"u\"\npassword = \"p\"\n"));
    let line = taffrail.wait_for_log("manage_template = false");
    assert!(line.contains("no permission"), "{line}");
    assert_eq!(server.writes()[0].0.header("authorization"), Some("Basic dTpw"));
    server.answer(|post| match post.target.contains("_index_template") {
        true => reply(200, "{\"index_templates\":[]}"),
        false => stored(&ids(post)),
    });
    wait_until("the points", || (sample(&taffrail, "taffrail_sink_points_sent_total", "") > 5.0).then_some(()));
    assert_eq!(sample(&taffrail, "taffrail_sink_points_dropped_total", "reason=\"rejected\","), 0.0);
}

#[test]
fn a_bulk_that_is_too_large_is_cut_up() {
    let server = server(|ids| if ids.len() > 2 { reply(413, "") } else { stored(ids) });
    let taffrail = Taffrail::start(&config(&server.url(), "manage_template = false\nflush_interval = \"1s\"\n"));
    wait_until("the points", || (sample(&taffrail, "taffrail_sink_points_sent_total", "") > 5.0).then_some(()));
    assert!(documents(&server).iter().any(|ids| ids.len() > 2));
}

#[test]
fn what_cannot_be_is_refused_by_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, "[[sinks.elasticsearch]]\nurls = ['x']\ndata_stream = 'A'\napi_key = 'a'\nusername = 'b'\n")
        .unwrap();
    let (_, reported) =
        crate::harness::printed(&crate::harness::taffrail(&["check", "--config", path.to_str().unwrap()]));
    for complaint in ["expected an http or https URL", "expected a name of lower-case letters", "found both"] {
        assert!(reported.contains(complaint), "{complaint}: {reported}");
    }
}

/// OpenSearch from Maven's packages, in `data`.
fn opensearch(data: &std::path::Path, port: u16) -> Server {
    let folder = folder("opensearch");
    run(Command::new("mvn").args(["-q", "-B", "compile", "dependency:copy-dependencies"]).current_dir(&folder));
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-cp", "target/classes:target/dependency/*", "Server"]).arg(data);
    java.args([port.to_string(), free_port().to_string()]).current_dir(&folder);
    Server::start(java, port, "/_cluster/health?wait_for_status=yellow")
}

#[test]
#[ignore = "needs Maven: tests/run"]
fn with_maven_and_opensearch_every_point_is_a_document_also_through_a_kill() {
    let (data, spool, port) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), free_port());
    let server = opensearch(data.path(), port);
    let more = format!(
        "timeout = \"20s\"\n[spool]\nfolder = \"{}\"\n[gateway]\nlisten = [\"127.0.0.1:0\"]\n",
        spool.path().display()
    );
    let text = config(&server.url, &more).replace("enable = [\"loadavg\"]", "enable = [\"loadavg\", \"meminfo\"]");
    let mut taffrail = Taffrail::start(&text);
    let line = taffrail.wait_for_log("the gateway listens on ");
    let push = crate::harness::http::request("PUT", "/metrics/job/import", "rows{table=\"a b\"} 3\n");
    assert_eq!(push.send(line.split_once("://").unwrap().1).status, 200);
    let search = |query: &str| server.json(&format!("/metrics-taffrail-default/_search?size=1&q={query}"));
    let found = wait_until("documents", || {
        server.json("/metrics-taffrail-default/_refresh");
        let found = search("measurement_name:mem");
        found["hits"]["hits"][0]["_source"].is_object().then_some(found)
    });
    let document = &found["hits"]["hits"][0]["_source"];
    assert_eq!((&document["host"]["name"], &document["tag"]["host"]), (&"web-1".into(), &"web-1".into()));
    assert!(document["mem"].as_object().is_some_and(|fields| fields.len() > 5), "{document}");
    // What the template makes of the first document that comes.
    let mapping = server.json("/metrics-taffrail-default/_mapping");
    let mapping = &mapping.as_object().unwrap().values().next().unwrap()["mappings"]["properties"];
    let type_of = |path: &[&str]| {
        let inner =
            path.iter().fold(mapping, |at, name| if *name == path[0] { &at[*name] } else { &at["properties"][*name] });
        inner["type"].as_str().unwrap_or("none").to_owned()
    };
    assert_eq!(type_of(&["mem", "total"]), "long");
    assert_eq!(type_of(&["system", "load1"]), "double");
    assert_eq!(type_of(&["tag", "host"]), "keyword");
    let pushed = wait_until("what the job pushed", || {
        server.json("/metrics-taffrail-default/_refresh");
        let found = search("tag.job:import");
        found["hits"]["hits"][0]["_source"].is_object().then_some(found)
    });
    assert_eq!(pushed["hits"]["hits"][0]["_source"]["prometheus"]["rows"], 3.0);
    // The server is killed, and Taffrail too; in the end every tick is there, and once.
    drop(server);
    std::thread::sleep(Duration::from_secs(1));
    taffrail.signal(rustix::process::Signal::KILL);
    taffrail.wait();
    let server = opensearch(data.path(), port);
    let taffrail = Taffrail::start(&text);
    wait_until("the backlog", || (sample(&taffrail, "taffrail_sink_queued_points", "") < 20.0).then_some(()));
    let ticks = wait_until("the ticks", || {
        server.json("/metrics-taffrail-default/_refresh");
        let found = server.json("/metrics-taffrail-default/_search?size=5000&q=_exists_:system.load1&sort=@timestamp:asc&_source=false&docvalue_fields=@timestamp");
        let hits = found["hits"]["hits"].as_array()?;
        let ticks: Vec<String> = hits.iter().map(|hit| hit["sort"][0].to_string()).collect();
        (ticks.len() > 15).then_some(ticks)
    });
    let ticks: Vec<i64> = ticks.iter().map(|tick| tick.parse().unwrap()).collect();
    let gaps: Vec<i64> =
        ticks.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| !(100..300).contains(gap)).collect();
    // While Taffrail itself was down, nothing was measured.
    assert!(gaps.len() <= 1, "{gaps:?} in {ticks:?}");
}
