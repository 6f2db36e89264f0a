//! `[[inputs.nginx]]` and other servers of applications: each becomes a section of the collector of its name.

use super::present::setting;
use super::read::{Block, Setting};
use super::server_tables::{OPTIONS, Server};
use super::targets::{EVERY_JOB, TLS};
use super::translate::{Place, Reader};
use super::values::{raw, shown, urls_and_user};
use crate::migrate::output::strings;
use crate::migrate::translation::Outcome;

const REDIS: &str = "collectors.redis";

impl Reader {
    pub(super) fn server(&mut self, block: &Block, server: &Server) {
        let is_given =
            block.settings.iter().any(|setting| [server.list, "unix_sockets"].contains(&setting.key.as_str()));
        if !is_given && server.default.is_empty() {
            return self.whole(block, &format!("there is no server without {}", server.list));
        }
        if let Some(instead) = unusable(block, server) {
            return self.whole(block, instead);
        }
        let path = format!("collectors.{}", server.name);
        let place = Place::Sink(&path);
        let head = self.head(block, Outcome::Same);
        self.translation.output.element(&path, head);
        for setting in &block.settings {
            match (server.name, setting.key.as_str()) {
                ("memcached", "servers" | "unix_sockets") => self.addresses(block, setting, place),
                _ => self.option(setting, &[server.options, OPTIONS, TLS, EVERY_JOB], place),
            }
        }
        if !is_given {
            let default = strings(&[server.default]);
            self.omitted(head, server.list, server.list, &default);
            self.table(place, "").set(server.list, default, head);
        }
        // Redis uses TLS if there are certificates.
        let has_tls = ["tls_ca", "tls_cert", "tls_key"].iter().any(|key| setting(block, key).is_some());
        if server.name == "redis" && has_tls && setting(block, "tls_enable").is_none() {
            self.table(place, "").set("tls", "true", head);
        }
        if setting(block, "interval").is_none()
            && let Some(interval) = self.interval.clone()
        {
            self.table(place, "").set("interval", interval, head);
        }
        for table in &block.tables {
            self.table_of_server(table, place);
        }
        for name in server.measurements {
            if !self.measurements.iter().any(|(known, _)| known == name) {
                self.measurements.push(((*name).to_owned(), head));
            }
        }
    }

    fn table_of_server(&mut self, table: &Block, place: Place<'_>) {
        match table.path.last().map_or("", String::as_str) {
            "tags" if table.tables.is_empty() => {
                self.head(table, Outcome::Changed("labels, which also are tags".to_owned()));
                for setting in &table.settings {
                    let id = self.add(setting.lines, &shown(setting), Outcome::Same);
                    self.set(id, place, "labels", &setting.key, setting);
                }
            }
            "headers" if table.tables.is_empty() => {
                self.head(table, Outcome::Same);
                for setting in &table.settings {
                    let id = self.add(setting.lines, &format!("{} = …", setting.key), Outcome::Same);
                    self.set(id, place, "headers", &setting.key, setting);
                }
            }
            "tagpass" | "tagdrop" => self.whole(table, "filter in the sinks"),
            "commands" if table.tables.is_empty() && matches!(place, Place::Sink(REDIS)) => {
                self.command_of_redis(table)
            }
            _ => self.whole(table, "Taffrail has no such table"),
        }
    }

    fn command_of_redis(&mut self, table: &Block) {
        let head = self.head(table, Outcome::Same);
        self.translation.output.last_element(REDIS).element("commands", head);
        for setting in &table.settings {
            if !["command", "field", "type"].contains(&setting.key.as_str()) {
                self.missing_setting(setting, "Taffrail has no such option");
                continue;
            }
            let id = self.add(setting.lines, &shown(setting), Outcome::Same);
            match raw(setting) {
                Ok(value) => {
                    let commands = self.translation.output.last_element(REDIS).last_or_new_element("commands");
                    commands.set(&setting.key, value, id);
                }
                Err(instead) => self.translation.entries[id].outcome = Outcome::Missing(instead),
            }
        }
    }

    /// Servers and sockets of memcached are one list here.
    fn addresses(&mut self, block: &Block, setting: &Setting, place: Place<'_>) {
        let id = self.add(setting.lines, &shown(setting), Outcome::Same);
        let of = |key: &str| {
            let found = block.settings.iter().find(|setting| setting.key == key);
            found.and_then(|setting| setting.value.texts()).unwrap_or_default()
        };
        let all: Vec<String> = of("servers").into_iter().chain(of("unix_sockets")).map(str::to_owned).collect();
        self.table(place, "").set("servers", strings(&all), id);
    }
}

/// What to write in place of servers that cannot be taken over.
fn unusable(block: &Block, server: &Server) -> Option<&'static str> {
    let list = setting(block, server.list)?;
    let Some(texts) = list.value.texts() else { return Some("expected a list of strings") };
    urls_and_user(&texts).err()
}
