//! The repository: its files, the crates that it uses, and what is built from it apart from the program for Linux.

mod circles;
mod crates;
mod english;
mod files;
mod fuzz;
mod log_modules;
#[cfg(target_os = "linux")]
mod packaging;
mod systems;
mod versions;
