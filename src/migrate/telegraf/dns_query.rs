//! `[[inputs.dns_query]]`: name servers with their port, and a module for each domain.

use super::present::setting;
use super::probes::{DNS, PATH};
use super::read::{Block, Setting, Value};
use super::translate::{Place, Reader};
use super::values::shown;
use crate::migrate::output::{Table, string, strings};
use crate::migrate::translation::Outcome;

/// The domains of such an input.
fn domains(block: &Block) -> Vec<&str> {
    setting(block, "domains").and_then(|domains| domains.value.texts()).unwrap_or_default()
}

impl Reader {
    /// Name servers, with the port that Telegraf has in an option of its own.
    pub(super) fn servers_of_dns(&mut self, block: &Block, setting: &Setting, place: Place<'_>) {
        let port = super::present::setting(block, "port").map(|setting| &setting.value);
        let Some(Value::Number(port)) = port.filter(|port| **port != Value::Number(53.0)) else {
            return self.option(setting, &[DNS], place);
        };
        let id = self.add(setting.lines, &shown(setting), Outcome::Same);
        let with_port = |server: &str| match server.contains(':') && !server.starts_with('[') {
            true => format!("[{server}]:{port}"),
            false => format!("{server}:{port}"),
        };
        let servers: Vec<String> = setting.value.texts().unwrap_or_default().into_iter().map(with_port).collect();
        self.table(place, "").set("targets", strings(&servers), id);
    }

    /// The names of queries. A module has the first one.
    pub(super) fn domains(&mut self, setting: &Setting, place: Place<'_>) {
        let domains = setting.value.texts().unwrap_or_default();
        let Some(first) = domains.first() else {
            return self.missing_setting(setting, "expected at least one domain");
        };
        let outcome = match domains.len() {
            1 => Outcome::Same,
            _ => Outcome::Changed("a module for each domain".to_owned()),
        };
        let id = self.add(setting.lines, &shown(setting), outcome);
        self.table(place, "dns").set("query_name", string(first), id);
    }

    /// Repeats the module that is complete for each further domain.
    pub(super) fn modules_of_domains(&mut self, block: &Block) {
        for domain in domains(block).into_iter().skip(1) {
            let name = self.name_of_module(block, "dns_query");
            let module = self.translation.output.repeat_last_element(PATH);
            let revise = |table: &mut Table, key: &str, value: &str| {
                let id = table.values(key).first().map_or(0, |(_, id)| *id);
                table.refine(key, string(value), id);
            };
            revise(module, "name", &name);
            revise(module.table("dns"), "query_name", domain);
        }
    }
}
