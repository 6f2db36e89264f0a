//! Elasticsearch and OpenSearch: a document for each point, by `_bulk` into a data stream.

mod client;
mod document;
mod response;
mod settings;
mod template;

use std::path::PathBuf;

use self::client::ElasticsearchClient;
use self::document::Documents;
pub use self::settings::Settings;
use crate::config::Secrets;
use crate::sinks::delivery::Delivery;
use crate::sinks::form::Form;
use crate::sinks::http::{self, ClientError};
use crate::sinks::kind::{Client, Target};

impl Target for Settings {
    fn form(&self, delivery: &Delivery) -> Form {
        delivery.points(Documents)
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
        self.user.iter().for_each(|(name, password)| secrets.add_user(name, password.reveal()));
        self.api_key.iter().for_each(|key| secrets.add(key.reveal()));
        secrets
    }

    fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(ElasticsearchClient::new(self)?))
    }
}
