//! `[sinks]`: the push sinks.

use std::sync::Arc;

use super::delivery::Delivery;
use super::form::Form;
use super::http::ClientError;
use super::kind::{Client, Target};
use super::kinds::KINDS;
use super::named_files::NamedFiles;
use super::schedule::Schedule;
use crate::collectors::filter;
use crate::config::Section;

/// A sink's settings.
#[derive(Clone, Debug, Eq)]
pub struct Settings {
    /// Its delivery settings.
    pub delivery: Delivery,
    /// Its target.
    pub target: Arc<dyn Target>,
}

impl PartialEq for Settings {
    fn eq(&self, other: &Settings) -> bool {
        let Settings { delivery, target } = self;
        *delivery == other.delivery && **target == *other.target
    }
}

impl Settings {
    /// The kind of sink, as in `[[sinks.KIND]]`.
    pub fn kind(&self) -> &'static str {
        self.target.info().name
    }

    /// The form of its records.
    pub fn form(&self) -> Form {
        self.target.form(&self.delivery)
    }

    /// The settings of all sinks, those of one kind in the order of the configuration.
    pub fn all(sinks: &mut Section<'_>, agent: &Schedule) -> Vec<Settings> {
        let mut all: Vec<Settings> = Vec::new();
        for kind in KINDS {
            for mut section in sinks.tables(kind.info.name) {
                let (target, default_name) = (kind.new)(&mut section);
                let delivery = Delivery::new(&mut section, default_name, &(kind.schedule)(agent));
                let sink = Settings { delivery, target };
                sink.check(&section, &all);
                all.push(sink);
            }
        }
        sinks.refuse_cloudwatch();
        all
    }

    /// Reports conflicting settings, in the sink itself and with the sinks `before` it.
    fn check(&self, section: &Section<'_>, before: &[Settings]) {
        let name = &self.delivery.name;
        if name.is_empty() {
            section.wrong("name", "expected a name, found an empty one");
        }
        if before.iter().any(|other| other.delivery.name == *name) {
            section.wrong("name", format!("expected another name, found a second sink that is called {name:?}"));
        }
        if matches!(self.form(), Form::Series(_)) {
            filter::refuse_fields(section);
        }
    }
}

/// A sink that can be started: its settings, and its client with the files that it read.
pub struct Prepared {
    /// Its settings.
    pub settings: Settings,
    pub(super) client: Box<dyn Client>,
    /// The files as they were when the client was made.
    pub(super) files: NamedFiles,
}

impl Prepared {
    /// Makes the client for `settings`. Waits for files with a timeout.
    ///
    /// # Errors
    /// Why its TLS settings cannot be used.
    pub fn new(settings: Settings) -> Result<Prepared, ClientError> {
        // Before the client reads them, so that a later change is noticed.
        let files = NamedFiles::read(settings.target.files());
        let client = settings.target.connect()?;
        Ok(Prepared { settings, client, files })
    }
}
