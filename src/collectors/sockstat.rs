//! Sockets in use, by protocol.

use std::sync::Arc;

use super::keys::{Keys, Known};
use super::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::{FamilyWriter, Kind, Pattern};
use crate::host::{Host, HostFile, Line, ReadError};

pub(super) struct Sockstat {
    files: [HostFile; 2],
    keys: [Keys<()>; 2],
}

type Pairs = Vec<(String, u64)>;

/// `/proc/net/sockstat` and `sockstat6`: net/ipv4/proc.c, `sockstat_seq_show`.
#[derive(Default)]
pub(super) struct SockstatReading {
    /// Each line's protocol and the line's pairs of name and value.
    lines: Vec<(Arc<Known<()>>, Pairs)>,
    page_size: u64,
}

impl Collector for Sockstat {
    const ABOUT: About = About {
        name: "sockstat",
        summary: "sockets in use, by protocol",
        reads: &["/proc/net/sockstat", "/proc/net/sockstat6"],
        families: &[SOCKSTAT.info()],
        ..About::PLAIN
    };
    type Reading = SockstatReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Sockstat {
            files: ["net/sockstat", "net/sockstat6"].map(|path| host.proc(path).one_record()),
            keys: Default::default(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut SockstatReading) -> Result<(), ReadError> {
        reading.lines.clear();
        reading.page_size = cx.host.kernel.page_size();
        for (version, (file, keys)) in self.files.iter_mut().zip(&mut self.keys).enumerate() {
            let text = match file.read(cx.buffer) {
                Ok(text) => text,
                // A host without IPv6 has no second file.
                Err(error) if error.is_absent() && version == 1 => continue,
                Err(error) => {
                    cx.problems.push(error);
                    continue;
                }
            };
            for (place, line) in text.lines().enumerate() {
                let Some((protocol, rest)) = line.key_and_rest() else {
                    cx.problems.push(line.malformed("a protocol with a colon", line.bytes()));
                    continue;
                };
                let mut pairs = Vec::new();
                if let Err(error) = read_pairs(rest, &mut pairs) {
                    cx.problems.push(error);
                }
                reading.lines.push((keys.at(place, &[protocol], |_| ()).clone(), pairs));
            }
        }
        Ok(())
    }
}

fn read_pairs(line: Line<'_>, pairs: &mut Vec<(String, u64)>) -> Result<(), ReadError> {
    let mut fields = line.fields();
    while let Some(name) = fields.next() {
        pairs.push((String::from_utf8_lossy(name).into_owned(), fields.number("a count")?));
    }
    Ok(())
}

const SOCKSTAT: Pattern = Pattern::new("node_sockstat_", "", Kind::Gauge, "node_sockstat_PROTOCOL_KEY")
    .help(" of /proc/net/sockstat and sockstat6; mem in pages, mem_bytes in bytes.");

impl Reading for SockstatReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut name = String::new();
        for (protocol, pairs) in &self.lines {
            for (key, value) in pairs {
                name.clear();
                name.extend([protocol.key.as_str(), "_", key]);
                out.keyed(&SOCKSTAT, &name, *value);
                if key == "mem" {
                    name.push_str("_bytes");
                    out.keyed(&SOCKSTAT, &name, value.saturating_mul(self.page_size));
                }
            }
        }
    }
}
