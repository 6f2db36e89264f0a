//! TLS, users and tokens, as administrators configure them: for the agent and for the gateway alike.

use std::fs;
use std::path::Path;

use crate::harness::gateway::{Gateway, Own, Pushgateway};
use crate::harness::http::{Reply, Request, request};
use crate::harness::tls::{Certificates, own_authority};
use crate::harness::{Taffrail, printed, recorded_host, taffrail, wait_until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The bcrypt hash of `password`, at the lowest cost.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn get(path: &str) -> Request {
    request("GET", path, "")
}

fn tls_section(folder: &Path) -> String {
    let folder = folder.display();
    format!("[http.tls]\ncert_file = \"{folder}/server.pem\"\nkey_file = \"{folder}/server.key\"\n")
}

#[test]
fn tls_is_spoken_by_agent_and_gateway() {
    let certificates = Certificates::make();
    let config =
        format!("{}{}[gateway]\nlisten = [\"127.0.0.1:0\"]\n", recorded_host(), tls_section(certificates.folder()));
    let taffrail = Taffrail::start(&config);
    let agent = taffrail.addresses()[0].clone();
    let gateway = taffrail.wait_for_log("the gateway listens on https://").split_once("://").unwrap().1.to_owned();
    let over_tls =
        |address: &str, request: &Request| request.send_over(&mut certificates.connect(address, None)).unwrap();
    assert!(over_tls(&agent, &get("/metrics")).body.contains("node_load1 "));
    assert_eq!(over_tls(&gateway, &request("PUT", "/metrics/job/a", "x 1\n")).status, 200);
    assert!(over_tls(&gateway, &get("/metrics")).body.contains("x{instance=\"\",job=\"a\"} 1"));
    let plain = get("/metrics").send(&agent);
    assert!(plain.status == 400 && plain.body.contains("https://"), "{plain:?}");
    assert!(taffrail.wait_for_log("listening on").contains("https://"));
}

#[test]
fn clients_show_certificates_where_that_is_asked_for() {
    let certificates = Certificates::make();
    let config = |more: &str| {
        let authority = certificates.authority();
        format!("{}client_ca_file = \"{}\"\n{more}", tls_section(certificates.folder()), authority.display())
    };
    let strangers = Certificates::make();
    let asks = |gateway: &Own, client| {
        get("/metrics").send_over(&mut certificates.connect(&gateway.address(), client)).map(|reply| reply.status)
    };
    let gateway = Own::start_with(&config("client_auth = \"RequireAndVerifyClientCert\"\n"), &[]);
    assert_eq!(asks(&gateway, None), None);
    assert_eq!(asks(&gateway, Some(strangers.client("a.example"))), None);
    assert_eq!(asks(&gateway, Some(certificates.client("a.example"))), Some(200));

    let named = "client_auth = \"RequireAndVerifyClientCert\"\nclient_allowed_sans = [\"a.example\", \"10.0.0.7\"]\n";
    let gateway = Own::start_with(&config(named), &[]);
    assert_eq!(asks(&gateway, Some(certificates.client("b.example"))), None);
    assert_eq!(asks(&gateway, Some(certificates.client("a.example"))), Some(200));
    assert_eq!(asks(&gateway, Some(certificates.client("10.0.0.7"))), Some(200));

    let gateway = Own::start_with(&config("client_auth = \"VerifyClientCertIfGiven\"\n"), &[]);
    assert_eq!(asks(&gateway, None), Some(200));
    assert_eq!(asks(&gateway, Some(strangers.client("a.example"))), None);

    // A client's certificate that is its own authority, and another one of the same subject.
    let (own, key, pem) = own_authority("a.example");
    let path = certificates.folder().join("own.pem");
    fs::write(&path, pem).unwrap();
    let trusted = format!("client_ca_file = \"{}\"\nclient_auth = \"RequireAndVerifyClientCert\"\n", path.display());
    let gateway = Own::start_with(&format!("{}{trusted}", tls_section(certificates.folder())), &[]);
    assert_eq!(asks(&gateway, Some((own, key))), Some(200));
    let (other, key, _) = own_authority("a.example");
    assert_eq!(asks(&gateway, Some((other, key))), None);
    assert_eq!(asks(&gateway, Some(certificates.client("a.example"))), None);

    let any = format!("{}client_auth = \"RequireAnyClientCert\"\n", tls_section(certificates.folder()));
    let gateway = Own::start_with(&any, &[]);
    assert_eq!(asks(&gateway, None), None);
    assert_eq!(asks(&gateway, Some(strangers.client("a.example"))), Some(200));
}

fn users() -> String {
    format!(
        "[[http.users]]\nname = \"prometheus\"\npassword_hash = \"{}\"\nrights = [\"read\"]\n\
         [[http.users]]\nname = \"backup\"\ntoken = \"t0ken\"\nrights = [\"push\"]\njobs = [\"backup-.*\"]\n\
         [[http.users]]\nname = \"ops\"\ntoken_sha256 = \"{}\"\n[gateway]\nadmin_api = true\n",
        hash("wonder"),
        // That of "secret".
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    )
}

#[test]
fn users_and_tokens_have_their_rights_and_jobs() {
    let gateway = Own::start_with(&users(), &[]);
    let ask = |credentials: &str, request: Request| gateway.send(&request.header("Authorization", credentials));
    let prometheus = basic("prometheus", "wonder");
    let (backup, ops) = ("Bearer t0ken", "Bearer secret");
    let push = |job: &str| request("PUT", &format!("/metrics/job/{job}"), "x 1\n");

    for (credentials, request, status) in [
        ("", push("backup-1"), 401),
        ("Bearer wrong", push("backup-1"), 401),
        (basic("prometheus", "wrong").as_str(), get("/metrics"), 401),
        (basic("nobody", "wonder").as_str(), get("/metrics"), 401),
        (basic("backup", "t0ken").as_str(), get("/metrics"), 401),
        ("Basic ???", get("/metrics"), 401),
        (backup, push("backup-1"), 200),
        (backup, push("other"), 403),
        (backup, request("DELETE", "/metrics/job/other", ""), 403),
        (backup, get("/metrics"), 403),
        (backup, get("/api/v1/metrics"), 403),
        (backup, get("/ping"), 204),
        (backup, request("POST", "/write", "a value=1\n"), 403),
        (ops, request("POST", "/write", "a value=1\n"), 204),
        (backup, get("/metrics/job/backup-1"), 403),
        (backup, request("PUT", "/api/v1/admin/wipe", ""), 403),
        (backup, request("DELETE", "/api/v1/groups?match%5B%5D=job%3D%22a%22", ""), 403),
        (prometheus.as_str(), get("/metrics"), 200),
        (prometheus.as_str(), get("/"), 200),
        (prometheus.as_str(), push("backup-1"), 403),
        (ops, push("other"), 200),
        (ops, get("/metrics"), 200),
        (ops, request("PUT", "/api/v1/admin/wipe", ""), 202),
        ("", get("/-/healthy"), 200),
        ("", get("/-/ready"), 200),
    ] {
        let shown = format!("{credentials} {} {}", request.method, request.target);
        assert_eq!(ask(credentials, request).status, status, "{shown}");
    }
    let unknown = gateway.send(&get("/metrics"));
    assert_eq!(unknown.header("www-authenticate"), Some("Basic"));
    let said = ask(backup, push("other")).body;
    assert_eq!(said, "backup may not push to the job \"other\", nor delete its groups\n");
    // A user who may not delete sees no button.
    ask(ops, push("backup-1"));
    assert!(!ask(&prometheus, get("/")).body.contains("data-path=\"metrics"));
    assert!(ask(ops, get("/")).body.contains("data-path=\"metrics/job/backup-1\""));
}

#[test]
fn the_agent_asks_too() {
    let config = format!(
        "{}[[http.users]]\nname = \"a\"\ntoken = \"t\"\nrights = [\"push\"]\n{}",
        recorded_host(),
        "[[http.users]]\nname = \"b\"\ntoken = \"u\"\n"
    );
    let taffrail = Taffrail::start(&config);
    let status = |token: &str| taffrail.get_with("/metrics", &[("authorization", &format!("Bearer {token}"))]).status;
    assert_eq!([status("x"), status("t"), status("u")], [401, 403, 200]);
    assert_eq!(taffrail.get("/-/healthy").status, 200);
}

fn web_config(folder: &Path, text: &str) -> String {
    fs::write(folder.join("web.yml"), text).unwrap();
    format!("[http]\nweb_config_file = \"{}/web.yml\"\n", folder.display())
}

#[test]
fn a_web_config_file_is_taken_and_read_again_when_it_changes() {
    let certificates = Certificates::make();
    let folder = certificates.folder();
    let text = |password: &str| {
        format!(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n\
             http_server_config:\n  headers:\n    X-Frame-Options: deny\n\
             basic_auth_users:\n  alice: {}\n",
            hash(password)
        )
    };
    let gateway = Own::start_with(&web_config(folder, &text("wonder")), &[]);
    let ask = |certificates: &Certificates, password: &str| -> Option<Reply> {
        let request = get("/metrics").header("Authorization", &basic("alice", password));
        request.send_over(&mut certificates.connect(&gateway.address(), None))
    };
    let first = ask(&certificates, "wonder").unwrap();
    assert_eq!((first.status, first.header("x-frame-options")), (200, Some("deny")));
    let refused = ask(&certificates, "land").unwrap();
    assert_eq!((refused.status, refused.header("x-frame-options")), (401, Some("deny")));
    // Another password.
    fs::write(folder.join("web.yml"), text("land")).unwrap();
    wait_until("the new password", || (ask(&certificates, "land")?.status == 200).then_some(()));
    assert_eq!(ask(&certificates, "wonder").unwrap().status, 401);
    // A mistake changes nothing.
    fs::write(folder.join("web.yml"), "basic_auth_user: {}\n").unwrap();
    gateway_log(&gateway, &certificates, &ask);
    assert_eq!(ask(&certificates, "land").unwrap().status, 200);
    // Another certificate.
    let others = Certificates::make();
    for name in ["server.pem", "server.key"] {
        fs::copy(others.folder().join(name), folder.join(name)).unwrap();
    }
    fs::write(folder.join("web.yml"), text("land")).unwrap();
    wait_until("the new certificate", || (ask(&others, "land")?.status == 200).then_some(()));
    assert!(ask(&certificates, "land").is_none());
}

/// Asks until the log reports the mistake.
fn gateway_log(gateway: &Own, certificates: &Certificates, ask: &dyn Fn(&Certificates, &str) -> Option<Reply>) {
    wait_until("the mistake in the log", || {
        ask(certificates, "land")?;
        gateway.log().iter().find(|line| line.contains("basic_auth_user") && line.contains("did you mean")).map(|_| ())
    });
}

#[test]
fn a_rate_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Own::start_with(&web_config(folder.path(), "rate_limit:\n  interval: 1h\n  burst: 2\n"), &[]);
    let statuses: Vec<u16> = (0..3).map(|_| gateway.send(&get("/metrics")).status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(gateway.send(&get("/-/healthy")).status, 200);
}

#[test]
fn guessing_is_in_nobodys_way_who_is_known() {
    let hash = bcrypt::hash("wonder", 6).unwrap();
    let gateway = Own::start_with(&format!("[[http.users]]\nname = \"a\"\npassword_hash = \"{hash}\"\n"), &[]);
    let ask = |password: &str| gateway.send(&get("/metrics").header("Authorization", &basic("a", password)));
    assert_eq!(ask("wonder").status, 200);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let guesses: Vec<_> =
            (0..100).map(|guess| scope.spawn(move || ask(&format!("guess {guess}")).status)).collect();
        for _ in 0..10 {
            assert_eq!(gateway.send(&get("/-/healthy")).status, 200);
            assert_eq!(ask("wonder").status, 200);
        }
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
    });
    // Those that found no slot in the queue may retry.
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 401).count() >= 32, "{statuses:?}");
}

