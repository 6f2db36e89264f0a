//! The points of probes, with the names of Telegraf's inputs.

mod certificate;
mod dns;
mod ping;

pub(super) use self::certificate::CertificateRow;
pub(super) use self::dns::{DnsResult, DnsRow};
pub(super) use self::ping::{PingResult, PingRow};
use crate::encode::point::MeasurementInfo;
use crate::encode::{Field, Measurement, PointWriter, Timestamp};

/// A point of a probe.
#[derive(Debug)]
pub(super) enum Row {
    /// Of `http_response`.
    Http(HttpRow),
    /// Of `net_response`.
    Net(NetRow),
    /// Of `ping`.
    Ping(PingRow),
    /// Of `dns_query`.
    Dns(Box<DnsRow>),
    /// Of `x509_cert`.
    Certificate(Box<CertificateRow>),
}

/// A point of `http_response`.
#[derive(Debug)]
pub(super) struct HttpRow {
    pub(super) method: String,
    pub(super) result: HttpResult,
    /// The status, of a response.
    pub(super) status: Option<u16>,
    /// Seconds to the end of the headers.
    pub(super) response_time: Option<f64>,
    pub(super) content_length: Option<u64>,
    pub(super) string_match: Option<bool>,
    pub(super) status_match: Option<bool>,
}

/// The result of `http_response`, with Telegraf's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpResult {
    Success = 0,
    StringMismatch = 1,
    BodyReadError = 2,
    ConnectionFailed = 3,
    Timeout = 4,
    NameError = 5,
    StatusMismatch = 6,
}

impl HttpResult {
    /// Telegraf's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            HttpResult::Success => "success",
            HttpResult::StringMismatch => "response_string_mismatch",
            HttpResult::BodyReadError => "body_read_error",
            HttpResult::ConnectionFailed => "connection_failed",
            HttpResult::Timeout => "timeout",
            HttpResult::NameError => "dns_error",
            HttpResult::StatusMismatch => "response_status_code_mismatch",
        }
    }
}

/// A point of `net_response`.
#[derive(Debug)]
pub(super) struct NetRow {
    pub(super) server: String,
    pub(super) port: u16,
    pub(super) protocol: &'static str,
    pub(super) result: NetResult,
    /// Seconds to the connection, or to the response.
    pub(super) response_time: Option<f64>,
    pub(super) string_found: Option<bool>,
}

/// The result of `net_response`, with Telegraf's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NetResult {
    Success = 0,
    Timeout = 1,
    ConnectionFailed = 2,
    ReadFailed = 3,
    StringMismatch = 4,
}

impl NetResult {
    /// Telegraf's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            NetResult::Success => "success",
            NetResult::Timeout => "timeout",
            NetResult::ConnectionFailed => "connection_failed",
            NetResult::ReadFailed => "read_failed",
            NetResult::StringMismatch => "string_mismatch",
        }
    }
}

const RESPONSE_TIME: Field<f64> =
    Field::new("response_time", "seconds from the start to the end of the headers; absent without a response");
const HTTP_CODE: Field<u64> = Field::new("http_response_code", "status of the response");
const CONTENT_LENGTH: Field<u64> = Field::new("content_length", "bytes of the body that was read");
const STRING_MATCH: Field<u64> = Field::new(
    "response_string_match",
    "1 if the body matches fail_if_body_not_matches_regexp, else 0; absent without this setting",
);
const STATUS_MATCH: Field<u64> = Field::new(
    "response_status_code_match",
    "1 if the status is one of valid_status_codes, else 0; absent without this setting",
);
const RESULT_TYPE: Field<str> = Field::new("result_type", "the tag result");
const HTTP_RESULT_CODE: Field<u64> = Field::new(
    "result_code",
    "0 success, 1 response_string_mismatch, 2 body_read_error, 3 connection_failed, 4 timeout, 5 dns_error, 6 response_status_code_mismatch",
);
const HTTP: Measurement<4> = Measurement::new(
    "http_response",
    ["method", "result", "server", "status_code"],
    &[
        RESPONSE_TIME.info(),
        HTTP_CODE.info(),
        CONTENT_LENGTH.info(),
        STRING_MATCH.info(),
        STATUS_MATCH.info(),
        RESULT_TYPE.info(),
        HTTP_RESULT_CODE.info(),
    ],
);

const NET_TIME: Field<f64> =
    Field::new("response_time", "seconds to the connection, or to the response; absent without one");
const NET_RESULT_CODE: Field<u64> =
    Field::new("result_code", "0 success, 1 timeout, 2 connection_failed, 3 read_failed, 4 string_mismatch");
const STRING_FOUND: Field<bool> =
    Field::new("string_found", "whether the response matches expect; absent without this setting");
const NET: Measurement<4> = Measurement::new(
    "net_response",
    ["port", "protocol", "result", "server"],
    &[NET_TIME.info(), RESULT_TYPE.info(), NET_RESULT_CODE.info(), STRING_FOUND.info()],
);

/// The measurements.
pub(super) const MEASUREMENTS: &[MeasurementInfo] =
    &[HTTP.info(), NET.info(), dns::DNS.info(), ping::PING.info(), certificate::X509.info()];

/// Writes the points of a probe of `target` that started at `at`.
pub(super) fn write(at: Timestamp, target: &str, rows: &[Row], out: &mut PointWriter<'_>) {
    for row in rows {
        match row {
            Row::Http(row) => write_http(at, target, row, out),
            Row::Net(row) => write_net(at, row, out),
            Row::Ping(row) => row.write(at, target, out),
            Row::Dns(row) => row.write(at, out),
            Row::Certificate(row) => row.write(at, out),
        }
    }
}

fn write_http(at: Timestamp, target: &str, row: &HttpRow, out: &mut PointWriter<'_>) {
    let status = row.status.map(|status| status.to_string()).unwrap_or_default();
    let word = row.result.word();
    let mut point = out.point_at(at, &HTTP, [&row.method, word, target, &status]);
    point.field(&RESULT_TYPE, word).field(&HTTP_RESULT_CODE, row.result as u64);
    row.response_time.map(|seconds| point.field(&RESPONSE_TIME, seconds));
    row.status.map(|status| point.field(&HTTP_CODE, status.into()));
    row.content_length.map(|bytes| point.field(&CONTENT_LENGTH, bytes));
    row.string_match.map(|matches| point.field(&STRING_MATCH, matches.into()));
    row.status_match.map(|matches| point.field(&STATUS_MATCH, matches.into()));
}

fn write_net(at: Timestamp, row: &NetRow, out: &mut PointWriter<'_>) {
    let word = row.result.word();
    let tags = [&row.port.to_string(), row.protocol, word, &row.server];
    let mut point = out.point_at(at, &NET, tags);
    point.field(&RESULT_TYPE, word).field(&NET_RESULT_CODE, row.result as u64);
    row.response_time.map(|seconds| point.field(&NET_TIME, seconds));
    row.string_found.map(|found| point.field(&STRING_FOUND, found));
}
