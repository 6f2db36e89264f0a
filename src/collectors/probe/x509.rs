//! The prober `x509`: certificates of servers and in files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::spawn_blocking;

use super::certificate::{Certificate, read};
use super::connect::{self, Addresses, Failure};
use super::families;
use super::outcome::{Found, Samples};
use super::points::{CertificateRow, Row};
use super::tls::Tls;
use crate::client::target;
use crate::collectors::framework::globs;
use crate::pem;
use crate::system::regular_file::read_pem;

/// The settings of the prober.
#[derive(Debug)]
pub(super) struct X509 {
    tls: Tls,
    server_name: Option<String>,
}

/// Where certificates are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A server: its host and port.
    Server(String, u16),
    /// Files: a path, which may have wildcards.
    Files(PathBuf),
}

/// Certificates that are read of the files of one target.
const MAX_CERTIFICATES: usize = 1000;

/// Whether a target names files.
pub(super) fn is_file(target: &str) -> bool {
    target.starts_with('/') || target.starts_with("file://")
}

impl Source {
    /// The source that a target names.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn new(target: &str) -> Result<Source, &'static str> {
        const EXPECTED: &str = "expected a server such as example.org:443 or https://example.org, or the path of files such as /etc/ssl/*.pem";
        if is_file(target) {
            let path = target.strip_prefix("file://").unwrap_or(target);
            let is_good = path.starts_with('/') && globs::check(path).is_ok();
            let expected = "expected an absolute path, whose wildcards are * ? [ ] { } within a folder";
            return if is_good { Ok(Source::Files(path.into())) } else { Err(expected) };
        }
        if target.starts_with("https://") {
            let url = target::parse(target)?;
            let host = url.host_str().ok_or(EXPECTED)?.trim_matches(['[', ']']).to_owned();
            return Ok(Source::Server(host, url.port_or_known_default().unwrap_or(443)));
        }
        let (host, port) = connect::split(target.strip_prefix("tcp://").unwrap_or(target)).map_err(|_| EXPECTED)?;
        Ok(Source::Server(host, port))
    }
}

impl X509 {
    pub(super) fn new(client: &target::Settings) -> X509 {
        let server_name = client.server_name.clone();
        X509 { tls: Tls::new(client.http.tls.clone(), server_name.clone()), server_name }
    }

    /// Probes one target.
    pub(super) async fn probe(&self, target: &str, addresses: Addresses, timeout: Duration) -> Found {
        let (mut samples, mut rows) = (Samples::default(), Vec::new());
        let probing = async {
            match Source::new(target) {
                Ok(Source::Server(host, port)) => {
                    self.server(target, (&host, port), addresses, timeout, &mut samples, &mut rows).await
                }
                Ok(Source::Files(pattern)) => self.files(&pattern, &mut samples, &mut rows).await,
                Err(expected) => Err(Failure::Connection(expected.to_owned())),
            }
        };
        let ended = tokio::time::timeout(timeout, probing).await;
        let failure = ended.unwrap_or(Err(Failure::Timeout(timeout))).err().map(|failure| failure.to_string());
        if rows.is_empty() {
            let error = failure.clone();
            rows.push(CertificateRow { source: target.to_owned(), certificate: None, is_stapled: false, error });
        }
        (failure, samples, rows.into_iter().map(|row| Row::Certificate(Box::new(row))).collect())
    }

    async fn server(
        &self,
        target: &str,
        (host, port): (&str, u16),
        addresses: Addresses,
        timeout: Duration,
        samples: &mut Samples,
        rows: &mut Vec<CertificateRow>,
    ) -> Result<(), Failure> {
        let (mut lookup, mut address) = (0.0, None);
        let connecting = async {
            let resolved = addresses.of(host, port, &mut lookup).await?;
            address = resolved.first().map(|address| address.ip());
            let (stream, connected) = connect::tcp(&resolved, timeout).await?;
            address = Some(connected.ip());
            let (_, presented) = self.tls.connect(Box::new(stream), host, &[]).await?;
            Ok(presented)
        };
        let presented = tokio::time::timeout(timeout, connecting).await.unwrap_or(Err(Failure::Timeout(timeout)));
        connect::write_address(address, lookup, samples);
        let presented = presented?;
        presented.write(samples);
        for (index, certificate) in presented.chain.iter().enumerate() {
            rows.push(CertificateRow {
                source: target.to_owned(),
                certificate: Some(certificate.clone()),
                is_stapled: index == 0 && presented.is_stapled,
                error: presented.untrusted.clone(),
            });
        }
        presented.failure(&self.tls).map_or(Ok(()), Err)
    }

