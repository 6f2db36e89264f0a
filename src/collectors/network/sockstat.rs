//! Socket usage by protocol.

use std::sync::Arc;

use crate::collectors::framework::keys::{Keys, Known};
use crate::collectors::framework::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::{FamilyWriter, Kind, Pattern, Value};
use crate::host::{Host, HostFile, Line, ReadError};

pub(super) struct Sockstat {
    files: [HostFile; 2],
    keys: [Keys<()>; 2],
}

type Pairs = Vec<(String, u64)>;

/// `/proc/net/sockstat` and `sockstat6`: net/ipv4/proc.c, `sockstat_seq_show`.
#[derive(Default)]
pub(super) struct SockstatReading {
    /// Protocol of each line, with the pairs of name and value.
    lines: Vec<(Arc<Known<()>>, Pairs)>,
    page_size: u64,
}

impl Collector for Sockstat {
    const ABOUT: About = About {
        name: "sockstat",
        summary: "socket usage by protocol",
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
        for (file, keys) in self.files.iter_mut().zip(&mut self.keys) {
            let text = match file.read(cx.buffer) {
                Ok(text) => text,
                // Without IPv4 or IPv6, its file does not exist.
                Err(error) => {
                    cx.problems.extend((!error.is_absent()).then_some(error));
                    continue;
                }
            };
            for (index, line) in text.lines().enumerate() {
                let Some((protocol, rest)) = line.key_and_rest() else {
                    cx.problems.push(line.malformed("a protocol with a colon", line.bytes()));
                    continue;
                };
                let mut pairs = Vec::new();
                if let Err(error) = read_pairs(rest, &mut pairs) {
                    cx.problems.push(error);
                }
                reading.lines.push((keys.at(index, &[protocol], |_| ()).clone(), pairs));
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
    .help(" of /proc/net/sockstat and sockstat6; mem in pages, mem_bytes in bytes");

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
                    out.keyed(&SOCKSTAT, &name, Value::product(*value, self.page_size));
                }
            }
        }
    }
}
