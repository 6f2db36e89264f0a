//! What is read from files that settings name: regular files alone, bounded, in bounded time.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::harness::fuse::FuseMount;
use crate::harness::http::request;
use crate::harness::tls::Certificates;
use crate::harness::{Taffrail, alone, printed, recorded_host, taffrail, wait_until};

/// A folder with one of each kind that is not to be read.
struct Special {
    folder: tempfile::TempDir,
    _listener: UnixListener,
}

impl Special {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        make_fifo(&at("fifo"));
        symlink("/dev/zero", at("zero")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        File::create(at("sparse")).unwrap().set_len(1 << 40).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        Special { folder, _listener }
    }

    /// Each with what is said of it.
    fn all(&self) -> [(PathBuf, &'static str); 5] {
        let kinds = [
            ("fifo", "expected a regular file, found a FIFO"),
            ("zero", "expected a regular file, found a character device"),
            ("folder", "expected a regular file, found a directory"),
            ("socket", "expected a regular file, found a socket"),
            ("sparse", "more"),
        ];
        kinds.map(|(name, says)| (self.folder.path().join(name), says))
    }
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn check(config: &str, environment: &[(&str, &Path)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taffrail.toml");
    fs::write(&path, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    command.args(["check", "--config"]).arg(&path).envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{config}");
    printed(&output).1
}

#[test]
fn whatever_is_named_is_a_regular_file() {
    let (special, certificates) = (Special::make(), Certificates::make());
    let sound = |name: &str| certificates.folder().join(name).display().to_string();
    let (certificate, key) = (sound("server.pem"), sound("server.key"));
    let sink = "[[sinks.influxdb]]\nurls = [\"https://127.0.0.1:1\"]\ndatabase = \"d\"\n";
    for (path, says) in special.all() {
        let named = path.display();
        let configs = [
            format!("[tags]\na = \"${{file:{named}}}\"\n"),
            format!("[http.tls]\ncert_file = \"{named}\"\nkey_file = \"{key}\"\n"),
            format!("[http.tls]\ncert_file = \"{certificate}\"\nkey_file = \"{named}\"\n"),
            format!(
                "[http.tls]\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\nclient_ca_file = \"{named}\"\n\
                 client_auth = \"RequireAndVerifyClientCert\"\n"
            ),
            format!("[http]\nweb_config_file = \"{named}\"\n"),
            format!("{sink}tls_ca = \"{named}\"\n"),
            format!("{sink}tls_cert = \"{named}\"\ntls_key = \"{key}\"\n"),
            format!("{sink}tls_cert = \"{certificate}\"\ntls_key = \"{named}\"\n"),
        ];
        for config in configs {
            let said = check(&config, &[]);
            assert!(said.contains(&path.display().to_string()) && said.contains(says), "{config}{said}");
        }
    }
}

/// What collectors read while they run may appear later: `check` warns, and Taffrail starts.
#[test]
fn check_names_what_collectors_would_not_find() {
    let certificates = Certificates::make();
    let file = |name: &str| certificates.folder().join(name).display().to_string();
    let (certificate, key) = (file("server.pem"), file("server.key"));
    std::fs::write(file("text"), "no PEM").unwrap();
    let text = file("text");
    let job = "[[collectors.prometheus]]\nname = 'j'\ntargets = ['a:1']\n";
    let absent = "/nonexistent/x: No such file or directory";
    for (config, key, says) in [
        (format!("{job}tls_ca = '/nonexistent/x'"), "prometheus[0].tls_ca", absent),
        (format!("{job}tls_ca = '{text}'"), "prometheus[0].tls_ca", "expected certificates in PEM form, found none"),
        (format!("{job}tls_cert = '{certificate}'\ntls_key = '{text}'"), "prometheus[0].tls_cert", "no items found"),
        (format!("{job}tls_cert = '{text}'\ntls_key = '{key}'"), "prometheus[0].tls_cert", "found none"),
        (format!("{job}bearer_token_file = '/nonexistent/x'"), "prometheus[0].bearer_token_file", absent),
        (format!("{job}username = 'u'\npassword_file = '{key}'"), "password_file", "a secret is one line"),
        (
            format!("{job}[[collectors.prometheus.http_sd_configs]]\nurl = 'http://a'\ntls_ca = '/nonexistent/x'"),
            "http_sd_configs[0].tls_ca",
            absent,
        ),
        (
            "[[collectors.probe]]\nprober = 'x509'\ntargets = ['a:443']\ntls_ca = '/nonexistent/x'".to_owned(),
            "probe[0].tls_ca",
            absent,
        ),
        (
            "[[collectors.redis]]\nservers = ['a']\npassword_file = '/nonexistent/x'".to_owned(),
            "redis[0].password_file",
            absent,
        ),
        (
            "[[collectors.exec]]\ncommands = ['true']\nuser = 'nosuchuser'".to_owned(),
            "exec[0].user",
            "there is no user \"nosuchuser\" in /etc/passwd",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taffrail.toml");
        std::fs::write(&path, &config).unwrap();
        let output = taffrail(&["check", "--config", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{config}: {said}");
        let warning = said.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("{config}: {said}"));
        assert!(warning.contains("taffrail.toml:") && warning.contains(says), "{config}: {said}");
    }
    let good = format!("{job}tls_ca = '{certificate}'\ntls_cert = '{certificate}'\ntls_key = '{}'", file("server.key"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taffrail.toml");
    std::fs::write(&path, good).unwrap();
    let output = taffrail(&["check", "--quiet", "--config", path.to_str().unwrap()]);
    assert_eq!(printed(&output), (String::new(), String::new()));
}

/// What never works is an error.
#[test]
fn check_refuses_targets_that_are_none() {
    let probe = |prober: &str, target: &str| {
        let more = if prober == "dns" { "dns = {query_name = 'x'}\n" } else { "" };
        format!("[[collectors.probe]]\nprober = '{prober}'\n{more}targets = ['{target}']\n")
    };
    let bad = [
        ("http", vec!["/etc/x", "http:///etc/x", "http://a:0/", "a:0", "ftp://a", "a b", "unix:x"]),
        ("tcp", vec!["/etc/x", "a:0", "a", ":80", "http://a:1", "a?b:1"]),
        ("icmp", vec!["/etc/x", "a:0", "a/b", "http://a"]),
        ("dns", vec!["/etc/x", "a:0", "a b", "a?b"]),
        ("x509", vec!["a:0", "https://a:0", "/x/**/y.pem", "a", "http://a"]),
    ];
    for (prober, target) in
        bad.into_iter().flat_map(|(prober, targets)| targets.into_iter().map(move |of| (prober, of)))
    {
        let said = check(&probe(prober, target), &[]);
        assert!(said.contains("collectors.probe[0].targets[0]: expected"), "{prober} {target}: {said}");
    }
    for (config, key) in [
        ("[[collectors.redis]]\nservers = ['a:0']", "redis[0].servers[0]: expected"),
        ("[[collectors.memcached]]\nservers = ['a:0']", "memcached[0].servers[0]: expected"),
        ("[[collectors.nginx]]\nurls = ['/status']", "nginx[0].urls[0]: expected"),
        ("[[collectors.nginx]]\nurls = ['http://a:0/x']", "nginx[0].urls[0]: expected a port of at least 1"),
        ("[[collectors.apache]]\nurls = ['http://a:0/x']", "apache[0].urls[0]: expected a port of at least 1"),
        ("[[collectors.phpfpm]]\nurls = ['fcgi://a:0/x']", "phpfpm[0].urls[0]: expected"),
        ("[[collectors.redis]]\nservers = ['a']\nlabels = {'a-b' = 'x'}", "redis[0].labels.a-b: expected the name"),
        ("[[sinks.influxdb]]\nurls = ['http://a:0']\ndatabase = 'd'", "influxdb[0].urls[0]: expected"),
        ("[[sinks.remote_write]]\nurl = 'http://a:0'", "remote_write[0].url: expected"),
        (
            "[[sinks.remote_write]]\nexternal_labels = {'a-b' = 'x'}",
            "external_labels.a-b: expected the name of a label",
        ),
        ("[[collectors.prometheus]]\nname = 'j'\nhttp_sd_configs = [{url = 'http://a:0/'}]", "url: expected a port"),
    ] {
        let said = check(config, &[]);
        assert!(said.contains(key), "{config}: {said}");
    }
}

#[test]
fn credentials_are_regular_files() {
    // `check` takes any credential for good: the service alone can read them.
    let special = Special::make();
    for (path, says) in special.all() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let folder = special.folder.path().to_str().unwrap();
        let config = format!("[tags]\na = \"${{credential:{name}}}\"\n");
        let mut run = Taffrail::start_with_environment("run", &config, &[], &[("CREDENTIALS_DIRECTORY", folder)]);
        assert_eq!(run.wait().code(), Some(78));
        run.wait_for_log(&path.display().to_string());
        run.wait_for_log(says);
    }
}

#[test]
fn a_configuration_is_made_of_regular_files() {
    let special = Special::make();
    for (path, says) in special.all().into_iter().filter(|(path, _)| !path.ends_with("folder")) {
        let folder = tempfile::tempdir().unwrap();
        symlink(&path, folder.path().join("a.toml")).unwrap();
        for named in [folder.path(), &folder.path().join("a.toml")] {
            let output = taffrail(&["run", "--config", named.to_str().unwrap()]);
            let (_, said) = printed(&output);
            assert_eq!(output.status.code(), Some(78), "{said}");
            assert!(said.contains("/a.toml: cannot be read: ") && said.contains(says), "{said}");
        }
    }
    let fifo = special.folder.path().join("fifo");
    let (_, said) = printed(&taffrail(&["gateway", "--config", fifo.to_str().unwrap()]));
    assert!(said.contains("only check and print take a pipe"), "{said}");
}

/// What `taffrail ARGUMENTS --config /dev/stdin` says when it is given `config` by a pipe.
fn piped(arguments: &[&str], config: &[u8]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    command.args(arguments).args(["--config", "/dev/stdin"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The reader closes it after the first bytes.
    let _ = child.stdin.take().unwrap().write_all(config);
    let output = child.wait_with_output().unwrap();
    let (said, error) = printed(&output);
    (output.status.code(), said, error)
}

#[test]
fn check_and_print_take_a_configuration_from_a_pipe_and_run_does_not() {
    let config = recorded_host();
    let (status, said, _) = piped(&["check"], config.as_bytes());
    assert!(status == Some(0) && said.contains("is sound"), "{said}");
    let (status, said, _) = piped(&["print"], config.as_bytes());
    assert!(status == Some(0) && said.contains("node_load1 "), "{said}");
    let (status, _, error) = piped(&["check"], &vec![b'#'; 5 << 20]);
    assert!(status == Some(1) && error.contains("/dev/stdin: cannot be read: expected at most 4 MiB"), "{error}");
    let (status, _, error) = piped(&["run"], config.as_bytes());
    assert_eq!(status, Some(78));
    assert!(error.contains("/dev/stdin: cannot be read: expected a regular file, found a FIFO"), "{error}");
}

fn with_secret(path: &Path) -> String {
    format!("{}[tags]\na = \"${{file:{}}}\"\n", recorded_host(), path.display())
}

#[test]
fn a_reload_that_meets_a_special_file_changes_nothing() {
    let special = Special::make();
    let secret = special.folder.path().join("secret");
    fs::write(&secret, "sound").unwrap();
    let mut running = Taffrail::start(&with_secret(&secret));
    for (path, says) in special.all() {
        running.reload(&with_secret(&path));
        running.wait_for_log(says);
        assert_eq!(running.get("/-/healthy").status, 200);
        assert!(running.get("/metrics").text().contains("node_load1 "));
    }
    assert_eq!(running.logged("the configuration was not reloaded"), special.all().len());
    running.reload(&with_secret(&secret));
    running.signal(Signal::TERM);
    assert!(running.wait().success());
}

fn with_certificates(folder: &Path) -> String {
    let folder = folder.display();
    let tls = format!("[http.tls]\ncert_file = \"{folder}/server.pem\"\nkey_file = \"{folder}/server.key\"\n");
    format!("{}{tls}", recorded_host())
}

fn healthy(certificates: &Certificates, running: &Taffrail) -> Option<u16> {
    let mut stream = certificates.connect(&running.addresses()[0], None);
    request("GET", "/-/healthy", "").send_over(&mut stream).map(|reply| reply.status)
}

#[test]
fn certificates_that_become_special_files_leave_those_in_force() {
    let certificates = Certificates::make();
    let at = |name: &str| certificates.folder().join(name);
    let running = Taffrail::start(&with_certificates(certificates.folder()));
    let ask = || healthy(&certificates, &running);
    assert_eq!(ask(), Some(200));
    fs::rename(at("server.key"), at("kept.key")).unwrap();
    make_fifo(&at("server.key"));
    wait_until("the FIFO in the log", || {
        assert_eq!(ask(), Some(200));
        (running.logged("server.key: expected a regular file, found a FIFO") > 0).then_some(())
    });
    fs::rename(at("kept.key"), at("server.key")).unwrap();
    wait_until("the key in the log", || {
        assert_eq!(ask(), Some(200));
        (running.logged("were read again") > 0).then_some(())
    });
    assert_eq!(running.logged("found a FIFO"), 1);
}

#[test]
#[ignore = "needs root, and mounts: tests/run"]
fn with_mount_that_hangs_certificates_in_force_stay_in_force() {
    let _alone = alone();
    let (certificates, dead) = (Certificates::make(), FuseMount::mount());
    let at = |name: &str| certificates.folder().join(name);
    let running = Taffrail::start(&with_certificates(certificates.folder()));
    let threads = running.threads();
    dead.hang();
    fs::rename(at("server.key"), at("kept.key")).unwrap();
    symlink(dead.path().join("key"), at("server.key")).unwrap();
    wait_until("the mount in the log", || {
        assert_eq!(healthy(&certificates, &running), Some(200));
        (running.logged("server.key: not read within 5 s") > 0).then_some(())
    });
    assert!(running.threads() <= threads + 2);
    fs::rename(at("kept.key"), at("server.key")).unwrap();
    dead.answer();
    wait_until("the answer in the log", || {
        assert_eq!(healthy(&certificates, &running), Some(200));
        (running.logged("can be looked at again") > 0).then_some(())
    });
    assert_eq!(running.logged("stay as they were"), 1);
}

#[test]
#[ignore = "needs root, and mounts: tests/run"]
fn with_mount_that_hangs_what_is_named_there_is_given_up() {
    let _alone = alone();
    let dead = FuseMount::mount();
    dead.hang();
    let mut running = Taffrail::start(&recorded_host());
    let threads = running.threads();
    for _ in 0..3 {
        running.reload(&with_secret(&dead.path().join("secret")));
        assert_eq!(running.get("/-/healthy").status, 200);
    }
    running.wait_for_log("/secret: not read within 5 s: the file system that it is on does not answer");
    running.wait_for_log("/secret: not read: the file system that it is on still does not answer");
    assert!(running.threads() <= threads + 1);
    dead.answer();
    wait_until("the answer", || {
        running.reload(&with_secret(&dead.path().join("secret")));
        (running.logged("/secret: Function not implemented") > 0).then_some(())
    });
    running.signal(Signal::TERM);
    assert!(running.wait().success());
}
