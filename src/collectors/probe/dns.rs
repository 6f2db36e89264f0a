//! The prober `dns`: one query to a server, over UDP, TCP or TLS.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use regex::Regex;

use super::connect::{self, Addresses, Failure};
use super::families;
use super::outcome::{Found, Samples};
use super::points::{DnsResult, DnsRow, Row};
use super::tls::{Presented, Tls};
use crate::client::dns::exchange::{self, Transport as Plain};
use crate::client::dns::message::{Data, Query, RecordType, Response};
use crate::client::target;
use crate::config::{Key, KeyInfo, Section, TableInfo};

/// The settings of the prober.
#[derive(Debug)]
pub(super) struct Dns {
    query: Query,
    transport: Transport,
    valid: Vec<String>,
    none_may_match: Vec<Regex>,
    one_must_match: Vec<Regex>,
}

#[derive(Debug)]
enum Transport {
    Udp,
    Tcp,
    Tls(Box<Tls>),
}

const QUERY_NAME: Key<String> =
    Key::optional("query_name", "The name that is queried, such as \"example.org\", or \".\" for the root.");
const QUERY_TYPE: Key<String> = Key::new(
    "query_type",
    "\"A\"",
    "Type of the wanted records: A, AAAA, ANY, CNAME, MX, NS, PTR, SOA, SPF, SRV or TXT.",
);
const TRANSPORT: Key<String> =
    Key::new("transport", "\"udp\"", "udp, tcp or tls. The settings of certificates apply to tls.");
const RECURSION: Key<bool> = Key::new("recursion_desired", "true", "Asks the server to query others.");
const VALID: Key<Vec<String>> = Key::new(
    "valid_rcodes",
    "[\"NOERROR\"]",
    "Response codes of a successful probe, such as \"NXDOMAIN\". Another one is the result `error` in points.",
);
const NONE_MAY_MATCH: Key<Vec<Regex>> = Key::new(
    "fail_if_matches_regexp",
    "[]",
    "Regular expressions of which none may match a record of the answer, as dig writes it.",
);
const ONE_MUST_MATCH: Key<Vec<Regex>> = Key::new(
    "fail_if_none_matches_regexp",
    "[]",
    "Regular expressions of which each must match a record of the answer, as dig writes it.",
);
const KEYS: &[KeyInfo] = &[
    QUERY_NAME.info(),
    QUERY_TYPE.info(),
    TRANSPORT.info(),
    RECURSION.info(),
    VALID.info(),
    NONE_MAY_MATCH.info(),
    ONE_MUST_MATCH.info(),
];
/// The table of the prober.
pub(super) const TABLE: TableInfo =
    TableInfo { name: "dns", about: "The query of `prober = \"dns\"`, and what the response must be.", keys: KEYS };

/// The host and the port of a target; none without a port.
///
/// # Errors
/// What was expected.
pub(super) fn split(target: &str) -> Result<(String, Option<u16>), &'static str> {
    if let Ok((host, port)) = connect::split(target) {
        return Ok((host, Some(port)));
    }
    let bare = target.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(target);
    connect::is_host(bare)
        .then(|| (bare.to_owned(), None))
        .ok_or("expected a server such as 192.0.2.53, dns.example.org:53 or [::1]:53")
}

impl Dns {
    /// The settings; they are checked if the module `uses` them.
    pub(super) fn new(section: &mut Section<'_>, client: &target::Settings, uses: bool) -> Dns {
        let name = section.optional(&QUERY_NAME).unwrap_or_default();
        let query_type = section.get(&QUERY_TYPE);
        let kind = RecordType::from_name(&query_type).unwrap_or_else(|| {
            section.wrong("query_type", format!("expected a type of record such as A or MX, found {query_type:?}"));
            RecordType::A
        });
        let query = Query { name, kind, is_recursive: section.get(&RECURSION) };
        if uses && query.name.is_empty() {
            section.wrong("query_name", "required: the name that is queried");
        } else if let Some(reason) = query.encode(0).err().filter(|_| uses) {
            section.wrong("query_name", reason);
        }
        let transport = match section.get(&TRANSPORT).as_str() {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls(Box::new(Tls::new(client.http.tls.clone(), client.server_name.clone()))),
            other => {
                section.wrong("transport", format!("expected udp, tcp or tls, found {other:?}"));
                Transport::Udp
            }
        };
        let valid = section.get(&VALID);
        let (none_may_match, one_must_match) = (section.get(&NONE_MAY_MATCH), section.get(&ONE_MUST_MATCH));
        Dns { query, transport, valid, none_may_match, one_must_match }
    }

    /// Probes one target.
    pub(super) async fn probe(&self, target: &str, addresses: Addresses, timeout: Duration) -> Found {
        let mut done = Exchange::default();
        let (server, port) = split(target).unwrap_or_default();
        let port = port.unwrap_or(if matches!(self.transport, Transport::Tls(_)) { 853 } else { 53 });
        let exchange = self.exchange((&server, port), addresses, timeout, &mut done);
        let failure = match tokio::time::timeout(timeout, exchange).await {
            Ok(ended) => ended.err(),
            Err(_) => Some(Failure::Timeout(timeout)),
        };
        self.found(server, &done, failure)
    }

