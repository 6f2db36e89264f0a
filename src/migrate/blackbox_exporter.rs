//! The configuration of Prometheus's blackbox_exporter: each module is a section of `[[collectors.probe]]`.

use super::lines::Lines;
use super::output::{Table, literal};
use super::probe_jobs;
use super::translation::{Outcome, Translation};
use super::units::{any_of, duration, go_duration, list, numbers, size};
use super::yaml_lines::{NO_SUCH_KEY, Pair, YamlFile, pairs};
use crate::config::{Problems, Value, yaml};

/// What becomes of a key. The settings are those of the module, or of a table of it: `http.method`.
#[derive(Clone, Copy)]
enum Becomes {
    /// A mapping, whose keys have rows of their own.
    Keys,
    Text(&'static str),
    Switch(&'static str),
    Duration(&'static str),
    /// A number, or a list of numbers.
    Numbers(&'static str),
    /// A list of texts.
    Texts(&'static str),
    /// Regular expressions of which any may match, as one.
    AnyOf(&'static str),
    /// A mapping of names to texts.
    Names(&'static str),
    /// A number of bytes with a unit.
    Size(&'static str),
    /// `true` becomes this value of a setting; `false` nothing.
    Chosen(&'static str, &'static str),
    /// `true` becomes `false` of this setting, and `false` becomes `true`.
    Opposite(&'static str),
    /// Steps of an exchange over TCP.
    Exchange,
    /// Versions of HTTP that are valid.
    Versions,
    NotNeeded(&'static str),
    Missing(&'static str),
    /// Missing unless it has this value, the default.
    Unless(&'static str, &'static str),
    /// As `Unless`, but without it no probe succeeds that fails in blackbox_exporter: the module stays.
    Harmless(&'static str, &'static str),
}

use Becomes::{
    Chosen, Exchange, Harmless, Keys, Missing, Names, NotNeeded, Numbers, Opposite, Size, Switch, Text, Texts, Unless,
};

type Row = (&'static str, Becomes);

const OTHER_ADDRESS: Becomes = Harmless("", "the kernel chooses the address that probes are sent from");
const IN_A_FILE: Becomes = Missing("write it into a file, and its path into the settings");
const ONE_SECTION: Becomes = Missing("only the section answer is checked");
const TLS_VERSIONS: &str = "TLS 1.2 and 1.3 are used";

/// Keys of every prober.
#[rustfmt::skip]
const EVERY: &[Row] = &[
    ("preferred_ip_protocol",           Text("preferred_ip_protocol")),
    ("ip_protocol_fallback",            Switch("ip_protocol_fallback")),
    ("source_ip_address",               OTHER_ADDRESS),
    ("tls_config",                      Keys),
    ("tls_config.insecure_skip_verify", Switch("insecure_skip_verify")),
    ("tls_config.ca_file",              Text("tls_ca")),
    ("tls_config.cert_file",            Text("tls_cert")),
    ("tls_config.key_file",             Text("tls_key")),
    ("tls_config.server_name",          Text("tls_server_name")),
    ("tls_config.ca",                   IN_A_FILE),
    ("tls_config.cert",                 IN_A_FILE),
    ("tls_config.key",                  IN_A_FILE),
    ("tls_config.min_version",          Unless("TLS12", TLS_VERSIONS)),
    ("tls_config.max_version",          Unless("TLS13", TLS_VERSIONS)),
];

#[rustfmt::skip]
const HTTP: &[Row] = &[
    ("method",                            Text("http.method")),
    ("body",                              Text("http.body")),
    ("body_file",                         Missing("write the content of the file as http.body")),
    ("headers",                           Names("headers")),
    ("valid_status_codes",                Numbers("http.valid_status_codes")),
    ("valid_http_versions",               Becomes::Versions),
    ("follow_redirects",                  Switch("follow_redirects")),
    ("no_follow_redirects",               Opposite("follow_redirects")),
    ("fail_if_ssl",                       Switch("http.fail_if_ssl")),
    ("fail_if_not_ssl",                   Switch("http.fail_if_not_ssl")),
    ("fail_if_body_matches_regexp",       Texts("http.fail_if_body_matches_regexp")),
    ("fail_if_body_not_matches_regexp",   Texts("http.fail_if_body_not_matches_regexp")),
    ("fail_if_body_json_matches_cel",     Missing("write a regular expression, fail_if_body_matches_regexp")),
    ("fail_if_body_json_not_matches_cel", Missing("write a regular expression, fail_if_body_not_matches_regexp")),
    ("fail_if_header_matches",            Missing("headers of responses are not checked")),
    ("fail_if_header_not_matches",        Missing("headers of responses are not checked")),
    ("body_size_limit",                   Size("max_body")),
    ("compression",                       Missing("responses are requested without compression")),
    ("enable_http2",                      NotNeeded("HTTP/1.1 is used with every server")),
    ("enable_http3",                      Unless("false", "HTTP/1.1 is used with every server")),
    ("basic_auth",                        Keys),
    ("basic_auth.username",               Text("username")),
    ("basic_auth.username_file",          Missing("write its content as username")),
    ("basic_auth.password",               Text("password")),
    ("basic_auth.password_file",          Text("password_file")),
    ("authorization",                     Keys),
    ("authorization.type",                Unless("Bearer", "write the header Authorization in headers")),
    ("authorization.credentials",         Text("bearer_token")),
    ("authorization.credentials_file",    Text("bearer_token_file")),
    ("bearer_token",                      Text("bearer_token")),
    ("bearer_token_file",                 Text("bearer_token_file")),
    ("oauth2",                            Missing("a program that renews the token can write it into bearer_token_file")),
    ("proxy_url",                         Text("http_proxy")),
    ("proxy_from_environment",            Harmless("false", "write http_proxy")),
    ("no_proxy",                          Harmless("", "write a module without http_proxy for these targets")),
    ("proxy_connect_header",              Harmless("", "requests to a proxy have no headers of their own")),
    ("skip_resolve_phase_with_proxy",     NotNeeded("with a proxy, the proxy looks up the name")),
];

#[rustfmt::skip]
const TCP: &[Row] = &[
    ("query_response", Exchange),
    ("tls",            Switch("net.tls")),
];

#[rustfmt::skip]
const ICMP: &[Row] = &[
    ("payload_size",   Numbers("icmp.payload_size")),
    ("dont_fragment",  Unless("false", "fragments are permitted")),
    ("ttl",            Missing("the kernel's time to live is used")),
];

#[rustfmt::skip]
const DNS: &[Row] = &[
    ("query_name",                    Text("dns.query_name")),
    ("query_type",                    Text("dns.query_type")),
    ("query_class",                   Unless("IN", "the class IN is queried")),
    ("recursion_desired",             Switch("dns.recursion_desired")),
    ("transport_protocol",            Text("dns.transport")),
    ("dns_over_tls",                  Chosen("dns.transport", "tls")),
    ("valid_rcodes",                  Texts("dns.valid_rcodes")),
    ("validate_answer_rrs",           Keys),
    ("validate_answer_rrs.fail_if_matches_regexp",      Texts("dns.fail_if_matches_regexp")),
    ("validate_answer_rrs.fail_if_none_matches_regexp", Becomes::AnyOf("dns.fail_if_none_matches_regexp")),
    ("validate_answer_rrs.fail_if_all_match_regexp",    Missing("write expressions of which none may match, or one must")),
    ("validate_answer_rrs.fail_if_not_matches_regexp",  Missing("write expressions of which none may match, or one must")),
    ("validate_authority_rrs",        ONE_SECTION),
    ("validate_additional_rrs",       ONE_SECTION),
];

/// Settings with TOML values.
type Defaults = &'static [(&'static str, &'static str)];

/// The probers, each with the rows of its section, and settings for keys that are left out, where the defaults differ.
#[rustfmt::skip]
const PROBERS: &[(&str, &[Row], Defaults)] = &[
    ("http", HTTP, &[("follow_redirects", "true"), ("preferred_ip_protocol", "\"ip6\"")]),
    ("tcp",  TCP,  &[("preferred_ip_protocol", "\"ip6\"")]),
    ("icmp", ICMP, &[("preferred_ip_protocol", "\"ip6\"")]),
    ("dns",  DNS,  &[("preferred_ip_protocol", "\"ip6\""), ("dns.query_type", "\"ANY\"")]),
];

const MODULES: &str = "collectors.probe";

/// Translates a file, and the jobs of Prometheus's configuration files that use its modules.
///
/// # Errors
/// A file is no YAML.
pub fn translate(file: &str, text: &str, prometheus: &[(String, String)]) -> Result<Translation, Problems> {
    let document = yaml::parse_single(file, text)?;
    let mut reader = YamlFile { file, lines: Lines::new(text), translation: Translation::default() };
    for pair in pairs(&document.root) {
        match pair.key {
            "modules" => {
                for module in reader.mapping(&pair) {
                    self::module(&mut reader, &module);
                }
            }
            _ => drop(reader.whole(&pair, unknown())),
        }
    }
    let mut translation = reader.finish();
    let mut jobs = Vec::new();
    for (file, text) in prometheus {
        let (found, other) = probe_jobs::translate(file, text)?;
        translation.append(other);
        jobs.extend(found);
    }
    probe_jobs::assign(&mut translation, MODULES, &jobs);
    Ok(translation)
}

fn unknown() -> Outcome {
    Outcome::Missing(NO_SUCH_KEY.to_owned())
}

/// Translates a module.
fn module(reader: &mut YamlFile<'_>, module: &Pair<'_>) {
    let keys = module.pairs();
    let prober = keys.iter().find(|pair| pair.key == "prober").map_or("", Pair::text);
    let Some((prober, rows, defaults)) = PROBERS.iter().find(|(name, ..)| *name == prober) else {
        let reason = "there is no such prober: http, tcp, icmp and dns are translated";
        reader.whole(module, Outcome::Missing(reason.to_owned()));
        return;
    };
    let head = reader.head(module, Outcome::Same);
    let mut lost = None;
    reader.translation.output.element(MODULES, head).set("name", literal(module.key), head);
    for pair in keys {
        match pair.key {
            "prober" => set(reader, "prober", literal(prober), &pair),
            "timeout" => key(reader, Becomes::Duration("timeout"), &pair),
            section if section == *prober => {
                reader.head(&pair, Outcome::Same);
                section_keys(reader, "", &pair.pairs(), rows, &mut lost);
            }
            section if PROBERS.iter().any(|(name, ..)| *name == section) => {
                reader.whole(&pair, Outcome::NotNeeded("it is of another prober".to_owned()));
            }
            other => {
                lost.get_or_insert_with(|| other.to_owned());
                reader.whole(&pair, unknown());
            }
        }
    }
    if let Some(key) = lost {
        let weaker = "probes would succeed that fail in blackbox_exporter";
        return reader.translation.drop_element(head, head, &key, weaker);
    }
    for (setting, value) in *defaults {
        let (table, setting) = table_of(reader, setting);
        if !table.has(setting) {
            table.set(setting, *value, head);
        }
    }
}

/// Translates the keys of a prober. `lost` is the first one without which probes would succeed that should fail.
fn section_keys(reader: &mut YamlFile<'_>, prefix: &str, keys: &[Pair<'_>], rows: &[Row], lost: &mut Option<String>) {
    for pair in keys {
        let (name, first) = (format!("{prefix}{}", pair.key), reader.translation.entries.len());
        let becomes = rows.iter().chain(EVERY).find(|(key, _)| *key == name).map(|(_, becomes)| *becomes);
        match becomes {
            Some(Keys) => {
                reader.head(pair, Outcome::Same);
                section_keys(reader, &format!("{name}."), &pair.pairs(), rows, lost);
                continue;
            }
            Some(becomes) => key(reader, becomes, pair),
            None => drop(reader.whole(pair, unknown())),
        }
        if reader.translation.has_missing(first) && !is_harmless(becomes, pair) {
            lost.get_or_insert(name);
        }
    }
}

/// Whether no probe succeeds without this key that fails with it.
fn is_harmless(becomes: Option<Becomes>, pair: &Pair<'_>) -> bool {
    let is_lower_than_ours = pair.key == "min_version" && matches!(pair.text(), "TLS10" | "TLS11");
    matches!(becomes, Some(Harmless(..))) || is_lower_than_ours
}

/// The table of the module that has a setting, and the setting's name in it.
fn table_of<'r>(reader: &'r mut YamlFile<'_>, setting: &'static str) -> (&'r mut Table, &'static str) {
    let module = reader.translation.output.last_element(MODULES);
    match setting.split_once('.') {
        Some((table, setting)) => (module.table(table), setting),
        None => (module, setting),
    }
}

fn set(reader: &mut YamlFile<'_>, setting: &'static str, value: String, pair: &Pair<'_>) {
    let entry = reader.whole(pair, Outcome::Same);
    let (table, setting) = table_of(reader, setting);
    table.refine(setting, value, entry);
}

fn key(reader: &mut YamlFile<'_>, becomes: Becomes, pair: &Pair<'_>) {
    let text = pair.text();
    let outcome = match becomes {
        Text(setting) => return set(reader, setting, literal(text), pair),
        Switch(setting) if matches!(text, "true" | "false") => return set(reader, setting, text.to_owned(), pair),
        Becomes::Duration(setting) => match go_duration(text) {
            Some(time) => return set(reader, setting, literal(&duration(time)), pair),
            None => Outcome::Missing("expected a duration such as 5s".to_owned()),
        },
        Numbers(setting) => match numbers(&pair.texts(), matches!(pair.node.value, Value::Array(_))) {
            Some(value) => return set(reader, setting, value, pair),
            None => Outcome::Missing("expected numbers".to_owned()),
        },
        Texts(setting) => return set(reader, setting, list(&pair.texts()), pair),
        Becomes::AnyOf(setting) => return set(reader, setting, list(&[any_of(&pair.texts())]), pair),
        Size(setting) => match size(text) {
            Some(value) => return set(reader, setting, literal(&value), pair),
            None if text == "0" => Outcome::NotNeeded("the default bound is 64 MiB".to_owned()),
            None => Outcome::Missing("expected a size such as 10MB".to_owned()),
        },
        Names(table) => return names(reader, table, pair),
        Chosen(setting, value) if text == "true" => return set(reader, setting, literal(value), pair),
        Chosen(..) if text == "false" => Outcome::Same,
        Opposite(setting) if matches!(text, "true" | "false") => {
            return set(reader, setting, (text == "false").to_string(), pair);
        }
        _ if pair.is_empty() => Outcome::NotNeeded("it is empty".to_owned()),
        Exchange => return exchange(reader, pair),
        Becomes::Versions => versions(&pair.texts()),
        NotNeeded(reason) => Outcome::NotNeeded(reason.to_owned()),
        Unless(default, _) | Harmless(default, _) if text == default => {
            Outcome::NotNeeded("it has its default".to_owned())
        }
        Missing(instead) | Unless(_, instead) | Harmless(_, instead) => Outcome::Missing(instead.to_owned()),
        Keys | Switch(_) | Chosen(..) | Opposite(_) => Outcome::Missing("expected true or false".to_owned()),
    };
    reader.whole(pair, outcome);
}

/// What becomes of a list of valid versions. Taffrail requests HTTP/1.1, and accepts what servers respond to it.
fn versions(texts: &[&str]) -> Outcome {
    match (texts.contains(&"HTTP/1.1"), texts.contains(&"HTTP/1.0")) {
        (true, true) => Outcome::NotNeeded("HTTP/1.1 is requested".to_owned()),
        (true, false) => Outcome::Changed("HTTP/1.1 is requested; a response of HTTP/1.0 is valid, too".to_owned()),
        _ => Outcome::Missing("HTTP/1.1 is requested: probe_http_version has the version of the response".to_owned()),
    }
}

fn names(reader: &mut YamlFile<'_>, table: &'static str, pair: &Pair<'_>) {
    reader.head(pair, Outcome::Same);
    for name in pair.pairs() {
        let entry = reader.whole(&name, Outcome::Same);
        reader.translation.output.last_element(MODULES).table(table).set(name.key, literal(name.text()), entry);
    }
}

/// One text that is sent, then one expression for the first line. A step with both expects first.
fn exchange(reader: &mut YamlFile<'_>, pair: &Pair<'_>) {
    let steps = pair.mappings();
    let keys: Vec<&Pair<'_>> = steps.iter().flatten().collect();
    let is_known = steps.len() == keys.len()
        && (keys.iter().map(|pair| pair.key).eq(["send", "expect"])
            || matches!(keys.as_slice(), [one] if matches!(one.key, "send" | "expect")));
    if !is_known {
        let instead = "one text is sent and the first line of the response checked: write net.send and net.expect";
        reader.whole(pair, Outcome::Missing(instead.to_owned()));
        return;
    }
    reader.head(pair, Outcome::Same);
    for step in keys {
        let is_send = step.key == "send";
        // blackbox_exporter ends what it sends with a line feed.
        let value = if is_send { literal(&format!("{}\n", step.text())) } else { literal(step.text()) };
        set(reader, if is_send { "net.send" } else { "net.expect" }, value, step);
    }
}
