//! Streams that someone has altered or lost, and replicas with mistakes in their configuration.

use serde_json::{Value, json};
use taffrail::gateway::replication::settings::GATEWAY_KEYS;
use taffrail::nats::settings::NATS_KEYS;

use super::servers::NatsServers;
use super::{DOCS, push, replica_config, stop, stream};
use crate::harness::real::free_port;
use crate::harness::{Taffrail, get, wait_until};

/// The answer to a request to the API of JetStream, once there is one.
fn jetstream(servers: &NatsServers, subject: &str, body: &Value) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = async || {
        let client = async_nats::connect(servers.urls("nats")).await.ok()?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        client.request(format!("$JS.API.{subject}"), body.into()).await.ok()
    };
    let answer = wait_until("JetStream", || runtime.block_on(asked()));
    serde_json::from_slice(&answer.payload).unwrap()
}

/// One server, and the configuration of a replica.
struct Deployment {
    servers: NatsServers,
    folder: tempfile::TempDir,
    address: String,
}

impl Deployment {
    fn new() -> Deployment {
        let (servers, folder) = (NatsServers::start(1, ""), tempfile::tempdir().unwrap());
        Deployment { servers, folder, address: format!("127.0.0.1:{}", free_port()) }
    }

    /// The configuration of a replica that listens on `address`, and is to be reached where the first one is.
    fn config(&self, name: &str, address: &str) -> String {
        let monitoring = format!("monitoring = [\"http://127.0.0.1:{}\"]", self.servers.all[0].monitor);
        let nats = format!("servers = {:?}\n{monitoring}", self.servers.urls("nats"));
        let gateway = format!("replica_url = \"http://{}\"\nreplica_name = \"{name}\"", self.address);
        replica_config(&gateway, &nats, address, &self.folder.path().join(name))
    }

    fn metric(&self, name: &str) -> Option<f64> {
        get(&format!("http://{}/metrics", self.address), &[]).ok()?.sample(name)
    }

    fn wait_until_ready(&self, expected: u16) {
        wait_until("readiness", || {
            let ready = get(&format!("http://{}/-/ready", self.address), &[]).ok()?;
            (ready.status == expected).then_some(())
        });
    }
}

#[test]
fn an_altered_stream_and_a_lost_lease_are_reported() {
    let mut deployment = Deployment::new();
    let config = deployment.config("a", &deployment.address);
    wait_until("the stream", || stream(&config, &["create", "--replicas", "1"]).ok());
    let mut altered = jetstream(&deployment.servers, "STREAM.INFO.groups", &Value::Null)["config"].clone();
    altered["max_msgs"] = json!(100_000);
    let updated = jetstream(&deployment.servers, "STREAM.UPDATE.groups", &altered);
    assert_eq!(updated["error"], Value::Null);
    let warning = "max_msgs: expected -1, found 100000";
    let status = stream(&config, &["status"]).unwrap();
    assert!(status.contains(&format!("warning:  {warning}\n")), "{status}");
    let replica = Taffrail::start_command("gateway", &config, &[]);
    let logged = replica.wait_for_log("the stream groups may lose pushes, or refuse them: ");
    assert!(logged.contains(warning), "{logged}");
    push(&deployment.address, "a", 1);
    let page = get(&format!("http://{}/", deployment.address), &[]).unwrap();
    assert!(page.text().contains(warning), "{}", page.text());
    deployment.wait_until_ready(200);
    assert_eq!(deployment.metric("taffrail_gateway_stream_reachable"), Some(1.0));

    // The replica creates the bucket again.
    jetstream(&deployment.servers, "STREAM.DELETE.KV_groups_lease", &Value::Null);
    let status = stream(&config, &["status"]).unwrap();
    assert!(status.contains("writer:   unknown: the bucket groups_lease: "), "{status}");
    replica.wait_for_log("the lease can be neither read nor taken: ");
    replica.wait_for_log("this replica reaches the stream again");
    wait_until("the groups", || deployment.metric("x{instance=\"\",job=\"a\"}"));

    // Without servers, nobody knows what it lacks.
    deployment.servers.stop();
    replica.wait_for_log("the servers do not describe the stream: no connection to a NATS server: ");
    deployment.wait_until_ready(503);
    assert_eq!(deployment.metric("taffrail_gateway_stream_reachable"), Some(0.0));
    deployment.servers.restart();
    deployment.wait_until_ready(200);
    push(&deployment.address, "b", 2);
    stop(replica);
}

