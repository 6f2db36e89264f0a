//! `taffrail health`: checks that a running Taffrail is healthy, for images without a shell or curl.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use taffrail::client::unix::{UNIX, for_url, request_url};
use taffrail::client::{self, Tls};
use taffrail::config::argument;

use crate::Failure;

/// Check that a running Taffrail is healthy; exit status 0 if it is, 1 if not
#[derive(Args)]
pub(crate) struct Health {
    /// URL or address, or unix:/PATH of a Unix socket; the default path is /-/healthy
    #[arg(default_value = "http://127.0.0.1:9100", value_parser = client::parse_argument)]
    url: reqwest::Url,
    /// Trust the certificates in this PEM file, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Timeout of the request
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = argument::<Duration>)]
    timeout: Duration,
}

impl Health {
    pub(crate) fn execute(self) -> Result<(), Failure> {
        crate::runtime()?.block_on(self.ask())
    }

    async fn ask(mut self) -> Result<(), Failure> {
        if self.url.scheme() == UNIX && !self.url.path().contains(":/") {
            self.url.set_path(&format!("{}:/-/healthy", self.url.path()));
        }
        if self.url.path() == "/" {
            self.url.set_path("/-/healthy");
        }
        let tls = Tls { ca: self.ca_file.clone(), ..Tls::default() };
        let builder = for_url(client::builder().timeout(self.timeout), &self.url)?;
        let client = tls.apply(builder, self.url.scheme() == "https", ["--ca-file", ""])?.build()?;
        let answer = client.get(request_url(self.url.clone())).send().await;
        let answer = answer.map_err(|error| format!("{}: {}", self.url, client::reason(&error)))?;
        if !answer.status().is_success() {
            return Err(format!("{}: answers {}", self.url, answer.status()).into());
        }
        Ok(())
    }
}
