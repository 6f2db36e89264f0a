//! Reports as families, with the names of smartctl_exporter 0.14.

use std::collections::BTreeMap;

use super::json::{Counters, Erc, Log, Number, NvmeLog};
use super::report::{MAX_ENTRIES, Report};
use crate::encode::family::FamilyInfo;
use crate::encode::infos::{concat, infos};
use crate::encode::{Family, FamilyWriter, Value};
use crate::json::Lenient;

const DEVICE: [&str; 1] = ["device"];

const VERSION: Family<4> = Family::gauge(
    "smartctl_version",
    "Version of smartctl, always 1",
    ["build_info", "json_format_version", "smartctl_version", "svn_revision"],
);
const INFO: Family<15> = Family::gauge(
    "smartctl_device",
    "Device, always 1",
    [
        "ata_additional_product_id",
        "ata_version",
        "device",
        "firmware_version",
        "form_factor",
        "interface",
        "model_family",
        "model_name",
        "protocol",
        "sata_version",
        "scsi_product",
        "scsi_revision",
        "scsi_vendor",
        "scsi_version",
        "serial_number",
    ],
);

/// A family with one sample for each device.
type Plain = (Family<1>, fn(&Report) -> Option<Value>);

const fn gauge(name: &'static str, help: &'static str, value: fn(&Report) -> Option<Value>) -> Plain {
    (Family::gauge(name, help, DEVICE), value)
}

const fn counter(name: &'static str, help: &'static str, value: fn(&Report) -> Option<Value>) -> Plain {
    (Family::counter(name, help, DEVICE), value)
}

fn nvme(report: &Report) -> Option<&NvmeLog> {
    report.nvme_smart_health_information_log.as_ref()
}

fn read(report: &Report) -> Option<&Counters> {
    report.scsi_error_counter_log.read.as_ref()
}

fn written(report: &Report) -> Option<&Counters> {
    report.scsi_error_counter_log.write.as_ref()
}

/// Bytes of NVMe's units, which are thousands of 512 bytes, or of SCSI's gigabytes.
fn bytes(of_nvme: Option<Number>, of_scsi: Option<&Counters>) -> Option<Value> {
    const NVME_UNIT: u64 = 512_000;
    const GIGABYTE: f64 = 1e9;
    let units = of_nvme.and_then(Number::above_zero);
    let gigabytes = || of_scsi?.gigabytes_processed.parse::<f64>().ok().filter(|number| number.is_finite());
    units.map(|units| Value::product(units, NVME_UNIT)).or_else(|| Some(Value::Float(gigabytes()? * GIGABYTE)))
}

fn tenths(erc: &Lenient<Erc>) -> Option<Value> {
    erc.deciseconds.0.map(|tenths| Value::Float(tenths.as_f64() / 10.0))
}

fn power_on_seconds(report: &Report) -> Option<Value> {
    let (hours, minutes) = (report.power_on_time.hours.0?, report.power_on_time.minutes.0);
    Some(Value::Float(hours.as_f64() * 3600.0 + minutes.map_or(0.0, Value::as_f64) * 60.0))
}

