//! How well the clock is kept.

use super::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::family::FamilyInfo;
use crate::encode::infos::infos;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, ReadError, text, timex::Timex as Told};

pub(super) struct Timex;

/// adjtimex(2).
#[derive(Default)]
pub(super) struct TimexReading {
    told: Option<Told>,
}

impl Collector for Timex {
    const ABOUT: About = About {
        name: "timex",
        summary: "how well the clock is kept: synchronisation, offset, errors",
        reads: &["adjtimex(2)"],
        families: &FAMILY_INFOS,
        ..About::PLAIN
    };
    type Reading = TimexReading;

    fn new(_: &Host, _: &mut Section<'_>) -> Self {
        Timex
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut TimexReading) -> Result<(), ReadError> {
        reading.told = None;
        let told = cx.host.kernel.timex();
        reading.told = Some(
            told.map_err(|error| ReadError::Refused { what: "adjtimex(2)".to_owned(), reason: text::reason(error) })?,
        );
        Ok(())
    }
}

const TIME_ERROR: i32 = 5;
const STA_NANO: i32 = 0x2000;
const MICROSECONDS: f64 = 1e6;
/// The kernel scales millionths by 2¹⁶.
const SCALED_MILLIONTHS: f64 = 1e6 * 65_536.0;

/// Of `offset` and `jitter`, in a second.
fn units(told: &Told) -> f64 {
    if told.status & STA_NANO != 0 { 1e9 } else { MICROSECONDS }
}

type Column = (Family<0>, fn(&Told) -> f64);

const fn gauge(name: &'static str, help: &'static str, value: fn(&Told) -> f64) -> Column {
    (Family::gauge(name, help, []), value)
}

const fn counter(name: &'static str, help: &'static str, value: fn(&Told) -> f64) -> Column {
    (Family::counter(name, help, []), value)
}

const COLUMNS: [Column; 17] = [
    gauge("node_timex_estimated_error_seconds", "The clock's error, as estimated.", |t| {
        t.esterror as f64 / MICROSECONDS
    }),
    gauge("node_timex_frequency_adjustment_ratio", "How much faster the clock is made to run; 1 is not at all.", |t| {
        1.0 + t.freq as f64 / SCALED_MILLIONTHS
    }),
    gauge("node_timex_loop_time_constant", "Time constant of the phase-locked loop.", |t| t.constant as f64),
    gauge("node_timex_maxerror_seconds", "The clock's error at the most.", |t| t.maxerror as f64 / MICROSECONDS),
    gauge("node_timex_offset_seconds", "How far the clock is yet to be corrected.", |t| t.offset as f64 / units(t)),
    counter("node_timex_pps_calibration_total", "Calibration intervals of the pulse per second.", |t| t.calcnt as f64),
    counter("node_timex_pps_error_total", "Calibration errors of the pulse per second.", |t| t.errcnt as f64),
    gauge("node_timex_pps_frequency_hertz", "Frequency of the pulse per second.", |t| {
        t.ppsfreq as f64 / SCALED_MILLIONTHS
    }),
    gauge("node_timex_pps_jitter_seconds", "Jitter of the pulse per second.", |t| t.jitter as f64 / units(t)),
    counter("node_timex_pps_jitter_total", "Pulses with more jitter than allowed.", |t| t.jitcnt as f64),
    gauge("node_timex_pps_shift_seconds", "Interval of the pulse's calibration.", |t| t.shift.into()),
    counter("node_timex_pps_stability_exceeded_total", "Intervals in which the pulse wandered too far.", |t| {
        t.stbcnt as f64
    }),
    gauge("node_timex_pps_stability_hertz", "Wander of the pulse's frequency.", |t| {
        t.stabil as f64 / SCALED_MILLIONTHS
    }),
    gauge("node_timex_status", "The flags of the clock: STA_* of adjtimex(2).", |t| t.status.into()),
    gauge("node_timex_sync_status", "Whether a reliable server keeps the clock: 1 or 0.", |t| {
        f64::from(t.state != TIME_ERROR)
    }),
    gauge("node_timex_tai_offset_seconds", "How far International Atomic Time is ahead of UTC.", |t| t.tai.into()),
    gauge("node_timex_tick_seconds", "Between two ticks of the clock.", |t| t.tick as f64 / MICROSECONDS),
];
const FAMILY_INFOS: [FamilyInfo; COLUMNS.len()] = infos!(COLUMNS.0);

impl Reading for TimexReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if let Some(told) = &self.told {
            for (family, value) in &COLUMNS {
                out.value(family, value(told));
            }
        }
    }
}
