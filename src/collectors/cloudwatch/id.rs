//! What metrics are told apart by.

/// Seconds since 1970.
pub(super) type Seconds = i64;

/// A metric of CloudWatch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    /// Its name.
    pub(super) name: String,
    /// Its dimensions, in the order of their names.
    pub(super) dimensions: Vec<(String, String)>,
    /// The linked account that owns it; the account that is asked if there is none.
    pub(super) owner: Option<String>,
}

/// Whose metrics they are, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The account's id; empty as long as it is not known.
    pub(super) account: String,
    /// The region.
    pub(super) region: String,
}
