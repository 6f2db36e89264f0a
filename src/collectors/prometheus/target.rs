//! Targets: labels from discovery, relabelled, and the URL that follows from them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::discovery::{Group, Source};
use super::job::{Job, TARGETS};
use super::relabel::{self, Labels};
use super::series::hash;
use crate::client::target;
use crate::client::unix::UNIX;
use crate::config::setting::duration;
use crate::config::{Section, is_secret_name};

/// A target.
#[derive(Debug)]
pub(super) struct Target {
    /// Its job.
    pub(super) job: Arc<Job>,
    /// Its labels, with `job` and `instance`.
    pub(super) labels: Labels,
    /// What is scraped; or why the target is invalid, so that all of its scrapes fail.
    pub(super) url: Result<Url, String>,
    /// The URL for tags and messages; the address of an invalid target.
    pub(super) shown_url: String,
    /// The interval of scrapes.
    pub(super) interval: Duration,
    /// The time within which a scrape is complete.
    pub(super) timeout: Duration,
}

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const PARAM: &str = "__param_";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const SOCKET: &str = "__unix_socket__";

impl Target {
    /// The targets of a group that relabelling keeps.
    pub(super) fn all(job: &Arc<Job>, group: &Group) -> impl Iterator<Item = Target> {
        group.targets.iter().filter_map(|address| Target::new(job, address, &group.labels))
    }

    /// The target at `address`; `None` if relabelling drops it.
    fn new(job: &Arc<Job>, address: &str, group: &BTreeMap<String, String>) -> Option<Target> {
        let (mut labels, mut params) = (Labels::new(), job.params.clone());
        let added = add_address(&mut labels, &mut params, address);
        // As in Prometheus, the target's own labels precede those of its group, which precede those of the job.
        let of_group = group.iter().map(|(name, value)| (name.clone(), value.clone()));
        let of_job = [
            (SCHEME.to_owned(), job.scheme.clone()),
            (PATH.to_owned(), job.metrics_path.clone()),
            (INTERVAL.to_owned(), text(job.interval)),
            (TIMEOUT.to_owned(), text(job.timeout)),
            ("job".to_owned(), job.name.clone()),
        ];
        let first = |(name, values): (&String, &Vec<String>)| Some((format!("{PARAM}{name}"), values.first()?.clone()));
        for (name, value) in of_group.chain(of_job).chain(params.iter().filter_map(first)) {
            if !labels.contains_key(&name) {
                relabel::set(&mut labels, name, value);
            }
        }
        if !relabel::apply(&job.relabel, &mut labels) {
            return None;
        }
        let address = labels.get(ADDRESS).cloned()?;
        let time = |name: &str, usual| match labels.get(name) {
            None => Ok(usual),
            Some(text) => {
                let time = duration(text).ok().filter(|time| !time.is_zero());
                time.ok_or_else(|| format!("{name}: expected a duration, found {text:?}"))
            }
        };
        let (interval, timeout) = (time(INTERVAL, job.interval), time(TIMEOUT, job.timeout));
        let wrong_time = [&interval, &timeout].into_iter().find_map(|time| time.clone().err());
        let url = added.and_then(|()| wrong_time.map_or(Ok(()), Err)).and_then(|()| url(&labels, &address, &params));
        let address = without_user(&address).to_owned();
        let shown_url = url.as_ref().map_or_else(|_| address.clone(), shown);
        let url = url.map_err(|reason| format!("{address:?}: {reason}"));
        let mut labels: Labels = labels.into_iter().filter(|(name, _)| !name.starts_with("__")).collect();
        if !address.is_empty() {
            labels.entry("instance".to_owned()).or_insert(address);
        }
        let interval = interval.unwrap_or(job.interval);
        let timeout = timeout.unwrap_or(job.timeout).min(interval);
        Some(Target { job: job.clone(), labels, url, shown_url, interval, timeout })
    }

    /// Distinguishes it from the other targets of its job.
    pub(super) fn key(&self) -> (Labels, String) {
        (self.labels.clone(), self.url.as_ref().map_or_else(|_| self.shown_url.clone(), Url::to_string))
    }

    /// Spreads the scrapes of targets over the interval.
    pub(super) fn hash(&self) -> u64 {
        hash(self.key())
    }

    /// Whether it is on the page `JOB` or `JOB/INSTANCE`.
    pub(super) fn is_on(&self, page: &str) -> bool {
        let instance = self.labels.get("instance").map_or("", String::as_str);
        let of_job = page.strip_prefix(self.job.name.as_str());
        of_job.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('/') == Some(instance))
    }
}

