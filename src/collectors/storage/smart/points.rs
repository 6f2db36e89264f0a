//! Reports as points of Telegraf's `inputs.smart` and `inputs.smartctl`.

use super::json::{Attribute, Counters, Number, NvmeLog};
use super::report::Report;
use super::settings::Measurements;
use crate::encode::infos::{concat, infos};
use crate::encode::point::{FieldInfo, MeasurementInfo};
use crate::encode::{Field, Measurement, Point, PointWriter, Timestamp};

/// A device at one time: what it said last, and in which state it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'r> {
    pub(super) report: &'r Report,
    /// The power mode that was reported; empty if none was.
    pub(super) power: &'r str,
    /// Whether the device was left alone, so that the values of the report are old.
    pub(super) is_asleep: bool,
    pub(super) exit_status: i64,
}

type AttributeField = (Field<i64>, fn(&Attribute) -> Option<i64>, &'static [u16], &'static str);

const fn by_id(name: &'static str, help: &'static str, ids: &'static [u16]) -> AttributeField {
    (Field::new(name, help), Attribute::raw, ids, "")
}

const fn by_name(name: &'static str, help: &'static str, of: &'static str) -> AttributeField {
    (Field::new(name, help), |attribute| attribute.value.integer(), &[], of)
}

/// The fields of `smart_device` that are ATA attributes, by their ids or by the name in smartctl's database.
const OF_ATTRIBUTES: [AttributeField; 16] = [
    by_id("read_error_rate", "raw value of attribute 1", &[1]),
    by_id("reallocated_sectors_count", "raw value of attribute 5", &[5]),
    by_id("seek_error_rate", "raw value of attribute 7", &[7]),
    by_id("spin_retry_count", "raw value of attribute 10", &[10]),
    by_id("end_to_end_error", "raw value of attribute 184", &[184]),
    by_id("uncorrectable_errors", "raw value of attribute 187", &[187]),
    by_id("command_timeout", "raw value of attribute 188", &[188]),
    by_id("realloc_event_count", "raw value of attribute 196", &[196]),
    by_id("pending_sector_count", "raw value of attribute 197", &[197]),
    by_id("uncorrectable_sector_count", "raw value of attribute 198", &[198]),
    by_id("udma_crc_errors", "raw value of attribute 199", &[199]),
    by_id("soft_read_error_rate", "raw value of attribute 201", &[201]),
    by_id("temp_c", "degrees Celsius: raw value of attribute 194 or 190, or temperature.current", &[194, 190]),
    by_name("percent_lifetime_remain", "value of the attribute Percent_Lifetime_Remain", "Percent_Lifetime_Remain"),
    by_name("wear_leveling_count", "value of the attribute Wear_Leveling_Count", "Wear_Leveling_Count"),
    by_name("media_wearout_indicator", "value of the attribute Media_Wearout_Indicator", "Media_Wearout_Indicator"),
];
const ATTRIBUTE_INFOS: [FieldInfo; OF_ATTRIBUTES.len()] = infos!(OF_ATTRIBUTES.0);

type ReportField = (Field<i64>, fn(&Report) -> Option<i64>);
type NvmeField = (Field<i64>, fn(&NvmeLog) -> Number);

const OF_REPORT: [ReportField; 2] = [
    (Field::new("power_on_hours", "hours powered on"), |r| {
        r.power_on_time
            .hours
            .integer()
            .or_else(|| r.nvme_smart_health_information_log.as_ref()?.power_on_hours.integer())
    }),
    (Field::new("power_cycle_count", "power cycles"), |r| {
        r.power_cycle_count.integer().or_else(|| r.nvme_smart_health_information_log.as_ref()?.power_cycles.integer())
    }),
];
const REPORT_INFOS: [FieldInfo; OF_REPORT.len()] = infos!(OF_REPORT.0);