const PLAIN: [Plain; 26] = [
    gauge("smartctl_device_smartctl_exit_status", "Exit status of smartctl, a bit mask", |r| r.smartctl.exit_status.0),
    gauge("smartctl_device_smart_status", "Whether the device assesses its health as passed", |r| {
        r.smart_status.passed.map(Value::from)
    }),
    gauge("smartctl_device_capacity_blocks", "Capacity in blocks", |r| r.user_capacity.blocks.0),
    gauge("smartctl_device_capacity_bytes", "Capacity in bytes", |r| r.user_capacity.bytes.0),
    gauge("smartctl_device_nvme_capacity_bytes", "Capacity of all NVMe namespaces in bytes", |r| {
        r.nvme_total_capacity.0
    }),
    counter("smartctl_device_power_on_seconds", "Time powered on", power_on_seconds),
    counter("smartctl_device_power_cycle_count", "Power cycles", |r| {
        r.power_cycle_count.0.or(r.scsi_start_stop_cycle_counter.accumulated_start_stop_cycles.0)
    }),
    gauge("smartctl_device_rotation_rate", "Rotations per minute; absent for solid-state drives", |r| {
        r.rotation_rate.above_zero().map(Value::Unsigned)
    }),
    gauge("smartctl_device_state", "SCT state: 0 active, 1 standby, 2 sleep, 3 DST, 4 offline, 5 SCT", |r| {
        r.ata_sct_status.device_state.0
    }),
    counter("smartctl_device_percentage_used", "Used endurance in percent, may exceed 100", |r| {
        nvme(r)?.percentage_used.0
    }),
    counter("smartctl_device_available_spare", "Remaining spare capacity in percent", |r| nvme(r)?.available_spare.0),
    counter("smartctl_device_available_spare_threshold", "Spare capacity in percent below which it is critical", |r| {
        nvme(r)?.available_spare_threshold.0
    }),
    counter("smartctl_device_critical_warning", "Critical warnings of the NVMe controller, a bit mask", |r| {
        nvme(r)?.critical_warning.0
    }),
    counter("smartctl_device_media_errors", "Unrecovered data integrity errors", |r| nvme(r)?.media_errors.0),
    counter("smartctl_device_num_err_log_entries", "Error log entries over the life of the controller", |r| {
        nvme(r)?.num_err_log_entries.0
    }),
    counter("smartctl_device_bytes_read", "Bytes read from the device", |r| {
        bytes(nvme(r).map(|log| log.data_units_read), read(r))
    }),
    counter("smartctl_device_bytes_written", "Bytes written to the device", |r| {
        bytes(nvme(r).map(|log| log.data_units_written), written(r))
    }),
    gauge("smartctl_scsi_grown_defect_list", "Grown defects of a SCSI device", |r| r.scsi_grown_defect_list.0),
    gauge("smartctl_read_errors_corrected_by_eccfast", "Read errors corrected without delay", |r| {
        read(r)?.errors_corrected_by_eccfast.0
    }),
    gauge("smartctl_read_errors_corrected_by_eccdelayed", "Read errors corrected with delay", |r| {
        read(r)?.errors_corrected_by_eccdelayed.0
    }),
    gauge("smartctl_read_errors_corrected_by_rereads_rewrites", "Read errors corrected by reading again", |r| {
        read(r)?.errors_corrected_by_rereads_rewrites.0
    }),
    gauge("smartctl_read_total_uncorrected_errors", "Uncorrected read errors", |r| read(r)?.total_uncorrected_errors.0),
    gauge("smartctl_write_errors_corrected_by_eccfast", "Write errors corrected without delay", |r| {
        written(r)?.errors_corrected_by_eccfast.0
    }),
    gauge("smartctl_write_errors_corrected_by_eccdelayed", "Write errors corrected with delay", |r| {
        written(r)?.errors_corrected_by_eccdelayed.0
    }),
    gauge("smartctl_write_errors_corrected_by_rereads_rewrites", "Write errors corrected by writing again", |r| {
        written(r)?.errors_corrected_by_rereads_rewrites.0
    }),
    gauge("smartctl_write_total_uncorrected_errors", "Uncorrected write errors", |r| {
        written(r)?.total_uncorrected_errors.0
    }),
];
const PLAIN_INFOS: [FamilyInfo; PLAIN.len()] = infos!(PLAIN.0);

const BLOCK_SIZE: Family<2> =
    Family::gauge("smartctl_device_block_size", "Block size in bytes", ["blocks_type", "device"]);
const SPEED: Family<2> =
    Family::gauge("smartctl_device_interface_speed", "Speed of the interface in bit/s", ["device", "speed_type"]);
const TEMPERATURE: Family<2> =
    Family::gauge("smartctl_device_temperature", "Temperature in degrees Celsius", ["device", "temperature_type"]);
const ERC: Family<2> =
    Family::gauge("smartctl_device_erc_seconds", "SCT error recovery control timeout", ["device", "op_type"]);
const ERRORS: Family<2> =
    Family::gauge("smartctl_device_error_log_count", "Entries of the error log", ["device", "error_log_type"]);
const TESTS: Family<2> = Family::gauge(
    "smartctl_device_self_test_log_count",
    "Entries of the self-test log",
    ["device", "self_test_log_type"],
);
const FAILED_TESTS: Family<2> = Family::gauge(
    "smartctl_device_self_test_log_error_count",
    "Failed self-tests in the self-test log",
    ["device", "self_test_log_type"],
);
const ATTRIBUTE: Family<6> = Family::gauge(
    "smartctl_device_attribute",
    "ATA SMART attribute",
    [
        "attribute_flags_long",
        "attribute_flags_short",
        "attribute_id",
        "attribute_name",
        "attribute_value_type",
        "device",
    ],
);
const STATISTIC: Family<5> = Family::gauge(
    "smartctl_device_statistics",
    "ATA device statistic or SATA PHY event counter",
    ["device", "statistic_flags_long", "statistic_flags_short", "statistic_name", "statistic_table"],
);

/// The families of reports.
pub(super) const FAMILIES: [FamilyInfo; PLAIN.len() + 11] = concat(&[
    &PLAIN_INFOS,
    &[
        VERSION.info(),
        INFO.info(),
        BLOCK_SIZE.info(),
        SPEED.info(),
        TEMPERATURE.info(),
        ERC.info(),
        ERRORS.info(),
        TESTS.info(),
        FAILED_TESTS.info(),
        ATTRIBUTE.info(),
        STATISTIC.info(),
    ],
]);

/// A report, and the label `device` of it.
pub(super) type Labelled<'r> = (&'r str, &'r Report);