#[test]
fn what_is_wrong_is_told_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let check = |config: &str| {
        let path = folder.path().join("taffrail.toml");
        fs::write(&path, config).unwrap();
        let (_, said) = printed(&taffrail(&["check", "--config", path.to_str().unwrap()]));
        said
    };
    for (config, says) in [
        ("[http.tls]\ncert_file = \"/none\"\n", "http.tls.key_file: required"),
        ("[http.tls]\nclient_auth = \"RequireAnyClientCert\"\n", "http.tls.cert_file: required"),
        ("[http.tls]\ncert_file = \"/none\"\nkey_file = \"/none\"\n", "/none: No such file"),
        ("[http.tls]\ncert_file = \"a\"\nkey_file = \"b\"\nclient_ca_file = \"c\"\n", "a client CA without"),
        ("[http.tls]\nmin_version = \"TLS11\"\n", "expected TLS12 or TLS13"),
        ("[[http.users]]\nname = \"a\"\n", "expected password_hash, token or token_sha256"),
        ("[[http.users]]\ntoken = \"a\"\n", "http.users[0].name: required"),
        ("[[http.users]]\nname = \"a\"\ntoken = \" \"\n", "http.users[0].token: expected a token, found an empty one"),
        ("[[http.users]]\nname = \"a\"\npassword_hash = \"secret\"\n", "expected a bcrypt hash"),
        (
            "[[http.users]]\nname = \"a\"\npassword_hash = \"$2y$15$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\"\n",
            "http.users[0].password_hash: expected a bcrypt hash of cost 4 to 14, found cost 15: each wrong password takes",
        ),
        ("[[http.users]]\nname = \"a\"\ntoken = \"a\"\nrights = [\"write\"]\n", "expected read, push or admin"),
        (
            "[[http.users]]\nname = \"a\"\ntoken = \"a\"\njobs = [\"(\"]\n",
            "jobs[0]: expected an anchored regular expression",
        ),
        ("[http]\nweb_config_file = \"/none\"\n", "/none: No such file"),
    ] {
        let said = check(config);
        assert!(said.contains(says), "{config}: {said}");
    }
    let said = check(&web_config(folder.path(), "tls_server_config:\n  cert_file: a\n"));
    assert!(said.contains("web.yml:2:3: tls_server_config.key_file: required"), "{said}");
    let said = check(&web_config(
        folder.path(),
        "basic_auth_users:\n  a: $2y$17$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG\n",
    ));
    let expected = "basic_auth_users: the password of \"a\": expected a bcrypt hash of cost 4 to 14, found cost 17: ";
    assert!(said.contains(expected), "{said}");
    // A password that is no hash is not shown.
    assert!(!check("[[http.users]]\nname = \"a\"\npassword_hash = \"hunter2\"\n").contains("hunter2"));
    assert!(!check(&web_config(folder.path(), "basic_auth_users:\n  a: hunter2\n")).contains("hunter2"));
}