    async fn files(
        &self,
        pattern: &Path,
        samples: &mut Samples,
        rows: &mut Vec<CertificateRow>,
    ) -> Result<(), Failure> {
        let of = pattern.to_owned();
        let paths = spawn_blocking(move || globs::matches(&of)).await.unwrap_or_default();
        let mut failure = match paths.len() {
            0 => Some(format!("{}: there is no such file", pattern.display())),
            count if count > globs::MAX_MATCHES => Some(format!("more than {} files match", globs::MAX_MATCHES)),
            _ => None,
        };
        let mut expiries: BTreeMap<[String; 3], i64> = BTreeMap::new();
        for path in paths.iter().take(globs::MAX_MATCHES) {
            let named = path.clone();
            let file = path.display().to_string();
            let read =
                spawn_blocking(move || chain(&named)).await.unwrap_or_else(|_| Err("the program ends".to_owned()));
            match read {
                Ok(ders) => {
                    let added = self.rows_of(&file, ders, rows).await;
                    failure = failure.or(added.err());
                }
                Err(reason) => failure = failure.or(Some(reason)),
            }
        }
        for row in rows.iter() {
            let Some(certificate) = &row.certificate else { continue };
            let names = [&certificate.owner.common_name, &row.source, &certificate.issued_by.common_name];
            let earliest = expiries.entry(names.map(String::clone)).or_insert(i64::MAX);
            *earliest = certificate.not_after.min(*earliest);
        }
        if let Some(earliest) = expiries.values().min() {
            samples.add(&families::TLS_EXPIRY, *earliest as f64);
        }
        for (labels, expiry) in expiries {
            samples.labelled(&families::FILE_EXPIRY, labels.to_vec(), expiry as f64);
        }
        failure.map_or(Ok(()), |reason| Err(Failure::Connection(reason)))
    }

    /// Adds the certificates of a file.
    ///
    /// # Errors
    /// One is not valid now, or there are too many.
    async fn rows_of(
        &self,
        file: &str,
        ders: Vec<CertificateDer<'static>>,
        rows: &mut Vec<CertificateRow>,
    ) -> Result<(), String> {
        let certificates: Vec<Certificate> = ders.iter().filter_map(|der| read(der)).collect();
        let own_name = certificates.first().and_then(|leaf| leaf.names.split(',').find(|name| !name.is_empty()));
        let name = self.server_name.as_deref().or(own_name).map(|name| name.replace('*', "any"));
        let error = match name {
            Some(name) => self.tls.verify(&ders, &name).await.err(),
            None => Some("the certificate has no DNS name".to_owned()),
        };
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs().cast_signed());
        let is_valid = |certificate: &Certificate| (certificate.not_before..=certificate.not_after).contains(&now);
        let invalid = certificates.iter().find(|certificate| !is_valid(certificate));
        let result = match invalid {
            Some(certificate) if certificate.not_after < now => {
                Err(format!("{file}: the certificate of {} has expired: renew it", certificate.subject))
            }
            Some(certificate) => Err(format!("{file}: the certificate of {} is not valid yet", certificate.subject)),
            None if rows.len() + certificates.len() > MAX_CERTIFICATES => {
                Err(format!("there are more than {MAX_CERTIFICATES} certificates: use several modules"))
            }
            None => Ok(()),
        };
        for certificate in certificates.into_iter().take(MAX_CERTIFICATES.saturating_sub(rows.len())) {
            let (source, error) = (file.to_owned(), error.clone());
            rows.push(CertificateRow { source, certificate: Some(certificate), is_stapled: false, error });
        }
        result
    }
}

/// The certificates in a PEM file.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_pem(path).map_err(|error| error.to_string())?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(ders) if ders.is_empty() => Err(format!("{}: it has no certificate in PEM form", path.display())),
        Ok(ders) => Ok(ders),
        Err(error) => Err(format!("{}: {}", path.display(), pem::reason(&error))),
    }
}

#[cfg(test)]
mod tests;
