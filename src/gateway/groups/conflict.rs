//! Conflicts of a push with what was pushed before, as one line that names the other group.

use crate::encode::parse::model::Kind;
use crate::gateway::key::Key;

/// Why a well-formed push is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// A family has another type in another group.
    #[error("{name} has the type {} here, and {} in the group {other}", is.full_name(), elsewhere.full_name())]
    Kind {
        /// The family.
        name: String,
        /// Its type in the push.
        is: Kind,
        /// Its type in the other group.
        elsewhere: Kind,
        /// The other group.
        other: Key,
    },
    /// A name is also that of a sample of a summary or histogram.
    #[error(
        "{part} is a part of the summary or histogram {whole}, and of another family too; the other group is {other}"
    )]
    Suffix {
        /// The name with the suffix.
        part: String,
        /// The summary or histogram.
        whole: String,
        /// The group that has the other family.
        other: Key,
    },
    /// The default escaping makes two names equal.
    #[error("{name} is written as {twin} is for scrapers that read no UTF-8 in names; the other group is {other}")]
    Twin {
        /// The name in the push.
        name: String,
        /// The other name.
        twin: String,
        /// The group that has the other family.
        other: Key,
    },
    /// The push has a metric twice.
    #[error("{series} is there twice")]
    Twice {
        /// The metric with the group's labels.
        series: String,
    },
    /// Another group has the metric already.
    #[error("{series} is in the group {other} already")]
    Elsewhere {
        /// The metric with the group's labels.
        series: String,
        /// The other group.
        other: Key,
    },
    /// A sample has a timestamp.
    #[error("pushed metrics must not have timestamps: {series} has one")]
    Timestamp {
        /// The metric.
        series: String,
    },
    /// A family has the name of a self-metric.
    #[error("{0} is what the gateway tells of itself; choose another name")]
    Own(String),
    /// A label has a reserved or ambiguous name.
    #[error("the label {label:?} of {series} has a reserved name, or one that another becomes when it is escaped")]
    Label {
        /// The metric.
        series: String,
        /// The label.
        label: String,
    },
    /// A series cannot be added to the one of the group.
    #[error("{series} cannot be added to what is there: {reason}")]
    Merge {
        /// The metric with the group's labels.
        series: String,
        /// Why not.
        reason: &'static str,
    },
}
