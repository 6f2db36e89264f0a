//! Gateways as tests start them: Taffrail's, and Debian's Pushgateway.

use std::ops::Deref;
use std::path::Path;
use std::process::Command;

use super::http::{Reply, Request, request};
use super::real::{Server, free_port};
use super::{Taffrail, get};

/// A gateway: Taffrail's or another.
pub trait Gateway {
    /// Host and port.
    fn address(&self) -> String;

    fn send(&self, request: &Request) -> Reply {
        request.send(&self.address())
    }

    fn put(&self, path: &str, body: &str) -> Reply {
        self.send(&request("PUT", path, body))
    }

    fn post(&self, path: &str, body: &str) -> Reply {
        self.send(&request("POST", path, body))
    }

    fn delete(&self, path: &str) -> Reply {
        self.send(&request("DELETE", path, ""))
    }

    /// What Prometheus pulls.
    fn exposition(&self) -> String {
        let answer = get(&format!("http://{}/metrics", self.address()), &[]).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().to_owned()
    }

    /// The value of a series, written as in the exposition.
    fn sample(&self, series: &str) -> Option<f64> {
        super::sample(&self.exposition(), series)
    }
}

/// Taffrail as a gateway and nothing else.
pub struct Own {
    taffrail: Taffrail,
    address: String,
}

impl Own {
    /// With these settings of `[gateway]`, in memory alone.
    pub fn start(settings: &str) -> Own {
        Own::start_with(&format!("[gateway]\n{settings}"), &[])
    }

    /// With its groups in `folder`.
    pub fn keeping(folder: &Path, config: &str) -> Own {
        Own::start_with(config, &["--state", folder.to_str().unwrap()])
    }

    /// With this configuration and these arguments.
    pub fn start_with(config: &str, arguments: &[&str]) -> Own {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let taffrail = Taffrail::start_command("gateway", config, &all);
        let address = taffrail.gateway();
        Own { taffrail, address }
    }

    /// The process, to end it.
    pub fn process(&mut self) -> &mut Taffrail {
        &mut self.taffrail
    }
}

impl Deref for Own {
    type Target = Taffrail;

    fn deref(&self) -> &Taffrail {
        &self.taffrail
    }
}

impl Gateway for Own {
    fn address(&self) -> String {
        self.address.clone()
    }
}

/// Pushgateway, in memory alone.
pub struct Pushgateway(Server);

impl Pushgateway {
    pub fn start(options: &[&str]) -> Pushgateway {
        let port = free_port();
        let mut command = Command::new("prometheus-pushgateway");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--persistence.file=").args(options);
        Pushgateway(Server::start(command, port, "/-/ready"))
    }

    /// The same where it cannot be asked whether it is ready.
    pub fn start_with_tls(options: &[&str]) -> Pushgateway {
        let port = free_port();
        let mut command = Command::new("prometheus-pushgateway");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--persistence.file=").args(options);
        Pushgateway(Server::start_silent(command, port))
    }
}

impl Gateway for Pushgateway {
    fn address(&self) -> String {
        self.0.url.trim_start_matches("http://").to_owned()
    }
}
