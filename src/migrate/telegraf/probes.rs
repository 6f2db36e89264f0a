//! `[[inputs.http_response]]`, `net_response`, `ping`, `dns_query` and `x509_cert`: each becomes a module of probes.

use super::read::{Block, Setting, Value};
use super::tables::{Becomes, Row};
use super::targets::{EVERY_JOB, TLS};
use super::translate::{Place, Reader};
use super::values::{duration_of, obstacle_of_urls, shown};
use crate::migrate::output::{literal, string, strings};
use crate::migrate::translation::{EntryId, Outcome};

use Becomes::{Changed, Duration, Missing, NotNeeded, Texts, To, Unless, Urls};

/// An input that becomes a module.
struct Probe {
    input: &'static str,
    prober: &'static str,
    options: &'static [Row],
    /// The settings in a table of their own: its name, and its rows.
    below: (&'static str, &'static [Row]),
    differs: &'static str,
    /// The timeout of Telegraf, if the option is left out.
    timeout: (&'static str, &'static str),
}

pub(super) const PATH: &str = "collectors.probe";
const NO_INTERFACE: Becomes = Unless("\"\"", "the route decides");

#[rustfmt::skip]
const HTTP: &[Row] = &[
    ("urls",                   Urls("targets")),
    ("address",                Urls("targets")),
    ("response_timeout",       Duration("timeout")),
    ("follow_redirects",       To("follow_redirects")),
    ("username",               To("username")),
    ("password",               To("password")),
    ("token",                  To("bearer_token")),
    ("bearer_token",           To("bearer_token_file")),
    ("http_proxy",             To("http_proxy")),
    ("response_body_max_size", To("max_body")),
    ("interface",              NO_INTERFACE),
    ("response_body_field",    Unless("\"\"", "the body is no field")),
    ("http_header_tags",       Missing("headers are no tags")),
    ("body_form",              Missing("write the body as it is sent, and its header Content-Type")),
    ("cookie_auth_url",        Unless("\"\"", "log in by a script of [[collectors.exec]]")),
];

#[rustfmt::skip]
const HTTP_BELOW: &[Row] = &[
    ("method",                 To("method")),
    ("body",                   To("body")),
    ("response_string_match",  Texts("fail_if_body_not_matches_regexp")),
];

#[rustfmt::skip]
const NET: &[Row] = &[
    ("address",      Texts("targets")),
    ("timeout",      Duration("timeout")),
    ("read_timeout", Changed("", "timeout spans the connection and the response")),
    ("protocol",     To("prober")),
];

#[rustfmt::skip]
const NET_BELOW: &[Row] = &[
    ("send",   To("send")),
    ("expect", To("expect")),
];

#[rustfmt::skip]
const PING: &[Row] = &[
    ("urls",        Texts("targets")),
    ("deadline",    Changed("", "timeout is that of the whole probe")),
    ("timeout",     Changed("", "timeout is that of the whole probe")),
    ("method",      NotNeeded("no program is started")),
    ("privileged",  NotNeeded("unprivileged sockets are used: see net.ipv4.ping_group_range in docs/probes.md")),
    ("binary",      NotNeeded("no program is started")),
    ("arguments",   Missing("no program is started")),
    ("interface",   NO_INTERFACE),
    ("percentiles", Unless("[]", "there are minimum, mean, maximum and standard deviation")),
];

#[rustfmt::skip]
const PING_BELOW: &[Row] = &[
    ("count",         To("count")),
    ("ping_interval", Duration("packet_interval")),
    ("size",          To("payload_size")),
];

#[rustfmt::skip]
const X509: &[Row] = &[
    ("sources",                  Texts("targets")),
    ("timeout",                  Duration("timeout")),
    ("server_name",              To("tls_server_name")),
    ("exclude_root_certs",       Unless("false", "filter by the tag type in the sinks")),
    ("pad_serial_with_zeroes",   Unless("false", "the serial number has no zeros before it")),
    ("password",                 Unless("\"\"", "JKS and PKCS #12 are not read")),
    ("use_proxy",                Unless("false", "certificates are read without a proxy")),
];

#[rustfmt::skip]
pub(super) const DNS: &[Row] = &[
    ("servers",        Texts("targets")),
    ("timeout",        Duration("timeout")),
    ("include_fields", Unless("[]", "addresses are no fields")),
];

/// Options without which no probe succeeds that fails in Telegraf. The others are checks, or parts of the request: without
/// one of them, the input is missing as a whole.
#[rustfmt::skip]
const HARMLESS: [&str; 9] = [
    "http_header_tags", "response_body_field", "interface", "percentiles", "arguments", "exclude_root_certs",
    "pad_serial_with_zeroes", "include_fields", "use_proxy",
];

