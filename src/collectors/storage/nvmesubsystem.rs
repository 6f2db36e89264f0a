//! NVMe subsystems and their paths.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::host::devices::number_in;
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/class/nvme-subsystem`: drivers/nvme/host/core.c.
pub(super) struct Nvmesubsystem {
    subsystems: Devices,
}

/// Exported controller states. `unknown` is any other.
const STATES: [&str; 7] = ["connecting", "dead", "deleting", "live", "new", "resetting", "unknown"];

impl Collector for Nvmesubsystem {
    const ABOUT: About = About {
        name: "nvmesubsystem",
        summary: "NVMe subsystems, and the states of their paths",
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
            let mut attribute = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [policy, model, nqn, serial] = ["iopolicy", "model", "subsysnqn", "serial"].map(&mut attribute);
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

/// Reads a controller. Returns whether it is live.
fn read_controller(
    cx: &mut ReadContext<'_>,
    reading: &mut Gathered,
    controller: &mut Device,
    [name, subsystem]: [&str; 2],
) -> bool {
    let transport = controller.string("transport", cx.buffer).unwrap_or_default();
    let text = controller.string("state", cx.buffer).unwrap_or_default();
    let state = match text.as_str() {
        "deleting (no IO)" => "deleting",
        state if STATES.contains(&state) => state,
        _ => "unknown",
    };
    reading.put_states(&PATH_STATE, [name, "", subsystem, &transport], 1, &STATES, state);
    state == "live"
}

/// Whether the name is like `nvme0n1`.
fn is_namespace(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_prefix("nvme").and_then(|rest| rest.split_once('n'));
    parts.is_some_and(|(controller, namespace)| digits(controller) && digits(namespace))
}

const INFO: Family<5> = Family::gauge(
    "node_nvmesubsystem_info",
    "NVMe subsystem, always 1",
    ["iopolicy", "model", "nqn", "serial", "subsystem"],
);
const NAMESPACE_INFO: Family<2> = Family::gauge(
    "node_nvmesubsystem_namespace_info",
    "Namespace of the NVMe subsystem, always 1",
    ["device", "subsystem"],
);
const PATHS: Family<1> =
    Family::gauge("node_nvmesubsystem_paths", "Paths (controllers) of the NVMe subsystem", ["subsystem"]);
const PATHS_LIVE: Family<1> =
    Family::gauge("node_nvmesubsystem_paths_live", "Live paths of the NVMe subsystem", ["subsystem"]);
const PATH_STATE: Family<4> = Family::gauge(
    "node_nvmesubsystem_path_state",
    "1 if the controller is in this state",
    ["controller", "state", "subsystem", "transport"],
);