const OF_NVME: [NvmeField; 9] = [
    (Field::new("available_spare", "NVMe: remaining spare capacity in %"), |n| n.available_spare),
    (Field::new("available_spare_threshold", "NVMe: spare capacity below which it is critical, in %"), |n| {
        n.available_spare_threshold
    }),
    (Field::new("percentage_used", "NVMe: used endurance in %, may exceed 100"), |n| n.percentage_used),
    (Field::new("critical_warning", "NVMe: critical warnings, a bit mask"), |n| n.critical_warning),
    (Field::new("media_errors", "NVMe: unrecovered data integrity errors"), |n| n.media_errors),
    (Field::new("error_log_entries", "NVMe: error log entries over the life of the controller"), |n| {
        n.num_err_log_entries
    }),
    (Field::new("unsafe_shutdowns", "NVMe: power losses without shutdown"), |n| n.unsafe_shutdowns),
    (Field::new("warning_temperature_time", "NVMe: minutes above the warning temperature"), |n| n.warning_temp_time),
    (Field::new("critical_temperature_time", "NVMe: minutes above the critical temperature"), |n| n.critical_comp_time),
];
const NVME_INFOS: [FieldInfo; OF_NVME.len()] = infos!(OF_NVME.0);

const EXIT_STATUS: Field<i64> = Field::new("exit_status", "exit status of smartctl, a bit mask");
const HEALTH_OK: Field<bool> = Field::new("health_ok", "whether the device assesses its health as passed");
const DEVICE_FIELDS: [FieldInfo; 2 + OF_ATTRIBUTES.len() + OF_REPORT.len() + OF_NVME.len()] =
    concat(&[&[EXIT_STATUS.info(), HEALTH_OK.info()], &ATTRIBUTE_INFOS, &REPORT_INFOS, &NVME_INFOS]);
const SMART_DEVICE: Measurement<8> = Measurement::new(
    "smart_device",
    ["capacity", "device", "device_type", "enabled", "model", "power", "serial_no", "wwn"],
    &DEVICE_FIELDS,
);

const VALUE: Field<i64> = Field::new("value", "normalized value");
const WORST: Field<i64> = Field::new("worst", "worst normalized value");
const THRESHOLD: Field<i64> = Field::new("threshold", "normalized value of a failure");
const RAW: Field<i64> = Field::new("raw_value", "raw value");
const SMART_ATTRIBUTE: Measurement<12> = Measurement::new(
    "smart_attribute",
    [
        "capacity",
        "device",
        "device_type",
        "enabled",
        "fail",
        "flags",
        "id",
        "model",
        "name",
        "power",
        "serial_no",
        "wwn",
    ],
    &[VALUE.info(), WORST.info(), THRESHOLD.info(), RAW.info(), EXIT_STATUS.info()],
);

const OF_SMARTCTL: [ReportField; 11] = [
    (Field::new("capacity", "bytes"), |r| r.user_capacity.bytes.integer()),
    (Field::new("temperature", "degrees Celsius"), |r| r.temperature.get("current")?.integer()),
    (Field::new("logical_block_size", "bytes"), |r| r.logical_block_size.integer()),
    (Field::new("rotation_rate", "rotations per minute; absent for solid-state drives"), |r| {
        r.rotation_rate.integer().filter(|rate| *rate > 0)
    }),
    (Field::new("power_on_hours", "hours powered on"), |r| r.power_on_time.hours.integer()),
    (Field::new("power_on_minutes", "minutes above the hours"), |r| r.power_on_time.minutes.integer()),
    (Field::new("scsi_protection_type", "SCSI: type of protection information"), |r| r.scsi_protection_type.integer()),
    (Field::new("scsi_protection_interval_bytes_per_lb", "SCSI: bytes of protection information"), |r| {
        r.scsi_protection_interval_bytes_per_lb.integer()
    }),
    (Field::new("scsi_grown_defect_list", "SCSI: grown defects"), |r| r.scsi_grown_defect_list.integer()),
    (Field::new("specified_cycle_count_over_device_lifetime", "SCSI: start-stop cycles that it is made for"), |r| {
        r.scsi_start_stop_cycle_counter.specified_cycle_count_over_device_lifetime.integer()
    }),
    (Field::new("accumulated_start_stop_cycles", "SCSI: start-stop cycles"), |r| {
        r.scsi_start_stop_cycle_counter.accumulated_start_stop_cycles.integer()
    }),
];
const SMARTCTL_INFOS: [FieldInfo; OF_SMARTCTL.len()] = infos!(OF_SMARTCTL.0);