/// A server alone stores a stream once, and says why it does not store it three times.
#[test]
fn a_server_without_a_cluster_needs_another_number_of_replicas() {
    let deployment = Deployment::new();
    let config = deployment.config("a", &deployment.address);
    let error = wait_until("the server's refusal", || {
        let error = stream(&config, &["create"]).unwrap_err();
        error.contains("replicas > 1").then_some(error)
    });
    let remedy = "; the NATS server has no cluster: use --replicas 1, with which the stream is on that server only, and is lost \
                  with it, or run a cluster of three servers\n";
    assert!(error.ends_with(remedy), "{error}");
    assert!(stream(&config, &["create", "--replicas", "1"]).is_ok());
}

/// What replicas have applied is not missing to them, but to those that begin later.
#[test]
fn messages_that_someone_removed_are_reported_by_replicas_that_run() {
    let mut deployment = Deployment::new();
    let config = deployment.config("a", &deployment.address);
    wait_until("the stream", || stream(&config, &["create", "--replicas", "1"]).ok());
    // Servers that do not sync are checked each few seconds.
    deployment.servers.restart_without_sync();
    let replica = Taffrail::start_command("gateway", &config, &[]);
    replica.gateway();
    (1..=4).for_each(|value| push(&deployment.address, "a", value));
    let purged = jetstream(&deployment.servers, "STREAM.PURGE.groups", &json!({"seq": 3}));
    assert_eq!(purged["success"], json!(true), "{purged}");
    let warning =
        "messages: expected a snapshot in place of those before message 3, found none; someone has removed them";
    let logged = replica.wait_for_log(warning);
    let (start, remedy) =
        ("the stream groups may lose pushes, or refuse them: ", "a copy of the directory of another replica");
    assert!(logged.contains(start) && logged.contains(remedy), "{logged}");
    let page = wait_until("the page", || {
        let page = get(&format!("http://{}/", deployment.address), &[]).ok()?;
        page.text().contains(warning).then_some(page)
    });
    assert_eq!(page.status, 200);
    let status = stream(&config, &["status"]).unwrap();
    assert!(status.contains(&format!("warning:  {warning}")), "{status}");
    // It goes on with what it has.
    push(&deployment.address, "b", 5);
    stop(replica);
}

/// A stream that would also store what replicas announce, each second.
#[test]
fn the_stream_of_another_program_is_left_alone() {
    let deployment = Deployment::new();
    let config = deployment.config("a", &deployment.address);
    wait_until("a stream", || {
        let ours = json!({"name": "groups", "subjects": ["groups.>"], "storage": "file", "num_replicas": 1});
        jetstream(&deployment.servers, "STREAM.CREATE.groups", &ours)["error"].is_null().then_some(())
    });
    let replica = Taffrail::start_command("gateway", &config, &[]);
    replica.wait_for_log("this replica has stopped: another program created the stream groups");
    replica.wait_for_log("subjects: expected [\"groups.records\"], found [\"groups.>\"]");
    // It listens to announcements for two intervals.
    let status = stream(&config, &["status"]).unwrap();
    assert!(status.contains("replicas: 0\n") && status.contains("messages: 1 to 0, 0 bytes\n"), "{status}");
    stop(replica);
}

#[test]
fn a_replica_url_of_two_replicas_is_reported() {
    let deployment = Deployment::new();
    let configs =
        [deployment.config("a", &deployment.address), deployment.config("b", &format!("127.0.0.1:{}", free_port()))];
    wait_until("the stream", || stream(&configs[0], &["create", "--replicas", "1"]).ok());
    let replicas = configs.map(|config| Taffrail::start_command("gateway", &config, &[]));
    let expected = |other| format!("another replica, {other}, also has the replica_url http://{}", deployment.address);
    replicas[0].wait_for_log(&expected("b"));
    replicas[1].wait_for_log(&expected("a"));
    replicas.into_iter().for_each(stop);
}

