//! Telegraf's configuration. [`tables`] says what becomes of every plugin and option; [`read`] has the settings of a file
//! with their lines; [`translate`] applies the tables, to outputs in `sinks`; `servers` has inputs of servers; `kept` has the lines that Telegraf still
//! needs for the inputs that are missing; `template` finds templates that are not rendered.

mod devices;
mod dns_query;
pub mod files;
mod kept;
mod others;
mod present;
mod probes;
mod processors;
mod procstat;
mod programs;
mod prometheus;
pub mod read;
mod server_tables;
mod servers;
mod shared;
mod sinks;
mod statsd;
pub mod tables;
mod targets;
mod template;
pub mod translate;
mod values;
