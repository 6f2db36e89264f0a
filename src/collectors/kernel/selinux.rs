//! SELinux state and mode.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/sys/fs/selinux` and `/etc/selinux/config`: selinux(8).
pub(super) struct Selinux {
    enforce: HostFile,
    config: HostFile,
}

impl Collector for Selinux {
    const ABOUT: About = About {
        name: "selinux",
        summary: "SELinux state and mode",
        reads: &["/sys/fs/selinux/enforce", "/etc/selinux/config"],
        families: &[ENABLED.info(), CONFIG_MODE.info(), CURRENT_MODE.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Selinux { enforce: host.sys("fs/selinux/enforce"), config: host.root("/etc/selinux/config") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let current = match self.enforce.read(cx.buffer) {
            Ok(text) => text.number::<u64>("0 or 1")?,
            Err(error) if error.is_absent() => {
                reading.put(&ENABLED, [], false);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        reading.put(&ENABLED, [], true);
        reading.put(&CURRENT_MODE, [], current);
        let mode = self.config.read(cx.buffer).map(|text| configured(&text.trimmed()));
        reading.put_some(&CONFIG_MODE, [], cx.part(mode));
        Ok(())
    }
}

/// Mode in `SELINUX=`. Any other value means disabled.
fn configured(text: &str) -> i64 {
    let mut words = text.lines().filter_map(|line| line.trim().strip_prefix("SELINUX="));
    match words.next_back().map(str::trim) {
        Some("enforcing") => 1,
        Some("permissive") => 0,
        _ => -1,
    }
}

const ENABLED: Family<0> = Family::gauge("node_selinux_enabled", "1 if SELinux is enabled", []);
const CONFIG_MODE: Family<0> =
    Family::gauge("node_selinux_config_mode", "Configured SELinux mode: 1 enforcing, 0 permissive, -1 disabled", []);
const CURRENT_MODE: Family<0> =
    Family::gauge("node_selinux_current_mode", "Current SELinux mode: 1 enforcing, 0 permissive", []);
