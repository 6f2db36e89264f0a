//! `taffrail push`, the command for crontabs: runs a batch job, or reads what it wrote, and pushes to a gateway:
//! Taffrail's, or Pushgateway.

pub mod command;
pub mod delivery;
#[cfg(target_os = "linux")]
pub mod guardian;
mod leftovers;
#[cfg_attr(windows, path = "process_windows.rs")]
mod process;
pub mod program;
pub mod report;
mod response;
pub mod runs;
pub mod spool;
pub mod target;
