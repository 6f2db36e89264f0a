//! Pushing line protocol to InfluxDB 1.x, 2.x and 3, and to compatible servers.

mod client;
mod destination;
mod response;
mod routing;
mod settings;

use std::path::PathBuf;

use self::client::InfluxDbClient;
pub use self::settings::Settings;
use crate::config::Secrets;
use crate::sinks::delivery::Delivery;
use crate::sinks::form::{Form, LineProtocol};
use crate::sinks::http::{self, ClientError};
use crate::sinks::kind::{Client, Target};

impl Target for Settings {
    fn form(&self, delivery: &Delivery) -> Form {
        match &self.routing {
            Some(routing) => delivery.points(routing.clone()),
            None => delivery.points(LineProtocol),
        }
    }

    fn takes_any_order(&self) -> bool {
        true
    }

    fn files(&self) -> Vec<PathBuf> {
        self.http.tls.files()
    }

    fn address(&self) -> String {
        http::addresses(&self.urls)
    }

    fn secrets(&self) -> Secrets {
        let mut secrets = self.http.secrets(&self.urls);
        self.destination.add_secrets(&mut secrets);
        secrets
    }

    fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(InfluxDbClient::new(self)?))
    }
}
