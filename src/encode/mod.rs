//! The two data models and their encodings: families for Prometheus, points for InfluxDB.
//!
//! Collectors call [`FamilyWriter`] and [`PointWriter`], which enforce the rules of the formats. The encoders below
//! them only produce bytes.

pub mod drain;
pub mod family;
pub mod generic_points;
pub(crate) mod hashed;
pub(crate) mod infos;
pub mod line;
pub mod lines;
pub mod name;
pub mod names;
pub mod number;
pub mod parse;
pub mod point;
pub mod point_names;
pub mod protobuf;
pub mod pushed;
pub mod remote;
pub mod tags;
pub mod text;
mod timestamp;
pub mod whole;
mod wire;
mod writer;

pub use family::{Family, FamilyWriter, Kind, Pattern, Value};
pub use point::{Field, Measurement};
pub use timestamp::Timestamp;
pub use writer::{Point, PointWriter, reserved_tags};
