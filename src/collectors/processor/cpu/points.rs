//! CPU usage as points.

use super::sysfs::Core;
use super::{CpuReading, MODES, Mode, TICKS_PER_SECOND, Ticks};
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Field, Measurement, PointWriter};

impl CpuReading {
    pub(super) fn write_point(
        &self,
        name: &str,
        core: Option<&Core>,
        ticks: &Ticks,
        last: Option<&Ticks>,
        out: &mut PointWriter<'_>,
    ) {
        let settings = self.points;
        let (number, package) = core.map_or(("", ""), |core| (&*core.number, &*core.package));
        let mut point = out.point(&CPU, [number, name, package]);
        if settings.collect_cpu_time {
            for (_, (_, time), part) in self.reported_parts(ticks) {
                point.field(time, part / TICKS_PER_SECOND);
            }
            if settings.report_active {
                point.field(&TIME_ACTIVE, (total(ticks) - ticks[Mode::Idle as usize] as f64) / TICKS_PER_SECOND);
            }
        }
        let Some(delta) = last.and_then(|last| delta_since(ticks, last)) else { return };
        let elapsed = total(&delta);
        if elapsed == 0.0 {
            return;
        }
        for (_, (usage, _), part) in self.reported_parts(&delta) {
            point.field(usage, 100.0 * part / elapsed);
        }
        if settings.report_active {
            point.field(&USAGE_ACTIVE, 100.0 * (elapsed - delta[Mode::Idle as usize] as f64) / elapsed);
        }
    }

    fn reported_parts(&self, ticks: &Ticks) -> impl Iterator<Item = (usize, &'static (Field<f64>, Field<f64>), f64)> {
        let is_reported = |index: usize| !self.is_coarse || [Mode::User as usize, Mode::Idle as usize].contains(&index);
        let reported = PARTS.iter().zip(parts(ticks)).enumerate().filter(move |(index, _)| is_reported(*index));
        reported.map(|(index, (fields, part))| (index, fields, part))
    }
}

/// Ticks between two readings. `None` if a counter decreased: the CPU restarted.
pub(super) fn delta_since(now: &Ticks, last: &Ticks) -> Option<Ticks> {
    let has_decreased = now.iter().zip(last).any(|(now, last)| now < last);
    (!has_decreased).then(|| std::array::from_fn(|mode| now[mode] - last[mode]))
}

/// Sum of all modes. Guest time is included in user and nice.
pub(super) fn total(ticks: &Ticks) -> f64 {
    ticks[..Mode::Guest as usize].iter().map(|ticks| *ticks as f64).sum()
}

/// Ticks in the order of [`PARTS`], with guest time subtracted from user and nice.
pub(super) fn parts(ticks: &Ticks) -> [f64; MODES] {
    let mut parts = *ticks;
    for (mode, guests) in [(Mode::User, Mode::Guest), (Mode::Nice, Mode::GuestNice)] {
        // The kernel rounds each counter down separately.
        parts[mode as usize] = parts[mode as usize].saturating_sub(ticks[guests as usize]);
    }
    parts.map(|ticks| ticks as f64)
}

const PARTS: [(Field<f64>, Field<f64>); MODES] = [
    (Field::new("usage_user", "% in user mode, excluding guests"), Field::new("time_user", "seconds")),
    (
        Field::new("usage_nice", "% in user mode at low priority (nice), excluding guests"),
        Field::new("time_nice", "seconds"),
    ),
    (Field::new("usage_system", "% in kernel mode"), Field::new("time_system", "seconds")),
    (Field::new("usage_idle", "% idle"), Field::new("time_idle", "seconds")),
    (Field::new("usage_iowait", "% idle with outstanding I/O"), Field::new("time_iowait", "seconds")),
    (Field::new("usage_irq", "% servicing interrupts"), Field::new("time_irq", "seconds")),
    (Field::new("usage_softirq", "% servicing softirqs"), Field::new("time_softirq", "seconds")),
    (Field::new("usage_steal", "% stolen by the hypervisor"), Field::new("time_steal", "seconds")),
    (Field::new("usage_guest", "% running guests"), Field::new("time_guest", "seconds")),
    (Field::new("usage_guest_nice", "% running niced guests"), Field::new("time_guest_nice", "seconds")),
];
const USAGE_ACTIVE: Field<f64> = Field::new("usage_active", "% not idle; with `report_active`");
const TIME_ACTIVE: Field<f64> = Field::new("time_active", "seconds; with `report_active` and `collect_cpu_time`");

pub(super) const CPU: Measurement<3> = Measurement::new("cpu", ["core_id", "cpu", "physical_id"], &CPU_FIELDS);
const CPU_FIELDS: [FieldInfo; 2 * MODES + 2] =
    concat(&[&infos!(PARTS.0), &[USAGE_ACTIVE.info()], &infos!(PARTS.1), &[TIME_ACTIVE.info()]]);
