//! Puts selected host metrics into Amazon CloudWatch as custom metrics.
//!
//! [`selection`] selects metrics and replaces counters by their increase before points are queued. [`datums`] folds the
//! points of a request: one datum for all samples of a metric in a minute. [`client`] sends as many datums in a request
//! as CloudWatch accepts.

mod client;
mod datums;
mod selection;
mod settings;

use std::path::PathBuf;

use self::client::CloudWatchClient;
use self::selection::Selected;
pub use self::settings::Settings;
use crate::config::Secrets;
use crate::sinks::delivery::Delivery;
use crate::sinks::form::Form;
use crate::sinks::http::ClientError;
use crate::sinks::kind::{Client, Target};

impl Target for Settings {
    fn form(&self, delivery: &Delivery) -> Form {
        delivery.points(Selected::new(self))
    }

    fn takes_any_order(&self) -> bool {
        true
    }

    fn files(&self) -> Vec<PathBuf> {
        // The SDK reads its own files, and rereads them when credentials expire.
        Vec::new()
    }

    fn address(&self) -> String {
        format!("{} in {}", self.namespace, self.region.as_deref().unwrap_or("the default region"))
    }

    fn secrets(&self) -> Secrets {
        self.account.secrets()
    }

    fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(CloudWatchClient::new(self)))
    }
}
