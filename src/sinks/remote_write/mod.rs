//! Prometheus's remote write, which Prometheus, VictoriaMetrics, Mimir, Thanos and others receive.

mod client;
mod reasons;
mod response;
mod settings;

use std::path::PathBuf;

use self::client::RemoteWriteClient;
pub use self::settings::Settings;
use crate::config::Secrets;
use crate::sinks::delivery::Delivery;
use crate::sinks::form::{Form, SeriesForm};
use crate::sinks::http::{self, ClientError};
use crate::sinks::kind::{Client, Target};

impl Target for Settings {
    fn form(&self, delivery: &Delivery) -> Form {
        Form::Series(SeriesForm {
            labels: self.labels(&delivery.schedule.tags),
            rewrite: delivery.filter.of_series(),
            has_metadata_always: false,
        })
    }

    fn takes_any_order(&self) -> bool {
        false
    }

    fn files(&self) -> Vec<PathBuf> {
        self.http.tls.files()
    }

    fn address(&self) -> String {
        http::addresses(std::slice::from_ref(&self.url))
    }

    fn secrets(&self) -> Secrets {
        let mut secrets = self.http.secrets(std::slice::from_ref(&self.url));
        self.user.iter().for_each(|(name, password)| secrets.add_user(name, password.reveal()));
        self.token.iter().for_each(|token| secrets.add(token.reveal()));
        secrets
    }

    fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(RemoteWriteClient::new(self)?))
    }
}
