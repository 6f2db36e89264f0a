//! `taffrail push`: what a batch job's author has in his crontab. It runs the job, or takes what the job wrote, and pushes it
//! to a gateway: Taffrail's, or Pushgateway.

pub mod command;
pub mod delivery;
#[cfg(target_os = "linux")]
pub mod guardian;
#[cfg_attr(windows, path = "process_windows.rs")]
mod process;
pub mod report;
pub mod running;
pub mod spool;
pub mod target;
