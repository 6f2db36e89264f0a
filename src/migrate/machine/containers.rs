//! `docker run`, and `podman run`: where the container's ports and files are on the host.

use std::path::Path;

use super::super::output::literal;
use super::super::translation::{EntryId, Outcome, Translation};
use super::Start;

/// What a command gives to the container that it starts.
#[derive(Clone, Debug, Default)]
pub(super) struct Container {
    /// The options, each with its value, in their order.
    options: Vec<(String, String)>,
    is_in_host_network: bool,
}

/// Options that take no value.
const SWITCHES: &[&str] = &[
    "detach",
    "interactive",
    "tty",
    "init",
    "rm",
    "privileged",
    "read-only",
    "publish-all",
    "no-healthcheck",
    "oom-kill-disable",
    "sig-proxy",
    "disable-content-trust",
    "quiet",
    "replace",
    "env-host",
    "http-proxy",
    "no-hosts",
    "rmi",
    "tls-verify",
    "d",
    "i",
    "t",
    "P",
    "q",
];

/// Flags that name a file or a directory.
const FILES: &[&str] = &[
    "path.procfs",
    "path.sysfs",
    "path.rootfs",
    "path.udev.data",
    "collector.textfile.directory",
    "web.config.file",
    "web.config",
    "collector.runit.servicedir",
    "persistence.file",
];

/// The container, its image and the words behind it, of the words behind `docker`.
pub(super) fn run(words: &[String]) -> Option<(Container, &str, &[String])> {
    let at = words.iter().position(|word| matches!(word.as_str(), "run" | "create"))?;
    let mut container = Container::default();
    let mut rest = &words[at + 1..];
    while let Some((word, behind)) = rest.split_first() {
        rest = behind;
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else {
            return Some((container, word, rest));
        };
        let (name, value) = match option.strip_prefix('-') {
            Some(long) => long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value))),
            // Switches may be before an option of one letter: `-itp 1:1`.
            None => {
                let name = option.trim_start_matches(['d', 'i', 't', 'P', 'q']);
                let letter = name.chars().next().map_or(0, char::len_utf8);
                let value =
                    name.get(letter..).map(|value| value.trim_start_matches('=')).filter(|value| !value.is_empty());
                if option.contains('P') && name.is_empty() { ("P", None) } else { (&name[..letter], value) }
            }
        };
        let value = match value {
            Some(value) => value.to_owned(),
            None if name.is_empty() || SWITCHES.contains(&name) => String::new(),
            None => {
                let (value, behind) = rest.split_first()?;
                rest = behind;
                value.clone()
            }
        };
        container.is_in_host_network |= matches!(name, "net" | "network") && value == "host";
        container.options.push((name.to_owned(), value));
    }
    None
}

impl Container {
    /// Where a file of the container is on the host.
    pub(super) fn on_host(&self, file: &str) -> Option<String> {
        let mounts = self.options.iter().filter_map(|(name, value)| mount(name, value));
        let inside = mounts.filter_map(|(host, inside)| {
            let rest = Path::new(file).strip_prefix(inside).ok()?;
            let path = Path::new(host).join(rest);
            let path = if rest.as_os_str().is_empty() { host.to_owned() } else { path.display().to_string() };
            Some((inside.len(), path))
        });
        inside.max_by_key(|(length, _)| *length).map(|(_, path)| path)
    }

    /// The variables of `-e`.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        let given = self.options.iter().filter(|(name, _)| matches!(name.as_str(), "e" | "env"));
        given.filter_map(|(_, value)| value.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()))
    }
}

/// The directory of the host, and its place in the container.
fn mount<'v>(name: &str, value: &'v str) -> Option<(&'v str, &'v str)> {
    let (host, inside) = match name {
        "v" | "volume" => {
            let mut parts = value.split(':');
            (parts.next()?, parts.next()?)
        }
        "mount" => {
            let part = |names: &[&str]| {
                let mut parts = value.split(',').filter_map(|part| part.split_once('='));
                parts.find(|(name, _)| names.contains(name)).map(|(_, value)| value)
            };
            (part(&["source", "src"])?, part(&["target", "destination", "dst"])?)
        }
        _ => return None,
    };
    // Others are names of volumes.
    host.starts_with('/').then_some((host, inside))
}

/// The address on the host and the port in the container of `-p`; none if Docker chooses the port.
fn published(value: &str) -> Option<(String, &str)> {
    let value = value.trim_end_matches("/tcp");
    let (outside, port) = value.rsplit_once(':')?;
    let (ip, host_port) = outside.rsplit_once(':').unwrap_or(("", outside));
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let ip = if ip == "0.0.0.0" { "" } else { ip };
    (is_number(host_port) && is_number(port)).then(|| (format!("{ip}:{host_port}"), port))
}

