//! The two vocabularies and their bytes: families for Prometheus, points for InfluxDB.
//!
//! Collectors call [`FamilyWriter`] and [`PointWriter`], which own everything that is easy to get wrong; encoders
//! below them turn what is left into bytes.

pub mod by_rule;
pub mod drain;
pub mod family;
pub(crate) mod infos;
pub mod line;
pub mod names;
pub mod number;
pub mod parse;
pub mod point;
pub mod protobuf;
pub mod pushed;
pub mod remote;
pub mod text;
mod wire;
mod writer;

pub use family::{Family, FamilyWriter, Kind, Pattern, Value};
pub use point::{Field, Measurement, PointWriter};
