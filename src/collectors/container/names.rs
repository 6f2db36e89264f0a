//! stub
use crate::config::{KeyInfo, Section};
use crate::host::{Host, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) pod: String,
    pub(super) namespace: String,
    pub(super) container: String,
    pub(super) is_sandbox: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) status: String,
    pub(super) started_at: Option<Timestamp>,
    pub(super) restart_count: Option<i64>,
    pub(super) pid: Option<i64>,
    pub(super) oom_killed: Option<bool>,
    pub(super) exit_code: Option<i64>,
    pub(super) health: Option<Health>,
    pub(super) engine_host: Option<Arc<str>>,
    pub(super) server_version: Option<Arc<str>>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Healthy,
    Unhealthy,
    Starting,
}
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PodNamed {
    pub(super) pod: String,
    pub(super) namespace: String,
}
pub(super) struct Names;
impl Names {
    pub(super) const KEYS: &[KeyInfo] = &[];
    pub(super) fn new(_: &Host, _: &mut Section<'_>) -> Names {
        Names
    }
    pub(super) fn begin(&mut self) {}
    pub(super) fn container(&self, _: &str) -> Option<Arc<Named>> {
        None
    }
    pub(super) fn pod(&self, _: &str) -> Option<Arc<PodNamed>> {
        None
    }
    pub(super) fn generation(&self) -> u64 {
        0
    }
    pub(super) fn want(&self, _: &mut dyn Iterator<Item = &str>) {}
    pub(super) fn report(&mut self) -> Vec<String> {
        vec![]
    }
}
