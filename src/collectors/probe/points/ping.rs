//! Telegraf's measurement `ping`.

use crate::encode::{Field, Measurement, PointWriter, Timestamp};

/// A point of `ping`.
#[derive(Debug)]
pub(in crate::collectors::probe) struct PingRow {
    /// Echo requests.
    pub(in crate::collectors::probe) sent: u64,
    /// The round-trip time of each reply, in seconds.
    pub(in crate::collectors::probe) times: Vec<f64>,
    /// The TTL of the first reply.
    pub(in crate::collectors::probe) ttl: Option<u8>,
    pub(in crate::collectors::probe) result: PingResult,
}

/// What `ping` ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collectors::probe) enum PingResult {
    Success,
    /// No request was replied to.
    NoReply,
    /// The name has no address.
    NoHost,
    /// Nothing could be sent.
    Error,
}

impl PingResult {
    /// Telegraf's number.
    fn code(self) -> u64 {
        match self {
            PingResult::Success => 0,
            PingResult::NoReply | PingResult::NoHost => 1,
            PingResult::Error => 2,
        }
    }
}

const SENT: Field<u64> = Field::new("packets_transmitted", "echo requests; absent if nothing could be sent");
const RECEIVED: Field<u64> = Field::new("packets_received", "replies; absent if nothing could be sent");
const LOSS: Field<f64> =
    Field::new("percent_packet_loss", "requests without a reply, in percent; absent if nothing could be sent");
const MINIMUM: Field<f64> = Field::new("minimum_response_ms", "shortest round-trip time; absent without a reply");
const AVERAGE: Field<f64> = Field::new("average_response_ms", "mean round-trip time; absent without a reply");
const MAXIMUM: Field<f64> = Field::new("maximum_response_ms", "longest round-trip time; absent without a reply");
const DEVIATION: Field<f64> = Field::new(
    "standard_deviation_ms",
    "standard deviation of the round-trip times, of a population; absent without a reply",
);
const TTL: Field<u64> = Field::new("ttl", "TTL or hop limit of the first reply; absent without one");
const RESULT_CODE: Field<u64> = Field::new("result_code", "0 a reply, 1 no reply or no such host, 2 nothing was sent");
/// The measurement.
pub(super) const PING: Measurement<1> = Measurement::new(
    "ping",
    ["url"],
    &[
        SENT.info(),
        RECEIVED.info(),
        LOSS.info(),
        MINIMUM.info(),
        AVERAGE.info(),
        MAXIMUM.info(),
        DEVIATION.info(),
        TTL.info(),
        RESULT_CODE.info(),
    ],
);

impl PingRow {
    pub(super) fn write(&self, at: Timestamp, target: &str, out: &mut PointWriter<'_>) {
        let mut point = out.point_at(at, &PING, [target]);
        let received = self.times.len() as f64;
        if self.sent > 0 {
            let loss = 100.0 * (self.sent as f64 - received) / self.sent as f64;
            point.field(&SENT, self.sent).field(&RECEIVED, self.times.len() as u64).field(&LOSS, loss);
        }
        if received > 0.0 {
            let ms: Vec<f64> = self.times.iter().map(|seconds| seconds * 1e3).collect();
            let mean = ms.iter().sum::<f64>() / received;
            let variance = ms.iter().map(|ms| (ms - mean).powi(2)).sum::<f64>() / received;
            point.field(&MINIMUM, ms.iter().copied().fold(f64::INFINITY, f64::min)).field(&AVERAGE, mean);
            point.field(&MAXIMUM, ms.iter().copied().fold(0.0, f64::max)).field(&DEVIATION, variance.sqrt());
        }
        self.ttl.map(|ttl| point.field(&TTL, ttl.into()));
        point.field(&RESULT_CODE, self.result.code());
    }
}
