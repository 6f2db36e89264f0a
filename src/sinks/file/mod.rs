//! Writing line protocol, exposition or JSON to a file, with rotation, or to standard output.

mod format;
mod rotation;
mod settings;
mod writer;

use std::path::PathBuf;

use self::format::Format;
pub use self::settings::Settings;
use self::writer::FileClient;
use crate::config::Secrets;
use crate::sinks::delivery::Delivery;
use crate::sinks::form::{Form, LineProtocol, SeriesForm};
use crate::sinks::http::ClientError;
use crate::sinks::kind::{Client, Target};

impl Target for Settings {
    fn form(&self, delivery: &Delivery) -> Form {
        match &self.format {
            Format::Exposition => Form::Series(SeriesForm {
                labels: Vec::new(),
                rewrite: delivery.filter.of_series(),
                has_metadata_always: true,
            }),
            Format::LineProtocol => delivery.points(LineProtocol),
            Format::Json(json) => delivery.points(*json),
        }
    }

    fn takes_any_order(&self) -> bool {
        false
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn address(&self) -> String {
        self.path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
    }

    fn secrets(&self) -> Secrets {
        Secrets::default()
    }

    fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(FileClient::new(self)))
    }
}
