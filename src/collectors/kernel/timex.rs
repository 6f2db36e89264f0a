//! Clock synchronisation.

use crate::collectors::framework::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::family::FamilyInfo;
use crate::encode::infos::infos;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, ReadError, text, timex::Timex as KernelTimex};

pub(super) struct Timex;

/// adjtimex(2).
#[derive(Default)]
pub(super) struct TimexReading {
    timex: Option<KernelTimex>,
}

impl Collector for Timex {
    const ABOUT: About = About {
        name: "timex",
        summary: "clock synchronisation: status, offset, errors",
        reads: &["adjtimex(2)"],
        families: &FAMILY_INFOS,
        ..About::PLAIN
    };
    type Reading = TimexReading;

    fn new(_: &Host, _: &mut Section<'_>) -> Self {
        Timex
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut TimexReading) -> Result<(), ReadError> {
        reading.timex = None;
        let timex = cx.host.kernel.timex();
        reading.timex = Some(
            timex
                .map_err(|error| ReadError::Refused { what: "adjtimex(2)".to_owned(), reason: text::reason(error) })?,
        );
        Ok(())
    }
}

const TIME_ERROR: i32 = 5;
const STA_NANO: i32 = 0x2000;
const MICROSECONDS: f64 = 1e6;
/// The kernel scales ppm by 2¹⁶.
const SCALED_MILLIONTHS: f64 = 1e6 * 65_536.0;

/// Units of `offset` and `jitter` per second.
fn units(timex: &KernelTimex) -> f64 {
    if timex.status & STA_NANO != 0 { 1e9 } else { MICROSECONDS }
}

type Column = (Family<0>, fn(&KernelTimex) -> f64);

const fn gauge(name: &'static str, help: &'static str, value: fn(&KernelTimex) -> f64) -> Column {
    (Family::gauge(name, help, []), value)
}

const fn counter(name: &'static str, help: &'static str, value: fn(&KernelTimex) -> f64) -> Column {
    (Family::counter(name, help, []), value)
}

const COLUMNS: [Column; 17] = [
    gauge("node_timex_estimated_error_seconds", "Estimated clock error", |t| t.esterror as f64 / MICROSECONDS),
    gauge("node_timex_frequency_adjustment_ratio", "Local clock frequency adjustment; 1 is no adjustment", |t| {
        1.0 + t.freq as f64 / SCALED_MILLIONTHS
    }),
    gauge("node_timex_loop_time_constant", "Phase-locked loop time constant", |t| t.constant as f64),
    gauge("node_timex_maxerror_seconds", "Maximum clock error", |t| t.maxerror as f64 / MICROSECONDS),
    gauge("node_timex_offset_seconds", "Offset between system clock and reference clock", |t| {
        t.offset as f64 / units(t)
    }),
    counter("node_timex_pps_calibration_total", "PPS calibration intervals", |t| t.calcnt as f64),
    counter("node_timex_pps_error_total", "PPS calibration errors", |t| t.errcnt as f64),
    gauge("node_timex_pps_frequency_hertz", "PPS frequency", |t| t.ppsfreq as f64 / SCALED_MILLIONTHS),
    gauge("node_timex_pps_jitter_seconds", "PPS jitter", |t| t.jitter as f64 / units(t)),
    counter("node_timex_pps_jitter_total", "PPS jitter limit exceeded events", |t| t.jitcnt as f64),
    gauge("node_timex_pps_shift_seconds", "PPS calibration interval duration", |t| t.shift.into()),
    counter("node_timex_pps_stability_exceeded_total", "PPS stability limit exceeded events", |t| t.stbcnt as f64),
    gauge("node_timex_pps_stability_hertz", "PPS frequency stability (wander)", |t| {
        t.stabil as f64 / SCALED_MILLIONTHS
    }),
    gauge("node_timex_status", "Clock status flags (STA_* of adjtimex(2))", |t| t.status.into()),
    gauge("node_timex_sync_status", "1 if the clock is synchronised to a reliable server", |t| {
        f64::from(t.state != TIME_ERROR)
    }),
    gauge("node_timex_tai_offset_seconds", "International Atomic Time (TAI) offset", |t| t.tai.into()),
    gauge("node_timex_tick_seconds", "Time between clock ticks", |t| t.tick as f64 / MICROSECONDS),
];
const FAMILY_INFOS: [FamilyInfo; COLUMNS.len()] = infos!(COLUMNS.0);

impl Reading for TimexReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if let Some(timex) = &self.timex {
            for (family, value) in &COLUMNS {
                out.value(family, value(timex));
            }
        }
    }
}
