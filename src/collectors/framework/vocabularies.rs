//! The two vocabularies.

/// A selection of the two vocabularies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vocabularies {
    /// Prometheus families.
    pub families: bool,
    /// InfluxDB points.
    pub points: bool,
}

impl Vocabularies {
    /// Neither.
    pub const NONE: Self = Vocabularies { families: false, points: false };
    /// Families alone.
    pub const FAMILIES: Self = Vocabularies { families: true, points: false };
    /// Points alone.
    pub const POINTS: Self = Vocabularies { families: false, points: true };
    /// Both.
    pub const BOTH: Self = Vocabularies { families: true, points: true };

    /// The union.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Vocabularies { families: self.families || other.families, points: self.points || other.points }
    }

    /// The intersection.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Vocabularies { families: self.families && other.families, points: self.points && other.points }
    }

    /// Whether either is selected.
    pub fn any(self) -> bool {
        self.families || self.points
    }
}