/// Translates what runs in the container as `translate` does. Files and ports are those of the host, and every option of
/// `docker run` is reported.
pub(super) fn translate(start: &Start, container: &Container, translate: fn(&Start) -> Translation) -> Translation {
    let mut inside = start.clone();
    inside.variables.extend(container.variables());
    let mut files = Vec::new();
    let mut words = inside.arguments.iter_mut().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix('-').map(|flag| flag.trim_start_matches('-').to_owned()) else { continue };
        let (name, value) = flag.split_once('=').map_or((flag.as_str(), None), |(name, value)| (name, Some(value)));
        if !FILES.contains(&name) {
            continue;
        }
        let value = value.map(str::to_owned).or_else(|| words.peek().map(|value| value.to_string()));
        let Some(file) = value.filter(|file| file.starts_with('/')) else { continue };
        let on_host = container.on_host(&file);
        if let Some(path) = &on_host {
            match word.contains('=') {
                true => *word = word.replacen(&file, path, 1),
                false => words.next().into_iter().for_each(|value| value.clone_from(path)),
            }
        }
        files.push((name.to_owned(), file, on_host));
    }
    let mut translation = translate(&inside);
    for (name, file, on_host) in files {
        translate_file(&mut translation, &name, &file, on_host);
    }
    ports(&mut translation, start, container);
    for (name, value) in container.options.iter().filter(|(name, _)| !matches!(name.as_str(), "p" | "publish")) {
        let hyphens = if name.len() > 1 { "--" } else { "-" };
        let (value, outcome) = match name.as_str() {
            "e" | "env" => {
                let how = "set it for taffrail.service, if the report lists it as not set";
                (format!("{}=…", value.split('=').next().unwrap_or_default()), Outcome::Changed(how.to_owned()))
            }
            "env-file" => {
                let instead = "copy the variables that the settings refer to into /etc/default/taffrail";
                (value.clone(), Outcome::Missing(instead.to_owned()))
            }
            "entrypoint" => (value.clone(), Outcome::Missing("translate by hand what it starts".to_owned())),
            "P" | "publish-all" if !container.is_in_host_network => {
                let instead = "Docker chooses the port: scrape the port of [http] listen, or of [gateway] listen";
                (value.clone(), Outcome::Missing(instead.to_owned()))
            }
            _ => (value.clone(), Outcome::NotNeeded("it is about the container".to_owned())),
        };
        translation.add(start.source.clone(), format!("{hyphens}{name} {value}").trim_end().to_owned(), outcome);
    }
    translation
}

fn translate_file(translation: &mut Translation, name: &str, file: &str, on_host: Option<String>) {
    let is_it = |(id, flag): (EntryId, &str)| (flag.trim_start_matches('-') == name).then_some(id);
    let ids: Vec<EntryId> =
        translation.entries.iter().map(|entry| entry.source.flag.as_str()).enumerate().filter_map(is_it).collect();
    for id in ids {
        let how = on_host.as_ref().map(|path| format!("{file} of the container is {path} here"));
        let outcome = &mut translation.entries[id].outcome;
        *outcome = match (how, &*outcome) {
            (_, Outcome::Missing(instead)) => Outcome::Missing(instead.clone()),
            (Some(how), Outcome::Changed(before)) => Outcome::Changed(format!("{before}; {how}")),
            (Some(how), _) => Outcome::Changed(how),
            (None, _) if name == "persistence.file" => Outcome::Missing(format!(
                "{file} is in the container or in a volume: copy it to this host when the container has stopped, and \
                 run taffrail migrate pushgateway --persistence FILE --state {}",
                super::STATE
            )),
            (None, _) => {
                Outcome::Missing(format!("{file} is in the container: copy it to this host, and name it there"))
            }
        };
        if on_host.is_none() && name != "persistence.file" {
            translation.output.remove(&[id].into());
        }
    }
}

/// The addresses that the container's ports are published at, in place of those inside.
fn ports(translation: &mut Translation, start: &Start, container: &Container) {
    if container.is_in_host_network || start.name == "telegraf" {
        return;
    }
    let table = if start.name.contains("pushgateway") { "gateway" } else { "http" };
    let mut inside = translation.output.table(table).values("listen");
    if inside.is_empty() {
        inside.push(("\":9100\"".to_owned(), usize::MAX));
    }
    let port_of = |address: &str| address.trim_matches(['"', '\'']).rsplit(':').next().unwrap_or_default().to_owned();
    let inside: Vec<(String, EntryId)> = inside.into_iter().map(|(address, id)| (port_of(&address), id)).collect();
    let mut addresses = Vec::new();
    for (_, value) in container.options.iter().filter(|(name, _)| matches!(name.as_str(), "p" | "publish")) {
        let found = published(value);
        let found = found.filter(|(_, port)| inside.iter().any(|(other, _)| other == port));
        let outcome = match found {
            Some(_) => Outcome::Same,
            None => Outcome::Missing(format!("set [{table}] listen to the address that is scraped")),
        };
        let entry = translation.add(start.source.clone(), format!("-p {value}"), outcome);
        addresses.extend(found.map(|(address, _)| (address, entry)));
    }
    if addresses.is_empty() {
        let instead = "it publishes no port of the program: scrape this host in place of the container";
        translation.add(start.source.clone(), "docker run", Outcome::Missing(instead.to_owned()));
        return;
    }
    for (_, id) in &inside {
        if let Some(entry) = translation.entries.get_mut(*id) {
            entry.outcome = Outcome::Changed("the port is published at the address of -p".to_owned());
        }
    }
    let listener = translation.output.table(table);
    listener.unset("listen");
    for (address, entry) in addresses {
        listener.push("listen", literal(&address), entry);
    }
}
