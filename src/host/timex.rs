//! State of the kernel's clock discipline.

use super::errno::Errno;

/// The result of adjtimex(2), in the kernel's units.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timex {
    /// The state of the clock, such as `TIME_OK` (0) or `TIME_ERROR` (5, not synchronised).
    pub state: i32,
    /// Flags `STA_*`.
    pub status: i32,
    /// Remaining offset, in microseconds, or nanoseconds with `STA_NANO`.
    pub offset: i64,
    /// Frequency correction, in 2⁻¹⁶ millionths.
    pub freq: i64,
    /// Maximum error, in microseconds.
    pub maxerror: i64,
    /// Estimated error, in microseconds.
    pub esterror: i64,
    /// Time constant of the phase-locked loop.
    pub constant: i64,
    /// Microseconds between clock ticks.
    pub tick: i64,
    /// PPS frequency, in 2⁻¹⁶ millionths.
    pub ppsfreq: i64,
    /// PPS jitter, in the unit of `offset`.
    pub jitter: i64,
    /// PPS calibration interval: log2 of seconds.
    pub shift: i32,
    /// PPS stability (frequency wander), in 2⁻¹⁶ millionths.
    pub stabil: i64,
    /// PPS jitter limit exceeded events.
    pub jitcnt: i64,
    /// PPS calibration intervals.
    pub calcnt: i64,
    /// PPS calibration errors.
    pub errcnt: i64,
    /// PPS stability limit exceeded events.
    pub stbcnt: i64,
    /// TAI offset from UTC, in seconds.
    pub tai: i32,
}

/// Calls adjtimex(2) on the running kernel.
///
/// # Errors
/// The error of adjtimex(2); `EPERM` behind some seccomp filters.
// No safe crate wraps this call.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn read() -> Result<Timex, Errno> {
    // SAFETY: a C structure of integers, for which all bits zero are a value.
    let mut buffer: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure that lives as long as the call; with `modes` at 0 the kernel only fills it.
    let state = unsafe { libc::adjtimex(&raw mut buffer) };
    if state < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
    }
    Ok(Timex {
        state,
        status: buffer.status,
        offset: buffer.offset,
        freq: buffer.freq,
        maxerror: buffer.maxerror,
        esterror: buffer.esterror,
        constant: buffer.constant,
        tick: buffer.tick,
        ppsfreq: buffer.ppsfreq,
        jitter: buffer.jitter,
        shift: buffer.shift,
        stabil: buffer.stabil,
        jitcnt: buffer.jitcnt,
        calcnt: buffer.calcnt,
        errcnt: buffer.errcnt,
        stbcnt: buffer.stbcnt,
        tai: buffer.tai,
    })
}

/// Not supported on other systems.
///
/// # Errors
/// `EOPNOTSUPP`.
#[cfg(not(target_os = "linux"))]
pub fn read() -> Result<Timex, Errno> {
    Err(Errno::OPNOTSUPP)
}