const PROBES: &[Probe] = &[
    Probe {
        input: "dns_query",
        prober: "dns",
        options: DNS,
        below: ("dns", &[("record_type", To("query_type"))]),
        differs: "",
        timeout: ("timeout", "2s"),
    },
    Probe {
        input: "http_response",
        prober: "http",
        options: HTTP,
        below: ("http", HTTP_BELOW),
        differs: "",
        timeout: ("response_timeout", "5s"),
    },
    Probe {
        input: "net_response",
        prober: "tcp",
        options: NET,
        below: ("net", NET_BELOW),
        differs: "",
        timeout: ("timeout", "1s"),
    },
    Probe {
        input: "ping",
        prober: "icmp",
        options: PING,
        below: ("icmp", PING_BELOW),
        differs: "sent by Taffrail itself, over unprivileged sockets",
        timeout: ("deadline", "10s"),
    },
    Probe {
        input: "x509_cert",
        prober: "x509",
        options: X509,
        below: ("", &[]),
        differs: "a source that is down has a point, too",
        timeout: ("timeout", "5s"),
    },
];

fn find(block: &Block) -> Option<&'static Probe> {
    PROBES.iter().find(|probe| block.path.last().is_some_and(|name| name == probe.input))
}

fn is_harmless(Setting { key, value, .. }: &Setting) -> bool {
    let is_lower_than_ours = key == "tls_min_version" && matches!(value.text(), Some("TLS10" | "TLS11"));
    is_lower_than_ours || HARMLESS.contains(&&**key) || EVERY_JOB.iter().any(|(of_jobs, _)| of_jobs == key)
}

impl Reader {
    /// Translates a plugin that becomes a module of probes.
    pub(super) fn probe(&mut self, block: &Block) {
        let Some(probe) = find(block) else { return };
        if let Some(instead) = obstacle_of_urls(block).filter(|_| probe.prober == "http") {
            return self.whole(block, instead);
        }
        let outcome = match probe.differs {
            "" => Outcome::Same,
            how => Outcome::Changed(how.to_owned()),
        };
        let head = self.head(block, outcome);
        let place = Place::Sink(PATH);
        let name = self.name_of_module(block, probe.input);
        let module = self.translation.output.element(PATH, head);
        module.set("name", string(&name), head).set("prober", string(probe.prober), head);
        let mut lost = None;
        for setting in &block.settings {
            let first = self.translation.entries.len();
            match setting.key.as_str() {
                "servers" if probe.prober == "dns" => self.servers_of_dns(block, setting, place),
                "address" if probe.input == "net_response" => self.address(setting, place),
                _ => self.setting_of_probe(probe, setting, place),
            }
            if self.translation.has_missing(first) && !is_harmless(setting) {
                lost.get_or_insert(&setting.key);
            }
        }
        if let Some(key) = lost {
            block.tables.iter().for_each(|table| self.whole(table, "it is a part of an input that is missing"));
            return self.translation.drop_element(head, head, key, "probes would succeed that fail in Telegraf");
        }
        self.defaults_of_probe(probe, block, head);
        if probe.prober == "dns" {
            self.modules_of_domains(block);
        }
        if !self.measurements.iter().any(|(known, _)| known == probe.input) {
            self.measurements.push((probe.input.to_owned(), head));
        }
        for table in &block.tables {
            let is_headers = table.path.last().is_some_and(|name| name == "headers") && probe.prober == "http";
            if !is_headers {
                self.whole(table, "filter in the sinks, or add tags there");
                continue;
            }
            self.head(table, Outcome::Same);
            for setting in &table.settings {
                let id = self.add(setting.lines, &super::values::shown_without_texts(setting), Outcome::Same);
                self.set(id, place, "headers", &setting.key, setting);
            }
        }
    }

    /// A name that no other module has.
    pub(super) fn name_of_module(&mut self, block: &Block, input: &str) -> String {
        let alias = block.settings.iter().find(|setting| setting.key == "alias");
        let wanted = alias.and_then(|alias| alias.value.text()).unwrap_or(input).to_owned();
        let modules: Vec<String> = self
            .translation
            .output
            .elements(PATH)
            .flat_map(|module| module.values("name"))
            .map(|(name, _)| name)
            .collect();
        let is_free = |name: &String| !modules.contains(&string(name));
        let numbered = (2..).map(|number| format!("{wanted}-{number}"));
        std::iter::once(wanted.clone()).chain(numbered).find(is_free).unwrap_or(wanted)
    }