#[test]
#[ignore = "needs Debian's package prometheus-pushgateway: tests/run"]
fn with_pushgateway_that_reads_the_same_web_config() {
    let certificates = Certificates::make();
    let folder = certificates.folder();
    fs::copy(certificates.authority(), folder.join("clients.pem")).unwrap();
    let text = format!(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: clients.pem\n  \
         client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS12\n  \
         cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA]\n  \
         prefer_server_cipher_suites: true\n  curve_preferences: [CurveP256, X25519]\n\
         http_server_config:\n  http2: false\n  headers:\n    X-Content-Type-Options: nosniff\n\
         basic_auth_users:\n  alice: {}\n",
        hash("wonder")
    );
    let ours = Own::start_with(&web_config(folder, &text), &[]);
    let theirs = Pushgateway::start_with_tls(&[&format!("--web.config.file={}/web.yml", folder.display())]);
    for address in [ours.address(), theirs.address()] {
        let ask = |request: Request, client| {
            let reply = request.send_over(&mut certificates.connect(&address, client));
            reply.map(|reply| (reply.status, reply.header("x-content-type-options").map(str::to_owned)))
        };
        let certificate = || Some(certificates.client("a.example"));
        let nosniff = || Some("nosniff".to_owned());
        let known = get("/metrics").header("Authorization", &basic("alice", "wonder"));
        assert_eq!(ask(known.clone(), certificate()), Some((200, nosniff())), "{address}");
        assert_eq!(ask(known, None), None, "{address}");
        assert_eq!(ask(get("/metrics"), certificate()).map(|(status, _)| status), Some(401), "{address}");
    }
}

/// What a client reports that does not trust the certificate, or finds no TLS.
#[test]
fn what_is_wrong_with_tls_is_told_with_the_remedy() {
    let certificates = Certificates::make();
    let folder = certificates.folder().display();
    let tls = format!("[http.tls]\ncert_file = \"{folder}/server.pem\"\nkey_file = \"{folder}/server.key\"\n");
    let (taffrail, plain) = (Taffrail::start(&format!("{}{tls}", recorded_host())), Taffrail::start(&recorded_host()));
    let address = taffrail.addresses()[0].clone();
    let (of_ours, of_others) = (certificates.authority(), certificates.other_authority());
    for (address, authority, reported) in [
        (&address, &of_others, "has a signature that does not fit"),
        (&address.replace("127.0.0.1", "localhost"), &of_ours, "is not for localhost, but for 127.0.0.1"),
        (&plain.addresses()[0], &of_ours, "does not speak TLS at this port"),
    ] {
        let output = crate::harness::taffrail(&[
            "health",
            &format!("https://{address}"),
            "--ca-file",
            authority.to_str().unwrap(),
        ]);
        let (_, problem) = crate::harness::printed(&output);
        assert!(!output.status.success() && problem.contains(reported), "{problem}");
    }
}
