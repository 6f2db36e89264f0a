//! Why a push cannot stand beside what was pushed before, in one line that names the other.

use super::key::Key;
use crate::encode::parse::model::Kind;

/// Why a push was refused though it could be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A family has another type elsewhere.
    #[error("{name} has the type {} here, and {} in the group {other}", is.full_name(), elsewhere.full_name())]
    Kind {
        /// The family.
        name: String,
        /// Its type in the push.
        is: Kind,
        /// Its type elsewhere.
        elsewhere: Kind,
        /// Where.
        other: Key,
    },
    /// A name could be a part of a summary or histogram.
    #[error(
        "{part} is a part of the summary or histogram {whole}, and of another family too; the other group is {other}"
    )]
    Suffix {
        /// The name with the suffix.
        part: String,
        /// The summary or histogram.
        whole: String,
        /// The group that has the other one.
        other: Key,
    },
    /// A metric is there twice.
    #[error("{series} is there twice")]
    Twice {
        /// The metric with the group's labels.
        series: String,
    },
    /// A metric is in another group already.
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
    /// A family is the gateway's own.
    #[error("{0} is what the gateway tells of itself; choose another name")]
    Own(String),
    /// A label has a name that it may not have.
    #[error("the label {label:?} of {series} has a reserved name")]
    Label {
        /// The metric.
        series: String,
        /// The label.
        label: String,
    },
    /// What was pushed cannot be added to what is there.
    #[error("{series} cannot be added to what is there: {reason}")]
    Merge {
        /// The metric with the group's labels.
        series: String,
        /// What is in the way.
        reason: &'static str,
    },
}
