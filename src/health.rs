//! `taffrail health`: asks a running Taffrail whether it is well. For images without a shell, which have no curl.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use taffrail::client::{self, Tls};

use crate::Failure;

/// Ask a running Taffrail whether it is well, and end with status 0 if it says so
#[derive(Args)]
pub(crate) struct Health {
    /// The URL; without a path, /-/healthy is asked
    #[arg(default_value = "http://127.0.0.1:9100")]
    url: reqwest::Url,
    /// Trust the certificates in this PEM file, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl Health {
    pub(crate) fn execute(self) -> Result<(), Failure> {
        crate::runtime()?.block_on(self.ask())
    }

    async fn ask(mut self) -> Result<(), Failure> {
        if self.url.path() == "/" {
            self.url.set_path("/-/healthy");
        }
        let tls = Tls { ca: self.ca_file.clone(), ..Tls::default() };
        let builder = client::builder().timeout(self.timeout);
        let client = tls.apply(builder, self.url.scheme() == "https", ["--ca-file", ""])?.build()?;
        let answer = client.get(self.url.clone()).send().await;
        let answer = answer.map_err(|error| format!("{}: {}", self.url, client::reason(&error)))?;
        if !answer.status().is_success() {
            return Err(format!("{}: answers {}", self.url, answer.status()).into());
        }
        Ok(())
    }
}
