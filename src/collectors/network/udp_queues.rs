//! Queued bytes of UDP sockets.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, Line, ReadError};

/// `/proc/net/udp` and `udp6`: net/ipv4/udp.c, `udp4_format_sock`.
pub(super) struct UdpQueues {
    files: [(HostFile, &'static str); 2],
}

impl Collector for UdpQueues {
    const ABOUT: About = About {
        name: "udp_queues",
        summary: "bytes in the receive and transmit queues of UDP sockets",
        reads: &["/proc/net/{udp,udp6}"],
        needs: "the network namespace of the host",
        families: &[QUEUES.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        UdpQueues { files: [(host.proc("net/udp"), "v4"), (host.proc("net/udp6"), "v6")] }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const HEADER_LINES: usize = 1;
        let mut absent = None;
        for (file, version) in &mut self.files {
            let sums = file.read(cx.buffer).and_then(|text| {
                text.lines().skip(HEADER_LINES).try_fold((0u64, 0u64), |(sent, received), line| {
                    let (more_sent, more_received) = queues(line)?;
                    Ok((sent.saturating_add(more_sent), received.saturating_add(more_received)))
                })
            });
            match sums {
                Ok((sent, received)) => {
                    reading.put(&QUEUES, [version, "tx"], sent);
                    reading.put(&QUEUES, [version, "rx"], received);
                }
                Err(error) if error.is_absent() => absent = Some(error),
                Err(error) => cx.problem(error),
            }
        }
        absent.filter(|_| reading.is_empty()).map_or(Ok(()), Err)
    }
}

/// Parses transmit and receive queue: `00000000:00000000`.
fn queues(line: Line<'_>) -> Result<(u64, u64), ReadError> {
    const QUEUES: usize = 4;
    let field = line.fields().nth(QUEUES).unwrap_or_default();
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let pair = std::str::from_utf8(field).ok().and_then(|text| text.split_once(':'));
    let pair = pair.and_then(|(sent, received)| Some((hex(sent)?, hex(received)?)));
    pair.ok_or_else(|| line.malformed("the lengths of queues", field))
}

const QUEUES: Family<2> = Family::gauge("node_udp_queues", "Bytes in the queues of UDP sockets", ["ip", "queue"]);