const SMARTCTL_NVME: [NvmeField; 15] = [
    (Field::new("critical_warning", "NVMe: critical warnings, a bit mask"), |n| n.critical_warning),
    (Field::new("available_spare", "NVMe: remaining spare capacity in %"), |n| n.available_spare),
    (Field::new("available_spare_threshold", "NVMe: spare capacity below which it is critical, in %"), |n| {
        n.available_spare_threshold
    }),
    (Field::new("percentage_used", "NVMe: used endurance in %, may exceed 100"), |n| n.percentage_used),
    (Field::new("data_units_read", "NVMe: units of 512,000 bytes"), |n| n.data_units_read),
    (Field::new("data_units_written", "NVMe: units of 512,000 bytes"), |n| n.data_units_written),
    (Field::new("host_reads", "NVMe: read commands"), |n| n.host_reads),
    (Field::new("host_writes", "NVMe: write commands"), |n| n.host_writes),
    (Field::new("controller_busy_time", "NVMe: minutes with I/O"), |n| n.controller_busy_time),
    (Field::new("power_cycles", "NVMe: power cycles"), |n| n.power_cycles),
    (Field::new("unsafe_shutdowns", "NVMe: power losses without shutdown"), |n| n.unsafe_shutdowns),
    (Field::new("media_errors", "NVMe: unrecovered data integrity errors"), |n| n.media_errors),
    (Field::new("num_err_log_entries", "NVMe: error log entries over the life of the controller"), |n| {
        n.num_err_log_entries
    }),
    (Field::new("warning_temp_time", "NVMe: minutes above the warning temperature"), |n| n.warning_temp_time),
    (Field::new("critical_comp_time", "NVMe: minutes above the critical temperature"), |n| n.critical_comp_time),
];
const SMARTCTL_NVME_INFOS: [FieldInfo; SMARTCTL_NVME.len()] = infos!(SMARTCTL_NVME.0);

type TextField = (Field<str>, fn(&Report) -> &str);

const SMARTCTL_TEXTS: [TextField; 6] = [
    (Field::new("firmware", "version of the firmware"), |r| &r.firmware_version),
    (Field::new("scsi_vendor", "SCSI: vendor"), |r| &r.scsi_vendor),
    (Field::new("scsi_model", "SCSI: model"), |r| &r.scsi_model_name),
    (Field::new("scsi_revision", "SCSI: revision"), |r| &r.scsi_revision),
    (Field::new("scsi_version", "SCSI: version of the standard"), |r| &r.scsi_version),
    (Field::new("scsi_transport_protocol", "SCSI: transport"), |r| &r.scsi_transport_protocol.name),
];
const SMARTCTL_TEXT_INFOS: [FieldInfo; SMARTCTL_TEXTS.len()] = infos!(SMARTCTL_TEXTS.0);
const SMARTCTL_FIELDS: [FieldInfo; 1 + OF_SMARTCTL.len() + SMARTCTL_NVME.len() + SMARTCTL_TEXTS.len()] =
    concat(&[&[HEALTH_OK.info()], &SMARTCTL_INFOS, &SMARTCTL_NVME_INFOS, &SMARTCTL_TEXT_INFOS]);
const SMARTCTL: Measurement<6> =
    Measurement::new("smartctl", ["model", "name", "serial", "type", "vendor", "wwn"], &SMARTCTL_FIELDS);
const SMARTCTL_ATTRIBUTES: Measurement<6> = Measurement::new(
    "smartctl_attributes",
    ["model", "name", "serial", "type", "vendor", "wwn"],
    &[VALUE.info(), WORST.info(), THRESHOLD.info(), RAW.info()],
);

