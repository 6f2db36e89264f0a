//! NVMe subsystems and the ways to them.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::devices::number_in;
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/class/nvme-subsystem`: drivers/nvme/host/core.c.
pub(super) struct Nvmesubsystem {
    subsystems: Devices,
}

/// What a controller can be in. Whatever else the kernel says, such as `deleting`, is none of them.
const STATES: [&str; 5] = ["live", "connecting", "resetting", "dead", "unknown"];
const PASSING: [&str; 3] = ["deleting", "deleting (no IO)", "new"];

impl Collector for Nvmesubsystem {
    const ABOUT: About = About {
        name: "nvmesubsystem",
        summary: "NVMe subsystems and whether the ways to them live",
        reads: &["/sys/class/nvme-subsystem/nvme-subsys*"],
        on_by_default: Vocabularies::NONE,
        families: &[INFO.info(), NAMESPACE_INFO.info(), PATH_STATE.info(), PATHS.info(), PATHS_LIVE.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Nvmesubsystem { subsystems: host.devices("class/nvme-subsystem") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.subsystems.look(|name| name.starts_with("nvme-subsys"))? {
            let mut of = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [policy, model, nqn, serial] = ["iopolicy", "model", "subsysnqn", "serial"].map(&mut of);
            reading.put(&INFO, [&policy, &model, &nqn, &serial, name], 1u64);
            let (mut paths, mut live) = (0u64, 0u64);
            for part in device.names() {
                if number_in(&part, "nvme").is_some() {
                    paths += 1;
                    live += u64::from(read_controller(cx, reading, device.below(&part), [&part, name]));
                } else if is_namespace(&part) {
                    reading.put(&NAMESPACE_INFO, [&part, name], 1u64);
                }
            }
            reading.put(&PATHS, [name], paths);
            reading.put(&PATHS_LIVE, [name], live);
        }
        Ok(())
    }
}

/// Reads a controller; says whether it lives.
fn read_controller(
    cx: &mut ReadContext<'_>,
    reading: &mut Gathered,
    controller: &mut Device,
    [name, subsystem]: [&str; 2],
) -> bool {
    let transport = controller.string("transport", cx.buffer).unwrap_or_default();
    let told = controller.string("state", cx.buffer).unwrap_or_default();
    let is_known = STATES.contains(&told.as_str()) || PASSING.contains(&told.as_str());
    let state = if is_known { told.as_str() } else { "unknown" };
    for known in STATES {
        reading.put(&PATH_STATE, [name, known, subsystem, &transport], state == known);
    }
    state == "live"
}

/// Whether this is such as `nvme0n1`.
fn is_namespace(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_prefix("nvme").and_then(|rest| rest.split_once('n'));
    parts.is_some_and(|(controller, namespace)| digits(controller) && digits(namespace))
}

const INFO: Family<5> =
    Family::gauge("node_nvmesubsystem_info", "The subsystem; 1.", ["iopolicy", "model", "nqn", "serial", "subsystem"]);
const NAMESPACE_INFO: Family<2> =
    Family::gauge("node_nvmesubsystem_namespace_info", "A namespace of the subsystem; 1.", ["device", "subsystem"]);
const PATHS: Family<1> =
    Family::gauge("node_nvmesubsystem_paths", "Controllers by which the subsystem is reached.", ["subsystem"]);
const PATHS_LIVE: Family<1> = Family::gauge("node_nvmesubsystem_paths_live", "Those of them that live.", ["subsystem"]);
const PATH_STATE: Family<4> = Family::gauge(
    "node_nvmesubsystem_path_state",
    "Whether the controller is in this state.",
    ["controller", "state", "subsystem", "transport"],
);