/// Writes the families of all reports.
pub(super) fn write(reports: &[Labelled<'_>], out: &mut FamilyWriter<'_>) {
    if let Some((_, report)) = reports.first() {
        write_version(report, out);
    }
    write_infos(reports, out);
    for (family, value) in &PLAIN {
        let mut samples = out.family(family);
        for (device, report) in reports {
            value(report).into_iter().for_each(|value| samples.sample([device], value));
        }
    }
    write_typed(reports, out);
    write_attributes(reports, out);
    let mut samples = out.family(&STATISTIC);
    for (device, report) in reports {
        for (table, statistic) in report.statistics() {
            let Some(value) = statistic.value.0 else { continue };
            let (long, short) = match statistic.flags.string.is_empty() {
                // The counters of SATA's PHY have no flags.
                true => ("valid".to_owned(), "V---"),
                false => (statistic.flags.of_statistic(), &*statistic.flags.string),
            };
            samples.sample([device, &long, short, &statistic.name, table], value);
        }
    }
}

fn write_version(report: &Report, out: &mut FamilyWriter<'_>) {
    let version = |parts: &[u32]| parts.iter().take(2).map(u32::to_string).collect::<Vec<_>>().join(".");
    let smartctl = &report.smartctl;
    let (format, program) = (version(&report.json_format_version), version(&smartctl.version));
    out.family(&VERSION).sample([&smartctl.build_info, &format, &program, &smartctl.svn_revision], 1u64);
}

fn write_infos(reports: &[Labelled<'_>], out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&INFO);
    let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    for (device, report) in reports {
        let product_id = or_unknown(&report.ata_additional_product_id);
        let (family, model) = (or_unknown(&report.model_family), or_unknown(report.model()));
        let values: [&str; 15] = [
            &product_id,
            &report.ata_version.string,
            device,
            &report.firmware_version,
            &report.form_factor.name,
            &report.device.r#type,
            &family,
            &model,
            &report.device.protocol,
            &report.sata_version.string,
            &report.scsi_product,
            &report.scsi_revision,
            &report.scsi_vendor,
            &report.scsi_version,
            &report.serial_number,
        ];
        samples.sample(values, 1u64);
    }
}

/// Writes the families whose samples differ by one more label.
fn write_typed(reports: &[Labelled<'_>], out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&BLOCK_SIZE);
    for (device, report) in reports {
        for (of_type, size) in [("logical", report.logical_block_size), ("physical", report.physical_block_size)] {
            size.0.into_iter().for_each(|size| samples.sample([of_type, device], size));
        }
    }
    drop(samples);
    let mut samples = out.family(&SPEED);
    for (device, report) in reports {
        for (of_type, speed) in [("current", &report.interface_speed.current), ("max", &report.interface_speed.max)] {
            if let (Some(units), Some(bits)) = (speed.units_per_second.0, speed.bits_per_unit.0) {
                samples.sample([device, of_type], units.as_f64() * bits.as_f64());
            }
        }
    }
    drop(samples);
    write_mapped(&TEMPERATURE, reports, |report| &report.temperature, |value| value.0, out);
    write_mapped(&ERC, reports, |report| &report.ata_sct_erc, tenths, out);
    let count = |log: &Lenient<Log>| log.count.0;
    write_mapped(&ERRORS, reports, |report| &report.ata_smart_error_log, count, out);
    write_mapped(&TESTS, reports, |report| &report.ata_smart_self_test_log, count, out);
    let failed = |log: &Lenient<Log>| log.error_count_total.0;
    write_mapped(&FAILED_TESTS, reports, |report| &report.ata_smart_self_test_log, failed, out);
}

/// Writes a sample for each entry of an object.
fn write_mapped<T>(
    family: &Family<2>,
    reports: &[Labelled<'_>],
    object: fn(&Report) -> &BTreeMap<String, T>,
    value: impl Fn(&T) -> Option<Value>,
    out: &mut FamilyWriter<'_>,
) {
    let mut samples = out.family(family);
    for (device, report) in reports {
        for (name, entry) in object(report).iter().take(MAX_ENTRIES) {
            value(entry).into_iter().for_each(|value| samples.sample([device, name], value));
        }
    }
}

fn write_attributes(reports: &[Labelled<'_>], out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&ATTRIBUTE);
    for (device, report) in reports {
        for attribute in report.attributes() {
            let (long, id) = (attribute.flags.of_attribute(), attribute.id.integer().unwrap_or(0).to_string());
            let values = [
                ("value", attribute.value),
                ("worst", attribute.worst),
                ("thresh", attribute.thresh),
                ("raw", attribute.raw.value),
            ];
            for (of_type, value) in values {
                let Some(value) = value.0 else { continue };
                samples.sample([&long, &attribute.flags.string, &id, &attribute.name, of_type, device], value);
            }
        }
    }
}
