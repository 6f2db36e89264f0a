//! What the kernel's clock discipline tells.

use super::errno::Errno;

/// The answer of adjtimex(2), in the units of the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timex {
    /// The state of the clock, such as `TIME_OK` (0) or `TIME_ERROR` (5, not synchronised).
    pub state: i32,
    /// Flags `STA_*`.
    pub status: i32,
    /// How far the clock still is from where it shall be, in microseconds, or nanoseconds with `STA_NANO`.
    pub offset: i64,
    /// Correction of the frequency, in 2⁻¹⁶ millionths.
    pub freq: i64,
    /// The largest error there may be, in microseconds.
    pub maxerror: i64,
    /// The error that is estimated, in microseconds.
    pub esterror: i64,
    /// Time constant of the phase-locked loop.
    pub constant: i64,
    /// Between two ticks of the clock, in microseconds.
    pub tick: i64,
    /// Frequency of the pulse per second, in 2⁻¹⁶ millionths.
    pub ppsfreq: i64,
    /// Jitter of the pulse, in the unit of `offset`.
    pub jitter: i64,
    /// Interval of the pulse's calibration, as a power of two of seconds.
    pub shift: i32,
    /// Wander of the pulse's frequency, in 2⁻¹⁶ millionths.
    pub stabil: i64,
    /// Pulses with too much jitter.
    pub jitcnt: i64,
    /// Intervals of calibration.
    pub calcnt: i64,
    /// Errors in calibration.
    pub errcnt: i64,
    /// Intervals in which the frequency wandered too far.
    pub stbcnt: i64,
    /// How far International Atomic Time is ahead of UTC, in seconds.
    pub tai: i32,
}

/// The running kernel's answer.
///
/// # Errors
/// What adjtimex(2) answers; `EPERM` from behind some seccomp filters.
// No crate of safe calls has this one.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn read() -> Result<Timex, Errno> {
    // SAFETY: a C structure of integers, for which all bits zero are a value.
    let mut told: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a structure that lives as long as the call; with `modes` at 0 the kernel only fills it.
    let state = unsafe { libc::adjtimex(&raw mut told) };
    if state < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
    }
    Ok(Timex {
        state,
        status: told.status,
        offset: told.offset,
        freq: told.freq,
        maxerror: told.maxerror,
        esterror: told.esterror,
        constant: told.constant,
        tick: told.tick,
        ppsfreq: told.ppsfreq,
        jitter: told.jitter,
        shift: told.shift,
        stabil: told.stabil,
        jitcnt: told.jitcnt,
        calcnt: told.calcnt,
        errcnt: told.errcnt,
        stbcnt: told.stbcnt,
        tai: told.tai,
    })
}

/// Other systems are not asked.
///
/// # Errors
/// `EOPNOTSUPP`.
#[cfg(not(target_os = "linux"))]
pub fn read() -> Result<Timex, Errno> {
    Err(Errno::OPNOTSUPP)
}
