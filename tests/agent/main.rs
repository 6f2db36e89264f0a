//! The agent as its users run it: its commands, its configuration, its endpoints, its files, and what hangs below it.

#[path = "../common/mod.rs"]
mod common;
#[path = "../harness/mod.rs"]
mod harness;

mod assets;
mod blackbox_exporter;
mod cli;
mod descriptors;
mod docker;
mod docs;
mod endpoints;
mod exec;
mod files;
mod hangs;
mod listeners;
mod live;
mod log;
mod manager;
mod migrate;
mod nvidia;
mod portable;
mod probe;
mod process;
mod readers;
mod secrets;
mod smart;
mod textfile;
