//! The metadata of a collector.

use super::Vocabularies;
use crate::config::{KeyInfo, TableInfo};
use crate::encode::family::FamilyInfo;
use crate::encode::point::MeasurementInfo;

/// The metadata of a collector: what lists, documentation and configuration need.
#[derive(Debug)]
pub struct About {
    /// Its name, in `collect[]`, the configuration and the metrics about the scrape.
    pub name: &'static str,
    /// What it reads, in a few words.
    pub summary: &'static str,
    /// The files and system calls that it reads.
    pub reads: &'static [&'static str],
    /// Requirements on the kernel, or privileges; empty if there are none.
    pub needs: &'static str,
    /// Further documentation, as paragraphs; empty if there is none.
    pub remarks: &'static str,
    /// The vocabularies for which it is on by default.
    pub on_by_default: Vocabularies,
    /// Whether `[[collectors.NAME]]` is an array of tables, one for each job. The collector is on if there is at least
    /// one.
    pub is_list: bool,
    /// Whether the collector succeeds on a host without its subject. It does where node_exporter searches for the
    /// subject by a pattern, and finding nothing is no error there.
    pub may_be_absent: bool,
    /// Whether one of its families shows its failures, so that `node_scrape_collector_success` does not.
    pub shows_failures: bool,
    /// Whether the portable backend supports it.
    pub is_portable: bool,
    /// Whether its family names come from outside, and may collide with Taffrail's own.
    pub is_named_by_others: bool,
    /// Its settings in `[collectors.NAME]`.
    pub keys: &'static [KeyInfo],
    /// Its settings in `[collectors.NAME.points]`, which apply to pushes.
    pub point_keys: &'static [KeyInfo],
    /// Its tables of settings, `[collectors.NAME.TABLE]`.
    pub tables: &'static [TableInfo],
    /// Its arrays of tables of settings, `[[collectors.NAME.LIST]]`. A collector that is off by default is on if one of
    /// them has an entry.
    pub lists: &'static [TableInfo],
    /// Settings that turn it on, if it is off by default.
    pub turned_on_by: &'static [&'static str],
    /// Its families.
    pub families: &'static [FamilyInfo],
    /// Its measurements. If there are none, its points are derived from its families, see [`generic_points`].
    ///
    /// [`generic_points`]: crate::encode::generic_points
    pub measurements: &'static [MeasurementInfo],
}

impl About {
    /// Whether it is on by default, as text.
    pub fn default_text(&self) -> &'static str {
        match (self.on_by_default.families, self.on_by_default.points) {
            _ if self.is_list => "on if a job is configured",
            (true, true) => "on",
            (false, true) => "pushed, not exposed",
            (true, false) => "exposed, not pushed",
            (false, false) if !self.lists.is_empty() || !self.turned_on_by.is_empty() => "on if configured",
            (false, false) => "off",
        }
    }

    /// Metadata to start from: on by default, without settings or requirements.
    pub const PLAIN: About = About {
        name: "",
        summary: "",
        reads: &[],
        needs: "",
        remarks: "",
        on_by_default: Vocabularies::BOTH,
        is_list: false,
        may_be_absent: false,
        shows_failures: false,
        is_portable: false,
        is_named_by_others: false,
        keys: &[],
        point_keys: &[],
        tables: &[],
        lists: &[],
        turned_on_by: &[],
        families: &[],
        measurements: &[],
    };

    /// The same, but on by default for scrapes only. Used if Telegraf has no counterpart.
    pub const PULLED: About = About { on_by_default: Vocabularies::FAMILIES, ..About::PLAIN };
}
