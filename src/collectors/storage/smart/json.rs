//! The values and objects in the JSON of smartctl. What is absent or of another form is empty.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::encode::Value;
use crate::json::Lenient;

/// Declares the structs of JSON objects.
macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $of:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default)]
        pub(super) struct $name { $(pub(super) $field: $of),* }
    )*};
}

objects! {
    /// `smartctl`: the program.
    Smartctl {
        version: Lenient<Vec<u32>>, svn_revision: Text, build_info: Text, exit_status: Number,
        messages: Lenient<Vec<Lenient<Note>>>,
    }
    /// `smartctl.messages[]`.
    Note { string: Text, severity: Text }
    /// `local_time`.
    LocalTime { time_t: Number }
    /// `device`, and an entry of `devices` of a scan.
    Device { name: Text, r#type: Text, protocol: Text }
    /// `wwn`, of which smartctl writes the parts as numbers.
    Wwn { naa: Number, oui: Number, id: Number }
    /// An object with one text.
    Named { string: Text, name: Text }
    Capacity { blocks: Number, bytes: Number }
    Speeds { max: Lenient<Speed>, current: Lenient<Speed> }
    Speed { units_per_second: Number, bits_per_unit: Number }
    Support { enabled: Lenient<Option<bool>> }
    Status { passed: Lenient<Option<bool>> }
    PowerOn { hours: Number, minutes: Number }
    StartStop { accumulated_start_stop_cycles: Number, specified_cycle_count_over_device_lifetime: Number }
    ErrorCounters { read: Lenient<Option<Counters>>, write: Lenient<Option<Counters>>, verify: Lenient<Option<Counters>> }
    /// A page of SCSI's error counters.
    Counters {
        errors_corrected_by_eccfast: Number, errors_corrected_by_eccdelayed: Number,
        errors_corrected_by_rereads_rewrites: Number, total_errors_corrected: Number,
        correction_algorithm_invocations: Number, gigabytes_processed: Text, total_uncorrected_errors: Number,
    }
    SctStatus { device_state: Number }
    Erc { deciseconds: Number }
    /// A log by its numbers of entries.
    Log { count: Number, error_count_total: Number }
    /// `ata_smart_attributes.table[]`.
    Attribute {
        id: Number, name: Text, value: Number, worst: Number, thresh: Number, when_failed: Text,
        flags: Lenient<Flags>, raw: Lenient<Raw>,
    }
    Raw { value: Number, string: Text }
    /// Flags of an attribute or of a statistic.
    Flags {
        string: Text,
        prefailure: Lenient<bool>, updated_online: Lenient<bool>, performance: Lenient<bool>,
        error_rate: Lenient<bool>, event_count: Lenient<bool>, auto_keep: Lenient<bool>,
        valid: Lenient<bool>, normalized: Lenient<bool>, supports_dsn: Lenient<bool>,
        monitored_condition_met: Lenient<bool>,
    }
    Pages { pages: Lenient<Vec<Lenient<Page>>> }
    Page { name: Text, table: Lenient<Vec<Lenient<Statistic>>> }
    Statistic { name: Text, value: Number, flags: Lenient<Flags> }
    /// `nvme_smart_health_information_log`: log page 02h.
    NvmeLog {
        critical_warning: Number, available_spare: Number, available_spare_threshold: Number,
        percentage_used: Number, data_units_read: Number, data_units_written: Number, host_reads: Number,
        host_writes: Number, controller_busy_time: Number, power_cycles: Number, power_on_hours: Number,
        unsafe_shutdowns: Number, media_errors: Number, num_err_log_entries: Number, warning_temp_time: Number,
        critical_comp_time: Number,
    }
    Attributes { table: Lenient<Vec<Lenient<Attribute>>> }
    Statistics { table: Lenient<Vec<Lenient<Statistic>>> }
    /// The output of a scan.
    Scan { smartctl: Lenient<Smartctl>, devices: Lenient<Vec<Lenient<Device>>> }
}

/// A text without white space around it; empty if it is absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Lenient(text) = Lenient::<String>::deserialize(deserializer)?;
        Ok(Text(text.trim().to_owned()))
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A number, if there is one. Counts of more than 53 bits may be written as a string.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Number(pub(super) Option<Value>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get().trim_matches('"');
        let float = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float);
        let integer = text.parse().map(Value::Unsigned).or_else(|_| text.parse().map(Value::Signed)).ok();
        Ok(Number(integer.or_else(float)))
    }
}

impl Number {
    /// The number as an integer, or the nearest one.
    pub(super) fn integer(self) -> Option<i64> {
        self.0.map(|value| match value {
            Value::Unsigned(number) => i64::try_from(number).unwrap_or(i64::MAX),
            Value::Signed(number) => number,
            Value::Float(number) => number as i64,
        })
    }

    /// The number as a count, unless it is 0.
    pub(super) fn above_zero(self) -> Option<u64> {
        match self.0? {
            Value::Unsigned(number) => Some(number).filter(|number| *number > 0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_53_bits_are_exact() {
        let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        assert_eq!(number("18446744073709551615").0, Some(Value::Unsigned(u64::MAX)));
        assert_eq!(number("\"9007199254740993\"").integer(), Some(9_007_199_254_740_993));
        assert_eq!(number("-4").integer(), Some(-4));
        assert_eq!(number("340282366920938463463374607431768211455").integer(), Some(i64::MAX));
        assert_eq!(["\"x\"", "null", "[1]", "{}", "\"inf\"", "true"].map(|text| number(text).0), [None; 6]);
    }
}
