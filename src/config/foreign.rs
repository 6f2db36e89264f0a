//! Recognizes configuration files of other programs.

/// What the file `name` is if it belongs to another program, and what to do with it.
pub(super) fn foreign(name: &str, text: &str, is_toml: bool) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| is_content(line)).collect();
    let has_header = |names: &[&str]| lines.iter().filter_map(|line| header(line)).any(|head| names.contains(&head));
    if has_header(&TELEGRAF) && !has_header(&OWN) {
        return Some(format!("this is Telegraf's configuration; translate it with: taffrail migrate telegraf {name}"));
    }
    if has_header(&["Unit", "Service"]) {
        return Some("this is a unit of systemd; taffrail migrate finds the units of this machine".to_owned());
    }
    if let Some(program) = flags_of(&lines) {
        return Some(format!(
            "these are flags of {program}; translate them with: taffrail migrate {program} --defaults {name}"
        ));
    }
    let first = lines.first().filter(|_| !is_toml)?;
    if first.starts_with('{') {
        return Some("this is JSON; Taffrail's configuration is TOML".to_owned());
    }
    is_yaml(first).then(|| yaml(name, &lines))
}

/// Tables of Telegraf that Taffrail does not have.
const TELEGRAF: [&str; 6] = ["inputs", "outputs", "processors", "aggregators", "global_tags", "secretstores"];
/// Tables of Taffrail that Telegraf does not have.
const OWN: [&str; 6] = ["http", "gateway", "collectors", "sinks", "host", "spool"];

fn is_content(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with('#') && !line.starts_with(';')
}

/// The first word of a header.
fn header(line: &str) -> Option<&str> {
    let table = line.trim_start().strip_prefix('[')?.trim_start_matches('[');
    table.split(['.', ']', ' ']).next()
}

/// The program whose flags a file of variables has, such as `ARGS="--collector.systemd"`.
fn flags_of(lines: &[&str]) -> Option<&'static str> {
    let is_variable = |line: &&str| {
        let name = line.split_once('=').map_or("", |(name, _)| name.trim_start_matches("export "));
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    if !lines.first().is_some_and(is_variable) {
        return None;
    }
    let has = |flags: &[&str]| lines.iter().any(|line| flags.iter().any(|flag| line.contains(flag)));
    match () {
        () if has(&["--persistence.", "--push."]) => Some("pushgateway"),
        () if has(&["--housekeeping_interval", "-docker_only", "--store_container_labels"]) => Some("cadvisor"),
        () if has(&["--collector.", "--no-collector.", "--web.", "--path.", "--log."]) => Some("node_exporter"),
        () => None,
    }
}

fn is_yaml(first: &str) -> bool {
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c));
    let is_mapping = first.split_once(':').is_some_and(|(key, value)| {
        is_key(key.trim_matches(['"', '\''])) && (value.is_empty() || value.starts_with(' '))
    });
    first.starts_with("---") || first.starts_with("- ") || is_mapping
}

fn yaml(name: &str, lines: &[&str]) -> String {
    let has = |keys: &[&str]| {
        let words = lines.iter().map(|line| line.trim_start_matches(['-', ' ']));
        words
            .into_iter()
            .any(|line| keys.iter().any(|key| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))))
    };
    match () {
        () if has(&["aws_namespace"]) => format!(
            "this is cloudwatch_exporter's configuration; translate it with: taffrail migrate cloudwatch_exporter {name}"
        ),
        () if has(&["discovery", "customNamespace", "sts-region"]) => {
            format!("this is YACE's configuration; translate it with: taffrail migrate yace {name}")
        }
        () if has(&["prober"]) => format!(
            "this is blackbox_exporter's configuration; translate it with: taffrail migrate blackbox_exporter {name}"
        ),
        () if has(&["process_names"]) => format!(
            "this is process-exporter's configuration; translate it with: taffrail migrate process-exporter {name}"
        ),
        () if has(&["mappings"]) => {
            format!("this is a mapping file of statsd_exporter; write [collectors.statsd] mapping_file = {name:?}")
        }
        () if has(&["scrape_configs", "rule_files", "scrape_interval"]) => {
            "this is Prometheus's configuration, which stays with Prometheus; Taffrail's is TOML".to_owned()
        }
        () if has(&["tls_server_config", "basic_auth_users", "http_server_config"]) => {
            format!("this is an exporter's web configuration; write [http] web_config_file = {name:?}")
        }
        () => "this is YAML; Taffrail's configuration is TOML".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_programs_are_recognized() {
        for (text, expected) in [
            ("[agent]\n  interval = \"10s\"\n[[inputs.cpu]]\n", "taffrail migrate telegraf FILE"),
            ("[global_tags]\n  a = \"b\"\n", "taffrail migrate telegraf FILE"),
            ("# x\nglobal:\n  scrape_interval: 15s\n", "this is Prometheus's configuration"),
            ("apiVersion: v1alpha1\ndiscovery:\n  jobs:\n", "taffrail migrate yace FILE"),
            ("region: eu\nmetrics:\n- aws_namespace: AWS/ELB\n", "taffrail migrate cloudwatch_exporter FILE"),
            ("modules:\n  a:\n    prober: http\n", "taffrail migrate blackbox_exporter FILE"),
            ("process_names:\n- comm: [a]\n", "taffrail migrate process-exporter FILE"),
            ("mappings:\n- match: a\n", "mapping_file = \"FILE\""),
            ("basic_auth_users:\n  a: b\n", "[http] web_config_file = \"FILE\""),
            ("http:\n  listen: [\":9100\"]\n", "this is YAML"),
            ("---\n- a\n", "this is YAML"),
            ("{\"http\": {}}", "this is JSON"),
            (
                "ARGS=\"--collector.systemd --web.listen-address=:9100\"\n",
                "taffrail migrate node_exporter --defaults FILE",
            ),
            ("ARGS=\"--persistence.file=/x\"\n", "taffrail migrate pushgateway --defaults FILE"),
            (
                "[Unit]\nDescription=x\n[Service]\nExecStart=/usr/bin/node_exporter\n",
                "taffrail migrate finds the units",
            ),
        ] {
            let is_toml = toml::de::DeTable::parse(text).is_ok();
            let told = foreign("FILE", text, is_toml).unwrap_or_default();
            assert!(told.contains(expected), "{text}: {told}");
        }
        for own in [
            "[http]\nlisten = []\n[[inputs.cpu]]\n",
            "[agent]\ninterval = \"10s\"\n",
            "http.listen = []\n",
            "",
            "A = 1\n",
        ] {
            let is_toml = toml::de::DeTable::parse(own).is_ok();
            assert_eq!(foreign("FILE", own, is_toml), None, "{own}");
        }
    }
}