type CounterField = (Field<i64>, fn(&Counters) -> Number);

const COUNTERS: [CounterField; 6] = [
    (Field::new("errors_corrected_by_eccfast", "errors corrected without delay"), |c| c.errors_corrected_by_eccfast),
    (Field::new("errors_corrected_by_eccdelayed", "errors corrected with delay"), |c| c.errors_corrected_by_eccdelayed),
    (Field::new("errors_corrected_by_rereads_rewrites", "errors corrected by a retry"), |c| {
        c.errors_corrected_by_rereads_rewrites
    }),
    (Field::new("total_errors_corrected", "corrected errors"), |c| c.total_errors_corrected),
    (Field::new("correction_algorithm_invocations", "runs of the correction algorithm"), |c| {
        c.correction_algorithm_invocations
    }),
    (Field::new("total_uncorrected_errors", "uncorrected errors"), |c| c.total_uncorrected_errors),
];
const COUNTER_INFOS: [FieldInfo; COUNTERS.len()] = infos!(COUNTERS.0);
const GIGABYTES: Field<str> = Field::new("gigabytes_processed", "10^9 bytes, as text");
const COUNTER_FIELDS: [FieldInfo; COUNTERS.len() + 1] = concat(&[&COUNTER_INFOS, &[GIGABYTES.info()]]);
const SMARTCTL_SCSI: Measurement<7> = Measurement::new(
    "smartctl_scsi_error_counter_log",
    ["model", "name", "page", "serial", "type", "vendor", "wwn"],
    &COUNTER_FIELDS,
);

/// The measurements.
pub(super) const MEASUREMENTS: &[MeasurementInfo] =
    &[SMART_DEVICE.info(), SMART_ATTRIBUTE.info(), SMARTCTL.info(), SMARTCTL_ATTRIBUTES.info(), SMARTCTL_SCSI.info()];

/// Writes the points of a device at `at`.
pub(super) fn write(at: Timestamp, state: State<'_>, wanted: Measurements, out: &mut PointWriter<'_>) {
    if wanted.smart_device {
        write_device(at, state, out);
    }
    if state.is_asleep {
        return;
    }
    if wanted.smart_attribute {
        state.report.attributes().for_each(|attribute| write_attribute(at, state, attribute, out));
    }
    if wanted.smartctl {
        write_smartctl(at, state.report, out);
    }
}

/// The tags of `smart_device`.
struct Tags {
    capacity: String,
    wwn: String,
}

impl Tags {
    fn new(report: &Report) -> Tags {
        // Telegraf does not find that of NVMe disks.
        let is_nvme = &*report.device.r#type == "nvme";
        let capacity = report.user_capacity.bytes.above_zero().filter(|_| !is_nvme);
        Tags { capacity: capacity.map(|bytes| bytes.to_string()).unwrap_or_default(), wwn: report.wwn() }
    }

    /// `device`, `device_type` and `enabled`. Only a type with a number tells disks of one name apart.
    fn of(report: &Report) -> [&str; 3] {
        let device = report.device.name.rsplit('/').next().unwrap_or_default();
        let of_type = if report.device.r#type.contains(',') { &*report.device.r#type } else { "" };
        let enabled = match *report.smart_support.enabled {
            Some(true) => "Enabled",
            Some(false) => "Disabled",
            None => "",
        };
        [device, of_type, enabled]
    }
}