/// The jobs in `[collectors]`. Targets in their settings are valid.
pub(super) fn jobs(collectors: &mut Section<'_>) -> Vec<Arc<Job>> {
    let mut jobs: Vec<Arc<Job>> = Vec::new();
    for mut section in collectors.tables("prometheus") {
        let job = Arc::new(Job::new(&mut section));
        if let Some(index) = jobs.iter().position(|other| other.name == job.name && !job.name.is_empty()) {
            section.wrong("name", format!("there is a job {:?} already, prometheus[{index}]", job.name));
        }
        refuse_targets(&mut section, &job);
        jobs.push(job);
    }
    jobs
}

/// Reports targets in the settings that are invalid.
fn refuse_targets(section: &mut Section<'_>, job: &Arc<Job>) {
    let has_targets = section.has(&TARGETS);
    if !["http", "https"].contains(&job.scheme.as_str()) || job.timeout.is_zero() {
        return;
    }
    let mut targets: Targets = Targets::new();
    for (at, source) in job.sources.iter().enumerate() {
        let Source::Static(group) = source else { continue };
        for (index, address) in group.targets.iter().enumerate() {
            let Some(target) = Target::new(job, address, &group.labels) else { continue };
            match &target.url {
                Ok(_) => drop(targets.insert(target.key(), target)),
                Err(reason) if at == 0 && has_targets => section.wrong_element("targets", index, reason.clone()),
                Err(reason) => section.wrong("static_configs", reason.clone()),
            }
        }
    }
    if let Some(reason) = same_labels(&targets) {
        section.depends(if has_targets { "targets" } else { "static_configs" }, move || Err(reason.clone()));
    }
}

/// The targets of a job by their labels and URLs.
pub(super) type Targets = BTreeMap<(Labels, String), Target>;

/// A message about the first target with the labels of another one: points have the tag `url`, but their series are the same.
pub(super) fn same_labels(targets: &Targets) -> Option<String> {
    let mut pairs = targets.iter().zip(targets.iter().skip(1));
    let ((_, one), (_, other)) = pairs.find(|((one, _), (other, _))| one.0 == other.0)?;
    Some(format!(
        "{} and {} have the same labels, and so have their series; relabel_configs can give them different ones, such as path from \
         __metrics_path__",
        one.shown_url, other.shown_url
    ))
}

/// Sets the labels that follow from an address, which may be a URL.
fn add_address(labels: &mut Labels, params: &mut BTreeMap<String, Vec<String>>, address: &str) -> Result<(), String> {
    if !(address.contains("://") || address.starts_with("unix:")) {
        labels.insert(ADDRESS.to_owned(), address.to_owned());
        return Ok(());
    }
    let url = target::parse(address).map_err(|expected| {
        labels.insert(ADDRESS.to_owned(), without_user(address).to_owned());
        expected.to_owned()
    })?;
    let (path, address) = match url.scheme() == UNIX {
        true => {
            let (socket, path) = url.path().split_once(":/").unwrap_or((url.path(), ""));
            labels.insert(SOCKET.to_owned(), socket.to_owned());
            (format!("/{path}"), socket.to_owned())
        }
        false => (url.path().to_owned(), crate::client::host(&url)),
    };
    labels.insert(ADDRESS.to_owned(), address);
    relabel::set(labels, SCHEME.to_owned(), url.scheme().replace(UNIX, "http"));
    if path != "/" {
        labels.insert(PATH.to_owned(), path);
    }
    for (name, value) in url.query_pairs() {
        params.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    Ok(())
}

/// An address without the user and the password before it.
fn without_user(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, host)| host)
}

