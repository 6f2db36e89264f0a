//! OpenMetrics 1.0: prometheus/OpenMetrics, `specification/OpenMetrics.md`.
//!
//! It is read by the reader of text, which it differs from in what its families are called, in timestamps of seconds, in
//! exemplars, and in its end. A family becomes what text 0.0.4 would make of it, so that both can stand side by side:
//! a counter is called as its samples are, `_info` and `_created` are parts of names.

use super::text::Builder;
use super::{Error, Exposition, Limits};

pub(super) fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<Exposition<'a>, Error> {
    Builder::new(body, limits, true)?.read()
}