    async fn exchange(
        &self,
        (host, port): (&str, u16),
        addresses: Addresses,
        timeout: Duration,
        done: &mut Exchange,
    ) -> Result<(), Failure> {
        let resolved = addresses.of(host, port, &mut done.resolve).await?;
        let Some(&first) = resolved.first() else { return Err(Failure::Name(format!("{host} has no address"))) };
        done.address = Some(first.ip());
        let start = Instant::now();
        if let Transport::Udp = self.transport {
            let response = exchange::exchange(first, Plain::Udp, &self.query).await;
            done.request = start.elapsed().as_secs_f64();
            done.response = Some(response.map_err(|reason| Failure::Body(format!("{host}: {reason}")))?);
            return Ok(());
        }
        let (stream, address) = connect::tcp(&resolved, timeout).await?;
        done.address = Some(address.ip());
        let mut stream: Box<dyn connect::Stream> = Box::new(stream);
        if let Transport::Tls(tls) = &self.transport {
            let (encrypted, presented) = tls.connect(stream, host, &["dot"]).await?;
            let failure = presented.failure(tls);
            done.presented = Some(presented);
            if let Some(failure) = failure {
                return Err(failure);
            }
            stream = encrypted;
        }
        done.connect = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let response = exchange::over_stream(&mut stream, &self.query).await;
        done.request = start.elapsed().as_secs_f64();
        done.response = Some(response.map_err(|reason| Failure::Body(format!("{host}: {reason}")))?);
        Ok(())
    }

    fn found(&self, server: String, done: &Exchange, failure: Option<Failure>) -> Found {
        let result = match (&failure, &done.response) {
            (Some(Failure::Timeout(_)), _) => DnsResult::Timeout,
            (None, Some(response)) if self.is_valid(response) => DnsResult::Success,
            _ => DnsResult::Error,
        };
        let unmatched = done.response.as_ref().and_then(|response| self.unmatched(response));
        let failure = failure.map(|failure| failure.to_string()).or_else(|| {
            let code = done.response.as_ref().map(Response::code_name).filter(|_| result == DnsResult::Error);
            code.map(|code| format!("the server responded with {code}")).or_else(|| unmatched.clone())
        });
        let mut samples = Samples::default();
        connect::write_address(done.address, done.resolve, &mut samples);
        let phases = [("resolve", done.resolve), ("connect", done.connect), ("request", done.request)];
        samples.phases(&families::DNS_DURATION, &phases);
        let counts = done.response.as_ref().map(|response| {
            [response.answers.len(), response.authority.len(), response.additional.len()].map(|count| count as f64)
        });
        let [answers, authority, additional] = counts.unwrap_or_default();
        samples.add(&families::DNS_ANSWERS, answers);
        samples.add(&families::DNS_AUTHORITY, authority);
        samples.add(&families::DNS_ADDITIONAL, additional);
        samples.add(&families::DNS_SUCCEEDED, f64::from(u8::from(done.response.is_some())));
        samples.add(&families::FAILED_REGEX, f64::from(u8::from(unmatched.is_some())));
        let serial = done.response.iter().flat_map(|response| &response.answers).find_map(|record| match record.data {
            Data::Soa { serial, .. } => Some(f64::from(serial)),
            _ => None,
        });
        if let Some(serial) = serial {
            samples.add(&families::DNS_SERIAL, serial);
        }
        if let Some(presented) = &done.presented {
            presented.write(&mut samples);
        }
        let row = DnsRow {
            server,
            domain: self.query.name.clone(),
            record_type: self.query.kind,
            result,
            query_time: done.request + done.connect,
            response: done.response.clone(),
        };
        (failure, samples, vec![Row::Dns(Box::new(row))])
    }

    fn is_valid(&self, response: &Response) -> bool {
        self.valid.iter().any(|code| *code == response.code_name())
    }

    /// The regular expression that fails the probe.
    fn unmatched(&self, response: &Response) -> Option<String> {
        let records: Vec<String> = response.answers.iter().map(ToString::to_string).collect();
        let matches = |regex: &Regex| records.iter().any(|record| regex.is_match(record));
        if self.none_may_match.iter().any(matches) {
            return Some("a record of the answer matches fail_if_matches_regexp".to_owned());
        }
        let missing = self.one_must_match.iter().any(|regex| !matches(regex));
        missing.then(|| "no record of the answer matches fail_if_none_matches_regexp".to_owned())
    }
}

/// What is known of an exchange, as far as it came.
#[derive(Debug, Default)]
struct Exchange {
    address: Option<IpAddr>,
    /// Seconds of the phases.
    resolve: f64,
    connect: f64,
    request: f64,
    presented: Option<Presented>,
    response: Option<Response>,
}

#[cfg(test)]
pub(super) mod tests;
