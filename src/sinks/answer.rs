//! What a server's answer to a write means for the points that were sent.

use std::time::Duration;

/// The meaning of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server has all points.
    Delivered,
    /// The server has the points but for some that it will never take; how many, if it says so.
    Partial { dropped: Option<u64>, message: String },
    /// The server takes none of these points because one of them is wrong: smaller batches find out which.
    Rejected { message: String },
    /// The body is too large: smaller batches may pass.
    TooLarge,
    /// The server does not let us write, or does not know the place: somebody has to change something.
    Refused { message: String },
    /// It may be better later; after this time, if the server says so. If the connection was cut off while the request
    /// was sent, this may be a server's way to say that it is too large.
    Later { after: Option<Duration>, message: String, was_cut_off: bool },
}

impl Answer {
    /// It may be better later, whenever that is.
    pub(super) fn later(message: &str) -> Answer {
        Answer::Later { after: None, message: message.to_owned(), was_cut_off: false }
    }
}
