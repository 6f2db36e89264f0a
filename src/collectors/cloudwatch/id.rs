//! Identifiers of metrics.

/// Unix time in seconds.
pub(super) type Seconds = i64;

/// A metric of CloudWatch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    /// Its name.
    pub(super) name: String,
    /// Its dimensions, sorted by name.
    pub(super) dimensions: Vec<(String, String)>,
    /// The linked account that owns it; `None` for the account of the request.
    pub(super) owner: Option<String>,
}

/// The owner of metrics, and their region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// The account ID; empty until it is known.
    pub(super) account: String,
    /// The account's alias; empty if it has none, or it is not requested.
    pub(super) alias: String,
    /// The region.
    pub(super) region: String,
}