    fn setting_of_probe(&mut self, probe: &Probe, setting: &Setting, place: Place<'_>) {
        match (probe.input, setting.key.as_str(), &setting.value) {
            (_, "alias", _) => {
                self.add(setting.lines, &shown(setting), Outcome::Same);
            }
            ("http_response", "response_status_code", Value::Number(status)) => {
                let id = self.add(setting.lines, &shown(setting), Outcome::Same);
                match *status {
                    0.0 => self.translation.entries[id].outcome = Outcome::NotNeeded("it is the default".to_owned()),
                    _ => {
                        let list = format!("[{}]", setting.raw);
                        self.table(place, "http").set("valid_status_codes", list, id);
                    }
                }
            }
            ("dns_query", "domains", _) => self.domains(setting, place),
            ("dns_query", "network", value) => {
                let id = self.add(setting.lines, &shown(setting), Outcome::Same);
                let transport = match value.text() {
                    Some("tcp-tls") => "tls",
                    Some("tcp" | "tcp4" | "tcp6") => "tcp",
                    _ => "udp",
                };
                self.table(place, "dns").set("transport", literal(transport), id);
            }
            ("dns_query", "port", Value::Number(port)) => {
                let outcome = match *port {
                    53.0 => Outcome::NotNeeded("it is the default".to_owned()),
                    _ => Outcome::Changed("the port is behind each of targets".to_owned()),
                };
                self.add(setting.lines, &shown(setting), outcome);
            }
            ("ping", "ipv4" | "ipv6", value) => {
                let wanted = *value == Value::Switch(true);
                let outcome = match wanted {
                    true => Outcome::Changed("preferred_ip_protocol, without a fallback".to_owned()),
                    false => Outcome::NotNeeded("it is the default".to_owned()),
                };
                let id = self.add(setting.lines, &shown(setting), outcome);
                if wanted {
                    let version = if setting.key == "ipv4" { "ip4" } else { "ip6" };
                    let module = self.table(place, "");
                    module.set("preferred_ip_protocol", literal(version), id).set("ip_protocol_fallback", "false", id);
                }
            }
            (_, key, _) if probe.below.1.iter().any(|(option, _)| *option == key) => {
                self.setting_below(probe, setting, place);
            }
            _ => self.option(setting, &[probe.options, TLS, EVERY_JOB], place),
        }
    }

    /// An address without a host is this machine's.
    fn address(&mut self, setting: &Setting, place: Place<'_>) {
        let Some(port) = setting.value.text().filter(|text| text.starts_with(':')) else {
            return self.option(setting, &[NET], place);
        };
        let how = "Telegraf connects to localhost if there is no host".to_owned();
        let id = self.add(setting.lines, &shown(setting), Outcome::Changed(how));
        self.table(place, "").set("targets", strings(&[format!("localhost{port}")]), id);
    }

    /// A setting in the table of the prober.
    fn setting_below(&mut self, probe: &Probe, setting: &Setting, place: Place<'_>) {
        let (table, rows) = probe.below;
        let Some((_, becomes)) = rows.iter().find(|(option, _)| *option == setting.key) else { return };
        let is_default = matches!(&setting.value, Value::Text(text) if text.is_empty());
        let outcome = if is_default { Outcome::NotNeeded("it is the default".to_owned()) } else { Outcome::Same };
        let id = self.add(setting.lines, &shown(setting), outcome);
        match becomes {
            _ if is_default => {}
            Texts(key) => {
                let texts = setting.value.texts().unwrap_or_default();
                self.table(place, table).set(key, strings(&texts), id);
            }
            Duration(key) => {
                let value = duration_of(&setting.value).unwrap_or_else(|| setting.raw.clone());
                self.table(place, table).set(key, value, id);
            }
            To(key) => self.set(id, place, table, key, setting),
            _ => {}
        }
    }

    /// Settings whose defaults differ from Telegraf's.
    fn defaults_of_probe(&mut self, probe: &Probe, block: &Block, head: EntryId) {
        let has = |key: &str| block.settings.iter().any(|setting| setting.key == key);
        let interval = self.interval.clone().filter(|_| !has("interval")).unwrap_or_else(|| literal("10s"));
        let (option, timeout) = probe.timeout;
        let module = self.translation.output.last_element(PATH);
        if !has("interval") {
            module.set("interval", interval, head);
        }
        if !module.has("timeout") {
            let of_option = block.settings.iter().find(|setting| setting.key == option);
            let given = of_option.and_then(|setting| duration_of(&setting.value));
            module.set("timeout", given.unwrap_or_else(|| literal(timeout)), head);
        }
        if probe.input == "dns_query" {
            let dns = module.table("dns");
            // Telegraf's defaults, which differ from its documentation.
            for (option, key, value) in [("domains", "query_name", "."), ("record_type", "query_type", "NS")] {
                if !has(option) {
                    dns.set(key, literal(value), head);
                }
            }
        }
        if probe.input == "http_response" && !module.has("targets") {
            module.set("targets", "[\"http://localhost\"]", head);
        }
    }
}
