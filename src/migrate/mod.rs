//! Moving in: translates the set-up of another program, and reports what becomes of each of its lines.
//!
//! A program has a file of its own, with one table that a user of that program can read: its settings, and for each the
//! setting of Taffrail, or the reason why there is none. [`translation`] is the frame: the lines with their outcomes, and
//! the settings with the lines that they come from. [`check`] passes the output through the parser of the
//! configuration, so that no translation contains what `taffrail check` refuses. [`report`] prints it.

pub mod blackbox_exporter;
pub mod cadvisor;
pub mod check;
pub mod cloudwatch_exporter;
pub mod command_line;
pub mod defaults_file;
pub mod entry;
mod environment_file;
pub mod flags;
pub mod gob;
pub mod helm_values;
pub mod input_file;
mod lines;
pub mod machine;
pub mod needed;
pub mod node_exporter;
pub mod output;
pub mod persistence_file;
mod probe_jobs;
pub mod process_exporter;
pub mod pushgateway;
pub mod report;
pub mod statsd_exporter;
mod systemd_words;
pub mod telegraf;
pub mod template;
pub mod translation;
mod units;
pub mod verify;
pub mod yace;
mod yaml_lines;