#[test]
fn all_settings_of_replicas_are_documented() {
    let keys = [("gateway", GATEWAY_KEYS), ("nats", NATS_KEYS)];
    for (section, key) in keys.into_iter().flat_map(|(section, keys)| keys.iter().map(move |key| (section, key.name))) {
        let is_documented = DOCS.contains(&format!("| `[{section}] {key}`")) || DOCS.contains(&format!("`{key}`"));
        assert!(is_documented, "[{section}] {key}");
    }
}

/// A mistyped directory would make an empty stream.
#[test]
fn groups_come_from_the_directory_of_a_gateway_only() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, missing) = (folder.path().join("empty"), folder.path().join("missing"));
    std::fs::create_dir(&empty).unwrap();
    let nats = "servers = [\"nats://127.0.0.1:1\"]";
    let config = replica_config("replica_url = \"http://127.0.0.1:1\"", nats, "127.0.0.1:1", folder.path());
    for (directory, expected) in [
        (&empty, "expected the directory of a gateway, found no groups in it"),
        (&missing, "No such file or directory (os error 2)"),
    ] {
        let directory = directory.to_str().unwrap();
        let error = stream(&config, &["create", "--from", directory]).unwrap_err();
        assert_eq!(error, format!("error: {directory}: {expected}\n"));
    }
    assert!(!missing.exists());
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
}

/// Without the bucket, which is created last, no replica takes a part of the groups for all of them.
#[test]
fn a_restoration_that_was_interrupted_is_not_taken_for_the_whole() {
    let deployment = Deployment::new();
    let config = deployment.config("a", &deployment.address);
    let saved = deployment.folder.path().join("saved");
    let alone =
        Taffrail::start_command("gateway", "", &["--listen", &deployment.address, "--state", saved.to_str().unwrap()]);
    assert_eq!(alone.gateway(), deployment.address);
    push(&deployment.address, "a", 1);
    stop(alone);
    let saved = saved.to_str().unwrap();
    let replica = Taffrail::start_command("gateway", &config, &[]);
    replica.wait_for_log("stream not found (code 404, error code 10059); `taffrail gateway stream create` creates it");
    stop(replica);
    wait_until("the stream", || stream(&config, &["create", "--replicas", "1"]).ok());
    assert!(stream(&config, &["restore", "--from", saved]).unwrap().starts_with("1 groups of "));
    // As after an interruption.
    jetstream(&deployment.servers, "STREAM.DELETE.KV_groups_lease", &Value::Null);
    let incomplete =
        "it is incomplete: create it again with `taffrail gateway stream create --replace --from DIRECTORY`";
    let refused = stream(&config, &["restore", "--from", saved]).unwrap_err();
    assert!(refused.contains("the stream groups has messages already") && refused.contains(incomplete), "{refused}");
    let replica = Taffrail::start_command("gateway", &config, &[]);
    replica.wait_for_log(incomplete);
    stop(replica);

    let replace = ["create", "--replicas", "1", "--replace", "--from", saved];
    stream(&config, &replace).unwrap();
    let replica = Taffrail::start_command("gateway", &config, &[]);
    deployment.wait_until_ready(200);
    let persisted = || deployment.metric("taffrail_gateway_stream_persisted_sequence");
    wait_until("the copy", || persisted().filter(|sequence| *sequence >= 2.0));
    stop(replica);
    // Another stream: the replica stops, and shows what its directory has.
    stream(&config, &replace).unwrap();
    let replica = Taffrail::start_command("gateway", &config, &[]);
    replica.wait_for_log("this replica has stopped: the stream groups is not the one");
    wait_until("its copy", || persisted().filter(|sequence| *sequence >= 2.0));
    stop(replica);
    assert!(stream(&config, &["create", "--replicas", "6"]).unwrap_err().contains("6 is not in 1..=5"));
}
