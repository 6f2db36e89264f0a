//! Telegraf's measurement `dns_query`.

use crate::client::dns::message::{Data, RecordType, Response};
use crate::encode::{Field, Measurement, PointWriter, Timestamp};

/// A point of `dns_query`.
#[derive(Debug)]
pub(in crate::collectors::probe) struct DnsRow {
    /// The server, without its port.
    pub(in crate::collectors::probe) server: String,
    pub(in crate::collectors::probe) domain: String,
    pub(in crate::collectors::probe) record_type: RecordType,
    pub(in crate::collectors::probe) result: DnsResult,
    /// Seconds from the start of the connection to the response.
    pub(in crate::collectors::probe) query_time: f64,
    pub(in crate::collectors::probe) response: Option<Response>,
}

/// The result of `dns_query`, with Telegraf's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collectors::probe) enum DnsResult {
    Success = 0,
    Timeout = 1,
    Error = 2,
}

impl DnsResult {
    /// Telegraf's word.
    fn word(self) -> &'static str {
        match self {
            DnsResult::Success => "success",
            DnsResult::Timeout => "timeout",
            DnsResult::Error => "error",
        }
    }
}

const QUERY_TIME: Field<f64> =
    Field::new("query_time_ms", "time from the connection to the response; absent without a response");
const RESULT_CODE: Field<u64> = Field::new("result_code", "0 success, 1 timeout, 2 error");
const RCODE: Field<u64> = Field::new("rcode_value", "number of the response code; absent without a response");
const PREFERENCE: Field<u64> = Field::new("preference", "preference of the first MX record");
const SERIAL: Field<u64> = Field::new("serial", "serial number of the first SOA record");
const REFRESH: Field<u64> = Field::new("refresh", "refresh interval of the first SOA record, in seconds");
const RETRY: Field<u64> = Field::new("retry", "retry interval of the first SOA record, in seconds");
const EXPIRE: Field<u64> = Field::new("expire", "expiry of the first SOA record, in seconds");
const MINTTL: Field<u64> = Field::new("minttl", "minimum TTL of the first SOA record, in seconds");
/// The measurement.
pub(super) const DNS: Measurement<5> = Measurement::new(
    "dns_query",
    ["domain", "rcode", "record_type", "result", "server"],
    &[
        QUERY_TIME.info(),
        RCODE.info(),
        PREFERENCE.info(),
        SERIAL.info(),
        REFRESH.info(),
        RETRY.info(),
        EXPIRE.info(),
        MINTTL.info(),
        RESULT_CODE.info(),
    ],
);

impl DnsRow {
    pub(super) fn write(&self, at: Timestamp, out: &mut PointWriter<'_>) {
        let code = self.response.as_ref().map_or("", Response::code_name);
        let kind = self.record_type.to_string();
        let mut point = out.point_at(at, &DNS, [&self.domain, code, &kind, self.result.word(), &self.server]);
        if let Some(response) = &self.response {
            point.field(&QUERY_TIME, self.query_time * 1e3).field(&RCODE, response.code.into());
        }
        let records = self.response.iter().flat_map(|response| &response.answers).map(|record| &record.data);
        let mut with_fields = records.filter(|data| matches!(data, Data::Mx { .. } | Data::Soa { .. }));
        match with_fields.next() {
            Some(Data::Mx { preference, .. }) => {
                point.field(&PREFERENCE, (*preference).into());
            }
            Some(Data::Soa { serial, refresh, retry, expire, minimum, .. }) => {
                point.field(&SERIAL, (*serial).into()).field(&REFRESH, (*refresh).into());
                point.field(&RETRY, (*retry).into()).field(&EXPIRE, (*expire).into());
                point.field(&MINTTL, (*minimum).into());
            }
            _ => {}
        }
        point.field(&RESULT_CODE, self.result as u64);
    }
}
