//! Ways to authenticate at NATS servers, each with a server that demands it; and replicas whose gateways have TLS.

use super::servers::NatsServers;
use super::{jwt, push, replica_config, stop, stream};
use crate::harness::http::request;
use crate::harness::real::free_port;
use crate::harness::tls::Certificates;
use crate::harness::{Taffrail, wait_until};

/// Creates the stream and pushes to a replica with `right`, settings of `[nats]`; with each of `wrong`, that fails for a reason.
/// No secret is printed or logged.
fn authenticates(servers: &NatsServers, scheme: &str, right: &str, wrong: &[(&str, &str)], secrets: &[&str]) {
    let (folder, address) = (tempfile::tempdir().unwrap(), format!("127.0.0.1:{}", free_port()));
    let config = |settings: &str| {
        let nats = format!("servers = {:?}\n{settings}", servers.urls(scheme));
        replica_config(&format!("replica_url = \"http://{address}\""), &nats, &address, folder.path())
    };
    let has_secret = |text: &str| secrets.iter().any(|secret| text.contains(secret));
    wait_until("the stream", || {
        let created = stream(&config(right), &["create", "--replicas", "1"]);
        created.inspect_err(|error| assert!(!has_secret(error), "{error}")).ok()
    });
    let status = stream(&config(right), &["status"]).unwrap();
    assert!(status.contains("servers:  1, led by "), "{status}");
    let environment = [("TAFFRAIL_LOG_LEVEL", "debug")];
    let replica = Taffrail::start_with_environment("gateway", &config(right), &[], &environment);
    replica.gateway();
    push(&address, "a", 1);
    let log = replica.log().join("\n");
    assert!(!has_secret(&log), "{log}");
    stop(replica);
    for (settings, reason) in wrong {
        let error = wait_until("an error with a reason", || {
            let error = stream(&config(settings), &["status"]).unwrap_err();
            error.contains(reason).then_some(error)
        });
        assert!(!has_secret(&error), "{error}");
        let replica = Taffrail::start_command("gateway", &config(settings), &[]);
        replica.wait_for_log(reason);
        assert!(!has_secret(&replica.log().join("\n")));
        stop(replica);
    }
}

const DENIED: &str = "no connection to a NATS server: authorization violation";

#[test]
fn replicas_authenticate_with_a_token() {
    let servers = NatsServers::start(1, "authorization { token: \"t0p-secret\" }");
    let wrong = [("", DENIED), ("token = \"wr0ng-secret\"", DENIED)];
    authenticates(&servers, "nats", "token = \"t0p-secret\"", &wrong, &["t0p-secret", "wr0ng-secret"]);
}

#[test]
fn replicas_authenticate_with_a_user_and_a_password() {
    // The documented permissions suffice.
    let permissions = "publish: [\"groups.records\", \"groups.replicas\", \"$KV.groups_lease.>\", \"$JS.API.>\", \"$JS.ACK.>\"], \
                       subscribe: [\"groups.replicas\", \"_INBOX.>\"]";
    let user = format!("user: taffrail, password: \"t0p-secret\", permissions: {{ {permissions} }}");
    let servers = NatsServers::start(1, &format!("authorization {{ users: [ {{ {user} }} ] }}"));
    let wrong = [("", DENIED), ("user = \"taffrail\"\npassword = \"wr0ng-secret\"", DENIED)];
    let right = "user = \"taffrail\"\npassword = \"t0p-secret\"";
    authenticates(&servers, "nats", right, &wrong, &["t0p-secret", "wr0ng-secret"]);
}

/// Requests that a server does not permit get no answer: the error names what the server has refused.
#[test]
fn what_a_server_does_not_permit_is_named() {
    let user = |name: &str, denied: &str| {
        let permissions = format!("publish: {{ deny: [{denied}] }}");
        format!("{{ user: {name}, password: p, permissions: {{ {permissions} }} }}")
    };
    let users = [
        "{ user: all, password: p }".to_owned(),
        user("mute", "\"groups.records\""),
        user("blind", "\"$JS.API.STREAM.INFO.groups\""),
        user("leaseless", "\"$KV.groups_lease.>\""),
    ];
    let servers = NatsServers::start(1, &format!("authorization {{ users: [ {} ] }}", users.join(", ")));
    let (folder, address) = (tempfile::tempdir().unwrap(), format!("127.0.0.1:{}", free_port()));
    let config = |user: &str| {
        let nats = format!("servers = {:?}\nuser = \"{user}\"\npassword = \"p\"", servers.urls("nats"));
        replica_config(&format!("replica_url = \"http://{address}\""), &nats, &address, &folder.path().join(user))
    };
    wait_until("the stream", || stream(&config("all"), &["create", "--replicas", "1"]).ok());
    for (user, what, refused) in [
        ("mute", "the stream stores no messages: ", "\"groups.records\""),
        ("leaseless", "the lease can be neither read nor taken: ", "\"$KV.groups_lease.writer\""),
        ("blind", "this replica waits for the stream: the stream groups: ", "\"$JS.API.STREAM.INFO.groups\""),
    ] {
        let replica = Taffrail::start_command("gateway", &config(user), &[]);
        let logged = replica.wait_for_log(what);
        let lower = logged.to_lowercase();
        let expected = "the nats server has reported: permissions violation for publish to ";
        assert!(lower.contains(expected) && logged.contains(refused), "{logged}");
        stop(replica);
    }
}

