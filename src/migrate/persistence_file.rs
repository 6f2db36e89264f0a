//! Pushgateway's persistence file: the groups in it, and their way into Taffrail's store.

use std::path::Path;
use std::{fs, io};

use super::gob::{GobError, Value, first_value};
use crate::encode::parse::model::{Exposition, Measure};
use crate::encode::parse::{self, Format, Limits};
use crate::gateway::groups::change::{Plan, Replace};
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::markers::{PUSH_FAILURE_TIME, PUSH_TIME};
use crate::gateway::groups::state::State;
use crate::gateway::groups::times::Times;
use crate::gateway::key::Key;
use crate::gateway::persistence::group_store::GroupStore;

/// A group of the file.
#[derive(Debug)]
pub struct Group {
    /// Its labels, in the order of their names.
    pub labels: Vec<(String, String)>,
    /// Its families as delimited protobuf.
    body: Vec<u8>,
}

/// A group that was not imported.
#[derive(Debug)]
pub struct Refused {
    /// The labels of the group.
    pub group: String,
    /// The reason.
    pub reason: String,
}

/// Why the groups were not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file, or the folder, cannot be used.
    #[error("{0}")]
    Io(String),
    /// The file is not Pushgateway's.
    #[error("it is no persistence file of Pushgateway: {0}")]
    Malformed(#[from] GobError),
    /// There are groups already.
    #[error("{0} has groups already; import into another folder")]
    NotEmpty(String),
}

impl Group {
    /// The labels as Prometheus writes them.
    pub fn name(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{{{}}}", labels.join(","))
    }
}

/// The groups of a persistence file.
///
/// # Errors
/// The file is malformed.
pub fn groups(file: &[u8]) -> Result<Vec<Group>, GobError> {
    if file.is_empty() {
        return Ok(Vec::new());
    }
    let map = first_value(file)?;
    let mut groups: Vec<Group> = map.entries().iter().map(|(_, group)| group_of(group)).collect();
    groups.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(groups)
}

fn group_of(group: &Value) -> Group {
    let text = |value: &Value| value.text().unwrap_or("\u{FFFD}").to_owned();
    let labels = group.field("Labels").map(Value::entries).unwrap_or_default();
    let mut labels: Vec<_> = labels.iter().map(|(name, value)| (text(name), text(value))).collect();
    labels.sort();
    let mut body = Vec::new();
    for (_, family) in group.field("Metrics").map(Value::entries).unwrap_or_default() {
        if let Some(Value::Bytes(message)) = family.field("GobbableMetricFamily") {
            push_length(&mut body, message.len());
            body.extend_from_slice(message);
        }
    }
    Group { labels, body }
}

/// The length of a message, as protobuf's varint.
fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Imports the groups of `file` into the new folder `state`, which appears when all of it is on disk. Returns the number
/// of imported groups, and those that the gateway refuses.
///
/// # Errors
/// Nothing was imported.
pub async fn import(file: &Path, state: &Path) -> Result<(usize, Vec<Refused>), ImportError> {
    let failed = |path: &Path, error: io::Error| ImportError::Io(format!("{}: {error}", path.display()));
    let groups = groups(&fs::read(file).map_err(|error| failed(file, error))?)?;
    if state.exists() {
        // An empty folder may be systemd's.
        fs::remove_dir(state).map_err(|_| ImportError::NotEmpty(state.display().to_string()))?;
    }
    let mut partial = state.as_os_str().to_owned();
    partial.push(".import");
    let partial = Path::new(&partial);
    if partial.exists() {
        fs::remove_dir_all(partial).map_err(|error| failed(partial, error))?;
    }
    let store = GroupStore::open(Some(partial)).map_err(|error| ImportError::Io(error.to_string()))?;
    let imported = import_all(&store, &groups).await;
    store.close_and_wait().await;
    fs::rename(partial, state).map_err(|error| failed(state, error))?;
    Ok(imported)
}

/// Imports the groups into memory alone: what the gateway would refuse.
///
/// # Errors
/// None without a folder.
pub async fn check(groups: &[Group]) -> Result<(usize, Vec<Refused>), ImportError> {
    let store = GroupStore::open(None).map_err(|error| ImportError::Io(error.to_string()))?;
    Ok(import_all(&store, groups).await)
}

async fn import_all(store: &GroupStore, groups: &[Group]) -> (usize, Vec<Refused>) {
    let (mut imported, mut refused) = (0, Vec::new());
    for group in groups {
        match import_group(store, group).await {
            Ok(()) => imported += 1,
            Err(reason) => refused.push(Refused { group: group.name(), reason }),
        }
    }
    (imported, refused)
}

async fn import_group(store: &GroupStore, group: &Group) -> Result<(), String> {
    let key = Key::new(group.labels.clone()).map_err(|error| error.to_string())?;
    let limits = Limits { series: usize::MAX, ..Limits::default() };
    let pushed = parse::parse(Format::Protobuf, &group.body, &limits).map_err(|error| error.to_string())?;
    let times = Times { pushed: marker(&pushed, PUSH_TIME), failed: marker(&pushed, PUSH_FAILURE_TIME), expires: None };
    let plan = |state: &State| -> Result<Plan, Conflict> {
        state.plan(&key, &pushed, Replace::Everything, times).map(Plan::Change)
    };
    let changed = store.change(plan).await.map_err(|error| error.to_string())?;
    changed.map(drop).map_err(|conflict| conflict.to_string())
}

/// The time in one of the gauges that every group has.
fn marker(pushed: &Exposition<'_>, name: &str) -> f64 {
    let family = pushed.families.iter().find(|family| family.name == name);
    match family.and_then(|family| family.metrics.first()).map(|metric| &metric.measure) {
        Some(Measure::Number(time)) => *time,
        _ => 0.0,
    }
}