fn write_device(at: Timestamp, state: State<'_>, out: &mut PointWriter<'_>) {
    let (report, tags) = (state.report, Tags::new(state.report));
    let [device, of_type, enabled] = Tags::of(report);
    let values: [&str; 8] =
        [&tags.capacity, device, of_type, enabled, report.model(), state.power, &report.serial_number, &tags.wwn];
    let mut point = out.point_at(at, &SMART_DEVICE, values);
    point.field(&EXIT_STATUS, state.exit_status);
    if state.is_asleep {
        return;
    }
    point.some(&HEALTH_OK, *report.smart_status.passed);
    for (field, value, ids, name) in &OF_ATTRIBUTES {
        let is_named = |attribute: &&Attribute| !name.is_empty() && *attribute.name == **name;
        let of_id = |id: &u16| report.attributes().find(|attribute| attribute.id.integer() == Some((*id).into()));
        let found = ids.iter().find_map(of_id).or_else(|| report.attributes().find(is_named));
        let current = || (field.name() == "temp_c").then(|| report.temperature.get("current")?.integer()).flatten();
        point.some(field, found.and_then(value).or_else(current));
    }
    for (field, value) in &OF_REPORT {
        point.some(field, value(report));
    }
    write_nvme(&OF_NVME, report, &mut point);
}

fn write_nvme(fields: &[NvmeField], report: &Report, point: &mut Point<'_>) {
    let Some(log) = report.nvme_smart_health_information_log.as_ref() else { return };
    for (field, value) in fields {
        point.some(field, value(log).integer());
    }
}

fn write_attribute(at: Timestamp, state: State<'_>, attribute: &Attribute, out: &mut PointWriter<'_>) {
    let (report, tags) = (state.report, Tags::new(state.report));
    let [device, of_type, enabled] = Tags::of(report);
    let fail = match &*attribute.when_failed {
        "now" => "FAILING_NOW",
        "past" => "In_the_past",
        _ => "-",
    };
    let id = attribute.id.integer().unwrap_or(0).to_string();
    let mut point = out.point_at(
        at,
        &SMART_ATTRIBUTE,
        [
            &tags.capacity,
            device,
            of_type,
            enabled,
            fail,
            attribute.flags.string.get(..6).unwrap_or(&attribute.flags.string),
            &id,
            report.model(),
            &attribute.name,
            state.power,
            &report.serial_number,
            &tags.wwn,
        ],
    );
    write_values(attribute, attribute.raw(), &mut point);
    point.field(&EXIT_STATUS, state.exit_status);
}

fn write_values(attribute: &Attribute, raw: Option<i64>, point: &mut Point<'_>) {
    point.some(&VALUE, attribute.value.integer()).some(&WORST, attribute.worst.integer());
    point.some(&THRESHOLD, attribute.thresh.integer()).some(&RAW, raw);
}

fn write_smartctl(at: Timestamp, report: &Report, out: &mut PointWriter<'_>) {
    let (wwn, model) = (report.wwn(), report.model());
    let (name, serial, of_type) = (&*report.device.name, &*report.serial_number, &*report.device.r#type);
    let mut point = out.point_at(at, &SMARTCTL, [model, name, serial, of_type, &report.vendor, &wwn]);
    point.some(&HEALTH_OK, *report.smart_status.passed);
    for (field, value) in &OF_SMARTCTL {
        point.some(field, value(report));
    }
    for (field, value) in &SMARTCTL_TEXTS {
        point.some(field, Some(value(report)).filter(|text| !text.is_empty()));
    }
    write_nvme(&SMARTCTL_NVME, report, &mut point);
    drop(point);
    for attribute in report.attributes() {
        // As in Telegraf, the name of the attribute replaces that of the device.
        let tags: [&str; 6] = [model, &attribute.name, serial, of_type, &report.vendor, &wwn];
        write_values(attribute, attribute.raw.value.integer(), &mut out.point_at(at, &SMARTCTL_ATTRIBUTES, tags));
    }
    let log = &report.scsi_error_counter_log;
    for (page, counters) in [("read", &log.read), ("verify", &log.verify), ("write", &log.write)] {
        let Some(counters) = counters.as_ref() else { continue };
        let tags: [&str; 7] = [model, name, page, serial, of_type, &report.vendor, &wwn];
        let mut point = out.point_at(at, &SMARTCTL_SCSI, tags);
        for (field, value) in &COUNTERS {
            point.some(field, value(counters).integer());
        }
        point.some(&GIGABYTES, Some(&*counters.gigabytes_processed).filter(|text| !text.is_empty()));
    }
}
