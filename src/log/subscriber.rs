//! Receives the events of [`tracing`]'s macros.

use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};

use super::record::Record;

/// Logs the events of this crate. Those of libraries are excluded: they log single requests, and credentials. There are
/// no spans.
pub(super) struct Subscriber;

impl tracing::Subscriber for Subscriber {
    /// A reload may change the levels, so that they are checked for each event.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if module(metadata.target()).is_some() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let settings = super::SETTINGS.load();
        module(metadata.target()).is_some_and(|module| settings.levels.allow(module, *metadata.level()))
    }

    fn event(&self, event: &Event<'_>) {
        super::write(&Record::of(event, module(event.metadata().target()).unwrap_or_default()));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &SpanRecord<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The module of a target in this crate; empty for the crate's root.
fn module(target: &str) -> Option<&str> {
    let mut parts = target.split("::");
    (parts.next() == Some(env!("CARGO_CRATE_NAME"))).then(|| parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_left_out() {
        assert_eq!((module("taffrail"), module("taffrail::sinks::sender")), (Some(""), Some("sinks")));
        for other in ["aws_config::profile", "aws_smithy_runtime", "hyper", "reqwest::connect", "taffrails"] {
            assert_eq!(module(other), None, "{other}");
        }
    }
}
