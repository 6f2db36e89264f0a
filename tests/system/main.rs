//! Taffrail in systems: containers, guests, packages, and with what is deployed beside it.

#[path = "../harness/mod.rs"]
mod harness;

mod chaos;
mod containers;
mod deploy;
mod kubernetes;
mod package;
mod vm;