/// The URL that labels describe.
fn url(labels: &Labels, address: &str, params: &BTreeMap<String, Vec<String>>) -> Result<Url, String> {
    let of = |name: &str| labels.get(name).map_or("", String::as_str);
    let path = if of(PATH).starts_with('/') { of(PATH).to_owned() } else { format!("/{}", of(PATH)) };
    let (path, query) = path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
    let text = match of(SOCKET) {
        "" if address.contains('@') => {
            return Err("expected an address without credentials, which have settings of their own".to_owned());
        }
        "" if !["http", "https"].iter().any(|scheme| scheme.eq_ignore_ascii_case(of(SCHEME))) => {
            return Err(format!("expected http or https as {SCHEME}, found {:?}", of(SCHEME)));
        }
        "" if address.is_empty() || address.contains('/') => {
            return Err("expected a host with a port".to_owned());
        }
        "" => format!("{}://{address}{path}", of(SCHEME)),
        socket => format!("{UNIX}:{socket}:{path}"),
    };
    let mut url = Url::parse(&text).map_err(|error| error.to_string())?;
    if url.port() == Some(0) {
        return Err("expected a port of at least 1".to_owned());
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    let given = labels.iter().filter_map(|(name, value)| Some((name.strip_prefix(PARAM)?, value)));
    for (name, value) in given {
        pairs.push((name.to_owned(), value.clone()));
        let more = params.get(name).into_iter().flatten().skip(1);
        pairs.extend(more.map(|value| (name.to_owned(), value.clone())));
    }
    url.set_query(query);
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(url)
}

/// The URL for tags and messages: without user and password, and without parameters that may be secret.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // These fail for URLs without a host, which have none of both.
    let _ = (shown.set_username(""), shown.set_password(None));
    let public: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(name, _)| !is_secret_name(name)).collect();
    shown.set_query(None);
    if !public.is_empty() {
        shown.query_pairs_mut().extend_pairs(public);
    }
    shown.into()
}