#[test]
fn replicas_authenticate_with_a_credentials_file() {
    let (server, credentials, seed) = jwt::operator();
    let (_, others, other_seed) = jwt::operator();
    let servers = NatsServers::start(1, &server);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        format!("credentials = \"{}\"", folder.path().join(name).display())
    };
    let right = file("right.creds", &credentials);
    let (other, none) = (file("other.creds", &others), file("none.creds", "none\n"));
    let absent = format!("credentials = \"{}\"", folder.path().join("absent.creds").display());
    let wrong = [
        ("", DENIED),
        (&other[..], DENIED),
        (&none[..], "[nats] credentials: "),
        (&absent[..], "absent.creds: No such file or directory"),
    ];
    authenticates(&servers, "nats", &right, &wrong, &[&seed, &other_seed]);
}

#[test]
fn replicas_authenticate_with_a_certificate() {
    let certificates = Certificates::make();
    let file = |name: &str| certificates.folder().join(name).display().to_string();
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        file("server.pem"),
        file("server.key"),
        file("authority.pem")
    );
    let servers = NatsServers::start(1, &tls);
    let [certificate, key] = certificates.client_files("replica").map(|path| path.display().to_string());
    let identity = format!("tls_cert = \"{certificate}\"\ntls_key = \"{key}\"");
    let with_ca = |name: &str| format!("tls_ca = \"{}\"\n", file(name));
    let (right, other) = (with_ca("authority.pem") + &identity, with_ca("other.pem") + &identity);
    let (none, absent) = (with_ca("authority.pem"), with_ca("absent.pem") + &identity);
    let secret = std::fs::read_to_string(&key).unwrap().lines().nth(1).unwrap().to_owned();
    let wrong = [
        (&other[..], "no connection to a NATS server: "),
        (&none[..], "no connection to a NATS server: "),
        (&absent[..], "absent.pem: No such file or directory"),
    ];
    authenticates(&servers, "tls", &right, &wrong, &[&secret]);
    // Servers that demand TLS say so to clients of other URLs.
    authenticates_again(&servers, &right);
}

fn authenticates_again(servers: &NatsServers, settings: &str) {
    let nats = format!("servers = {:?}\n{settings}", servers.urls("nats"));
    let state = tempfile::tempdir().unwrap();
    let config = replica_config("replica_url = \"http://127.0.0.1:1\"", &nats, "127.0.0.1:1", state.path());
    let status = stream(&config, &["status"]).unwrap();
    assert!(status.contains("servers:  1, led by "), "{status}");
}

/// The gateways listen with TLS, and trust a CA of their own.
#[test]
fn replicas_forward_pushes_over_tls() {
    let (servers, certificates) = (NatsServers::start(1, ""), Certificates::make());
    let file = |name: &str| certificates.folder().join(name).display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let addresses = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let config = |replica: usize, ca: &str| {
        let gateway = format!("replica_url = \"https://{}\"\nreplica_name = \"r{replica}\"\n{ca}", addresses[replica]);
        let nats = format!("servers = {:?}", servers.urls("nats"));
        let state = folder.path().join(replica.to_string());
        let tls =
            format!("[http.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n", file("server.pem"), file("server.key"));
        replica_config(&gateway, &nats, &addresses[replica], &state) + &tls
    };
    let ca = |name: &str| format!("replica_ca = \"{}\"", file(name));
    let first = config(0, &ca("authority.pem"));
    wait_until("the stream", || stream(&first, &["create", "--replicas", "1"]).ok());
    let push = |replica: usize| {
        let pushed = request("PUT", "/metrics/job/a", "x 1\n");
        pushed.send_over(&mut certificates.connect(&addresses[replica], None)).unwrap()
    };
    let writer = Taffrail::start_command("gateway", &first, &[]);
    writer.wait_for_log("this replica is a writer");
    assert_eq!(push(0).status, 200);
    let follower = Taffrail::start_command("gateway", &config(1, &ca("authority.pem")), &[]);
    follower.wait_for_log("this replica is a follower");
    wait_until("a forwarded push", || (push(1).status == 200).then_some(()));
    // A replica that trusts another CA says so.
    let other = Taffrail::start_command("gateway", &config(2, &ca("other.pem")), &[]);
    other.wait_for_log("this replica is a follower");
    let refused = push(2);
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("certificate"), "{}", refused.body);
    [writer, follower, other].into_iter().for_each(stop);
}
