//! The examples of docs/scraping.md, each with the exporter that it is for.

use std::path::Path;
use std::process::Command;

use crate::harness::real::{Server, free_port};
use crate::harness::wait_until;
use crate::scraping::{exposition_with, scraping};

/// The configuration of the page for the job `name`, as it stands except for the port.
fn example(name: &str, usual: u16, port: u16) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scraping.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, examples) = page.split_once("\n## Examples\n").unwrap();
    let mut blocks = examples.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains(&format!("name = \"{name}\""))).unwrap();
    let usual = format!(":{usual}\"");
    assert!(block.contains(&usual), "{block}");
    block.replace(&usual, &format!(":{port}\""))
}

/// Scrapes by the example `name` at the usual port, and waits for these lines of the exposition.
fn scraped(name: &str, usual: u16, port: u16, lines: &[String]) {
    exposition_with(&scraping(&example(name, usual, port)), lines);
}

/// An exporter that runs without its database.
fn exporter(program: &str, database: &str, port: u16) -> Server {
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).env("DATA_SOURCE_NAME", database);
    Server::start_silent(command, port)
}

#[test]
#[ignore = "needs Debian's package prometheus-mysqld-exporter: tests/run"]
fn with_mysqld_exporter_the_example_is_scraped() {
    let port = free_port();
    let _exporter = exporter("prometheus-mysqld-exporter", "u:p@(127.0.0.1:1)/", port);
    let labels = format!("instance=\"localhost:{port}\",job=\"mysql\"");
    scraped("mysql", 9104, port, &[format!("up{{{labels}}} 1"), format!("mysql_up{{{labels}}} 0")]);
}

#[test]
#[ignore = "needs Debian's package prometheus-postgres-exporter: tests/run"]
fn with_postgres_exporter_the_example_is_scraped() {
    let port = free_port();
    let database = "postgresql://u:p@127.0.0.1:1/?sslmode=disable";
    let _exporter = exporter("prometheus-postgres-exporter", database, port);
    let labels = format!("instance=\"localhost:{port}\",job=\"postgres\"");
    scraped("postgres", 9187, port, &[format!("up{{{labels}}} 1"), format!("pg_up{{{labels}}} 0")]);
}

/// With the lines of HAProxy's configuration that the page has.
#[test]
#[ignore = "needs Debian's package haproxy: tests/run"]
fn with_haproxy_the_example_is_scraped() {
    let port = free_port();
    let page = include_str!("../../docs/scraping.md");
    let (_, lines) = page.split_once("```haproxy\n").unwrap();
    let lines = lines.split("```").next().unwrap().replace(":8404", &format!(":{port}"));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("haproxy.cfg");
    std::fs::write(&config, lines).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(&config);
    let _haproxy = Server::start_silent(command, port);
    let labels = format!("instance=\"127.0.0.1:{port}\",job=\"haproxy\"");
    scraped(
        "haproxy",
        8404,
        port,
        &[format!("up{{{labels}}} 1"), format!("haproxy_frontend_status{{{labels},proxy=\"metrics\",state=\"UP\"}} 1")],
    );
}

/// The device is an SNMP agent on this host.
#[test]
#[ignore = "needs Debian's package prometheus-snmp-exporter: tests/run"]
fn with_snmp_exporter_the_example_is_scraped() {
    let (port, device) = (free_port(), free_port());
    let folder = tempfile::tempdir().unwrap();
    let (agent, modules) = (folder.path().join("snmpd.conf"), folder.path().join("snmp.yml"));
    std::fs::write(&agent, format!("agentaddress udp:127.0.0.1:{device}\nrocommunity public 127.0.0.1\n")).unwrap();
    std::fs::write(
        &modules,
        "if_mib:\n  walk: [1.3.6.1.2.1.2.2.1.10]\n  metrics:\n  - {name: ifInOctets, oid: 1.3.6.1.2.1.2.2.1.10, \
         type: counter, help: x, indexes: [{labelname: ifIndex, type: gauge}]}\n  auth: {community: public}\n",
    )
    .unwrap();
    let mut snmpd = Command::new("snmpd");
    snmpd.args(["-f", "-Lo", "-C", "-c"]).arg(&agent).arg("-p").arg(folder.path().join("pid"));
    let mut snmpd = snmpd.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut command = Command::new("prometheus-snmp-exporter");
    command.arg(format!("--config.file={}", modules.display())).arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _exporter = Server::start_silent(command, port);
    let config = example("snmp", 9116, port);
    let address = format!("127.0.0.1:{device}");
    let taffrail =
        scraping(&config.replace("switch-1.example.org", &address).replace("interval = \"1m\"", "interval = \"20s\""));
    exposition_with(&taffrail, &[format!("up{{instance=\"{address}\",job=\"snmp\"}} 1")]);
    // One interface at least: the loopback.
    wait_until("an interface", || {
        let series = format!("ifInOctets{{ifIndex=\"1\",instance=\"{address}\",job=\"snmp\"}}");
        taffrail.get("/metrics").text().contains(&series).then_some(())
    });
    snmpd.kill().unwrap();
    snmpd.wait().unwrap();
}