/// A duration as Prometheus writes it.
fn text(time: Duration) -> String {
    let mut text = String::new();
    let milliseconds = time.as_millis();
    let _ = match milliseconds % 1000 {
        0 => write!(text, "{}s", milliseconds / 1000),
        _ => write!(text, "{milliseconds}ms"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::prometheus::job::tests::job;
    use crate::config::Document;

    fn target(toml: &str, address: &str, labels: &[(&str, &str)]) -> Result<Option<(String, String)>, String> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let Some(target) = Target::new(&Arc::new(job(toml)), address, &labels) else { return Ok(None) };
        let labels: Vec<String> = target.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        target.url.map(|url| Some((url.to_string(), labels.join(","))))
    }

    fn found(toml: &str, address: &str, labels: &[(&str, &str)]) -> (String, String) {
        target(toml, address, labels).unwrap().unwrap()
    }

    #[test]
    fn a_target_is_an_address_or_a_url() {
        for (address, url, instance) in [
            ("a:9100", "http://a:9100/metrics", "a:9100"),
            ("https://a:9100", "https://a:9100/metrics", "a:9100"),
            ("http://a/x?module=m", "http://a/x?module=m", "a"),
            ("unix:/run/x.sock", "unix:/run/x.sock:/metrics", "/run/x.sock"),
            ("unix:///run/x.sock?path=/y&a=b", "unix:/run/x.sock:/y?a=b", "/run/x.sock"),
        ] {
            let expected = (url.to_owned(), format!("instance={instance},job=j"));
            assert_eq!(found("name = 'j'", address, &[]), expected, "{address}");
        }
        assert!(target("name = 'j'", "http://user:pw@a", &[]).is_err_and(|error| !error.contains("pw")));
        for address in ["a b:1", "", "//a", "/x", "a:99999", "a:0", "a:b:c"] {
            assert!(target("name = 'j'", address, &[]).is_err(), "{address}");
        }
    }

    #[test]
    fn targets_in_settings_are_checked() {
        for (targets, key) in [
            ("targets = ['a:1', 'http://u:p@a']", "targets[1]: \"a\": expected a URL without credentials"),
            ("targets = ['u:geheim@a:1']", "targets[0]: \"a:1\": expected an address without credentials"),
            ("targets = ['']", "targets[0]: \"\": expected a host with a port"),
            ("targets = ['a:1', 'a:99999']", "targets[1]: \"a:99999\": invalid port number"),
            ("static_configs = [{targets = ['a:1', '/x']}]", "static_configs: \"/x\": expected a host with a port"),
        ] {
            let document =
                Document::parse("test", &format!("[[prometheus]]\nname = 'j'\n{targets}"), &|_| None).unwrap();
            let found = Section::check(&document, |section| jobs(section).len()).unwrap_err();
            assert!(found.list.len() == 1 && found.to_string().contains(key), "{found}");
            assert!(!found.list[0].message.contains("geheim"), "{found}");
        }
    }

    #[test]
    fn the_idiom_of_blackbox_works() {
        let toml = "name = 'j'\nmetrics_path = '/probe'\n[params]\nmodule = ['http_2xx']\n\
            [[relabel_configs]]\nsource_labels = ['__address__']\ntarget_label = '__param_target'\n\
            [[relabel_configs]]\nsource_labels = ['__param_target']\ntarget_label = 'instance'\n\
            [[relabel_configs]]\ntarget_label = '__address__'\nreplacement = '127.0.0.1:9115'\n";
        let url = "http://127.0.0.1:9115/probe?module=http_2xx&target=example.org";
        let labels = [("team", "a"), ("__meta_x", "y"), ("empty", "")];
        assert_eq!(
            found(toml, "example.org", &labels),
            (url.to_owned(), "instance=example.org,job=j,team=a".to_owned())
        );
    }

    #[test]
    fn labels_of_discovery_change_the_request() {
        let labels = [("__scheme__", "https"), ("__metrics_path__", "m"), ("__param_a", "b c"), ("job", "other")];
        let expected = ("https://a:1/m?a=b+c".to_owned(), "instance=a:1,job=other".to_owned());
        assert_eq!(found("name = 'j'", "a:1", &labels), expected);
        assert!(target("name = 'j'", "a:1", &[("__scheme__", "ftp")]).is_err());
        assert!(target("name = 'j'", "a:1", &[("__scrape_interval__", "x")]).is_err());
        let toml = "name = 'j'\n[[relabel_configs]]\nsource_labels = ['env']\nregex = 'prod'\naction = 'keep'";
        assert_eq!(target(toml, "a:1", &[("env", "test")]), Ok(None));
    }

    /// Its own labels precede those of its group, and an empty label is none, as in Prometheus.
    #[test]
    fn labels_of_a_group_do_not_replace_the_target() {
        let labels = [("__address__", "b:2"), ("job", ""), ("__metrics_path__", "/m"), ("__scheme__", "HTTP")];
        assert_eq!(found("name = 'j'", "a:1", &labels), ("http://a:1/m".to_owned(), "instance=a:1,job=j".to_owned()));
        let url = found(
            "name = 'j'\n[params]\nx = ['0']",
            "http://a:1/own",
            &[("__metrics_path__", "/m"), ("__param_x", "1")],
        );
        assert_eq!(url.0, "http://a:1/own?x=1");
    }

    #[test]
    fn targets_with_the_same_labels_are_warned_of() {
        let job = Arc::new(job("name = 'j'"));
        let target = |address: &str| Target::new(&job, address, &BTreeMap::new()).unwrap();
        let all = ["http://a:1/y", "http://a:1/x", "http://a:1/z", "http://b:1/x", "b:1"];
        let targets =
            |all: &[&str]| all.iter().map(|address| target(address)).map(|target| (target.key(), target)).collect();
        let message = same_labels(&targets(&all)).unwrap();
        assert!(message.starts_with("http://a:1/x and http://a:1/y have the same labels"), "{message}");
        assert_eq!(same_labels(&targets(&all[2..4])), None);

        let toml = "[[prometheus]]\nname = 'j'\ntargets = ['http://a:1/x', 'http://a:1/y']\n";
        let relabelled =
            "[[prometheus.relabel_configs]]\nsource_labels = ['__metrics_path__']\ntarget_label = 'path'\n";
        let warnings = |toml: &str| {
            let document = Document::parse("test", toml, &|_| None).unwrap();
            let found = Section::check(&document, |section| {
                jobs(section);
                section.dependencies(&document)
            });
            found.unwrap().problems().to_string()
        };
        assert!(
            warnings(toml).contains("targets: http://a:1/x and http://a:1/y have the same labels"),
            "{}",
            warnings(toml)
        );
        assert_eq!(warnings(&format!("{toml}{relabelled}")), "");
    }

    #[test]
    fn an_invalid_target_has_its_labels() {
        for (address, label, instance) in [
            ("a b:1", ("team", "x"), "a b:1"),
            ("http://u:geheim@a:1/x", ("team", "x"), "a:1/x"),
            ("u:geheim@a:1", ("team", "x"), "a:1"),
            ("a:0", ("team", "x"), "a:0"),
            ("a:1", ("__scheme__", "ftp"), "a:1"),
            ("a:1", ("__scrape_timeout__", "x"), "a:1"),
        ] {
            let group = BTreeMap::from([(label.0.to_owned(), label.1.to_owned())]);
            let target = Target::new(&Arc::new(job("name = 'j'")), address, &group).unwrap();
            assert_eq!(target.labels.get("instance").map(String::as_str), Some(instance), "{address}");
            assert!(label.0 != "team" || target.labels["team"] == "x");
            assert!(!format!("{:?}", (&target.url, &target.shown_url)).contains("geheim") && target.url.is_err());
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let url = Url::parse("http://a:1/x?target=b&token=abc").unwrap();
        assert_eq!(shown(&url), "http://a:1/x?target=b");
    }
}
