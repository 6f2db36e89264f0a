//! The families of probes, with the names of blackbox_exporter.

use super::outcome::{gauge, with};
use crate::encode::family::FamilyInfo;

pub(super) const SUCCESS: FamilyInfo = gauge("probe_success", "Whether the probe succeeded");
pub(super) const DURATION: FamilyInfo = gauge("probe_duration_seconds", "Duration of the probe");
pub(super) const LOOKUP: FamilyInfo = gauge("probe_dns_lookup_time_seconds", "Time to resolve the name of the target");
pub(super) const IP_PROTOCOL: FamilyInfo = gauge("probe_ip_protocol", "IP version of the target's address: 4 or 6");
pub(super) const IP_HASH: FamilyInfo = gauge("probe_ip_addr_hash", "FNV-1a hash of the target's address");
pub(super) const FAILED_REGEX: FamilyInfo =
    gauge("probe_failed_due_to_regex", "Whether the probe failed because of a regular expression");

const PHASE: &[&str] = &["module", "target", "phase"];
pub(super) const HTTP_DURATION: FamilyInfo =
    with("probe_http_duration_seconds", "Duration of the phases of the HTTP requests, over all redirects", PHASE);
pub(super) const HTTP_STATUS: FamilyInfo = gauge("probe_http_status_code", "Status of the response; 0 without one");
pub(super) const HTTP_LENGTH: FamilyInfo =
    gauge("probe_http_content_length", "Content-Length of the response; -1 if it has none");
pub(super) const HTTP_BODY: FamilyInfo =
    gauge("probe_http_uncompressed_body_length", "Length of the body that was read");
pub(super) const HTTP_REDIRECTS: FamilyInfo = gauge("probe_http_redirects", "Redirects that were followed");
pub(super) const HTTP_SSL: FamilyInfo = gauge("probe_http_ssl", "Whether the last request used TLS");
pub(super) const HTTP_VERSION: FamilyInfo = gauge("probe_http_version", "HTTP version of the response; 0 without one");
pub(super) const HTTP_MODIFIED: FamilyInfo =
    gauge("probe_http_last_modified_timestamp_seconds", "Last-Modified of the response, as a Unix time");

pub(super) const TLS_EXPIRY: FamilyInfo =
    gauge("probe_ssl_earliest_cert_expiry", "Earliest expiry of the certificates in the chain, as a Unix time");
pub(super) const TLS_LEAF_EXPIRY: FamilyInfo =
    gauge("probe_ssl_leaf_cert_expiry", "Expiry of the server's own certificate, as a Unix time");
pub(super) const TLS_CHAIN_EXPIRY: FamilyInfo = gauge(
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "Expiry of the verified chain, as a Unix time; -62135596800 if it is not verified",
);
pub(super) const TLS_CHAIN: FamilyInfo = with(
    "probe_ssl_last_chain_info",
    "Server certificate",
    &["module", "target", "fingerprint_sha256", "subject", "issuer", "subjectalternative", "serialnumber"],
);
pub(super) const TLS_VERSION: FamilyInfo =
    with("probe_tls_version_info", "Negotiated TLS version", &["module", "target", "version"]);
pub(super) const TLS_CIPHER: FamilyInfo =
    with("probe_tls_cipher_info", "Negotiated cipher suite", &["module", "target", "cipher"]);

pub(super) const FILE_EXPIRY: FamilyInfo = with(
    "ssl_file_cert_not_after",
    "Expiry of a certificate in a file, as a Unix time",
    &["module", "target", "cn", "file", "issuer_cn"],
);

pub(super) const ICMP_DURATION: FamilyInfo =
    with("probe_icmp_duration_seconds", "Duration of the phases of the ICMP probe; rtt is the mean of replies", PHASE);
pub(super) const ICMP_HOP_LIMIT: FamilyInfo =
    gauge("probe_icmp_reply_hop_limit", "TTL or hop limit of the first reply");

pub(super) const DNS_DURATION: FamilyInfo =
    with("probe_dns_duration_seconds", "Duration of the phases of the DNS query", PHASE);
pub(super) const DNS_ANSWERS: FamilyInfo = gauge("probe_dns_answer_rrs", "Records in the answer section");
pub(super) const DNS_AUTHORITY: FamilyInfo = gauge("probe_dns_authority_rrs", "Records in the authority section");
pub(super) const DNS_ADDITIONAL: FamilyInfo = gauge("probe_dns_additional_rrs", "Records in the additional section");
pub(super) const DNS_SUCCEEDED: FamilyInfo =
    gauge("probe_dns_query_succeeded", "Whether the DNS server responded, with any code");
pub(super) const DNS_SERIAL: FamilyInfo = gauge("probe_dns_serial", "Serial number of the zone, of an SOA record");

/// All families.
pub(super) const FAMILIES: &[FamilyInfo] = &[
    SUCCESS,
    DURATION,
    LOOKUP,
    IP_PROTOCOL,
    IP_HASH,
    FAILED_REGEX,
    HTTP_DURATION,
    HTTP_STATUS,
    HTTP_LENGTH,
    HTTP_BODY,
    HTTP_REDIRECTS,
    HTTP_SSL,
    HTTP_VERSION,
    HTTP_MODIFIED,
    TLS_EXPIRY,
    TLS_LEAF_EXPIRY,
    TLS_CHAIN_EXPIRY,
    TLS_CHAIN,
    TLS_VERSION,
    TLS_CIPHER,
    ICMP_DURATION,
    ICMP_HOP_LIMIT,
    FILE_EXPIRY,
    DNS_DURATION,
    DNS_ANSWERS,
    DNS_AUTHORITY,
    DNS_ADDITIONAL,
    DNS_SUCCEEDED,
    DNS_SERIAL,
];
