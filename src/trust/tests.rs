use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::*;

/// A certificate like that of `openssl req -x509`, modified by `change`.
fn own_authority(change: impl FnOnce(&mut CertificateParams)) -> (CertificateDer<'static>, KeyPair) {
    let mut params = CertificateParams::new(vec!["influx.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "influx.example");
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().der().clone(), key)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// The result of connecting to `name`, where the server presents this certificate and has this key, with both
/// versions of TLS.
fn connect(
    trusted: &CertificateDer<'static>,
    shown: &CertificateDer<'static>,
    key: &KeyPair,
    name: &str,
) -> Result<(), String> {
    let of = |version: &'static rustls::SupportedProtocolVersion| {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let shown = Shown(Arc::new(CertifiedKey::new(vec![shown.clone()], key)));
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth().with_cert_resolver(Arc::new(shown));
        let verifier = ServerVerifier::new(vec![trusted.clone()], provider()).unwrap();
        let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
        let client = client.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets().map_err(|error| error.to_string())?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets().map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    let (old, new) = (of(&rustls::version::TLS12), of(&rustls::version::TLS13));
    assert_eq!(old, new);
    new
}

#[track_caller]
fn assert_refused(result: Result<(), String>, reason: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn one_that_is_given_is_trusted_for_the_names_that_it_bears() {
    let (certificate, key) = own_authority(|_| ());
    assert_eq!(connect(&certificate, &certificate, &key, "influx.example"), Ok(()));
    assert_refused(connect(&certificate, &certificate, &key, "other.example"), "not valid for name");
    assert_refused(connect(&certificate, &certificate, &key, "127.0.0.1"), "not valid for name");
    let (certificate, key) = own_authority(|params| {
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    });
    assert_eq!(connect(&certificate, &certificate, &key, "127.0.0.1"), Ok(()));
    assert_refused(connect(&certificate, &certificate, &key, "127.0.0.2"), "not valid for name");
}

#[test]
fn a_name_in_the_subject_alone_is_none() {
    let (certificate, key) = own_authority(|params| params.subject_alt_names.clear());
    assert_refused(connect(&certificate, &certificate, &key, "influx.example"), "not valid for name");
}

#[test]
fn its_time_must_have_come_and_not_be_over() {
    let (certificate, key) = own_authority(|params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_refused(connect(&certificate, &certificate, &key, "influx.example"), "expired");
    let (certificate, key) = own_authority(|params| params.not_before = date_time_ymd(2200, 1, 1));
    assert_refused(connect(&certificate, &certificate, &key, "influx.example"), "not valid yet");
}

#[test]
fn whoever_shows_it_must_have_its_key() {
    let (certificate, _) = own_authority(|_| ());
    assert_refused(
        connect(&certificate, &certificate, &KeyPair::generate().unwrap(), "influx.example"),
        "BadSignature",
    );
}

#[test]
fn another_of_the_same_subject_is_not_trusted() {
    let (certificate, key) = own_authority(|_| ());
    let (other, key_of_other) = own_authority(|_| ());
    assert_refused(connect(&certificate, &other, &key_of_other, "influx.example"), "CaUsedAsEndEntity");
    // One with the same key, too.
    let mut params = CertificateParams::new(vec!["influx.example".to_owned(), "other.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "influx.example");
    let renewed = params.self_signed(&key).unwrap().der().clone();
    assert_refused(connect(&certificate, &renewed, &key, "other.example"), "CaUsedAsEndEntity");
}

#[test]
fn one_that_is_for_clients_is_no_servers() {
    let (of_clients, key) =
        own_authority(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert_refused(connect(&of_clients, &of_clients, &key, "influx.example"), "CaUsedAsEndEntity");
    let both = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let (of_both, key) = own_authority(|params| params.extended_key_usages = both);
    assert_eq!(connect(&of_both, &of_both, &key, "influx.example"), Ok(()));
    let now = UnixTime::now();
    let has = |certificate: &CertificateDer<'static>| {
        Trusted::new(vec![certificate.clone()]).unwrap().has(certificate, now, Peer::Client)
    };
    assert!(has(&of_clients));
    let (of_servers, _) =
        own_authority(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(!has(&of_servers));
}

#[test]
fn what_others_signed_is_verified_as_ever() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = rcgen::CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let authority = issuer.der().clone();
    let signed = |is_ca: IsCa| {
        let mut params = CertificateParams::new(vec!["influx.example".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &issuer).unwrap().der().clone(), key)
    };
    let (certificate, key) = signed(IsCa::NoCa);
    assert_eq!(connect(&authority, &certificate, &key, "influx.example"), Ok(()));
    // An intermediate CA presents its own certificate, which is not configured.
    let (below, key) = signed(IsCa::Ca(BasicConstraints::Unconstrained));
    assert_refused(connect(&authority, &below, &key, "influx.example"), "CaUsedAsEndEntity");
}

/// As in curl, OpenSSL and Go: a certificate that may not sign others is trusted itself, but none that it signed is.
#[test]
fn one_that_is_no_authority_is_trusted_itself_and_signs_nobody() {
    for is_ca in [IsCa::ExplicitNoCa, IsCa::NoCa] {
        let (certificate, key) = own_authority(|params| params.is_ca = is_ca);
        assert_eq!(connect(&certificate, &certificate, &key, "influx.example"), Ok(()));
        assert_refused(connect(&certificate, &certificate, &key, "other.example"), "not valid for name");
        let (expired, key) = own_authority(|params| {
            params.is_ca = is_ca;
            params.not_after = date_time_ymd(2020, 1, 1);
        });
        assert_refused(connect(&expired, &expired, &key, "influx.example"), "expired");
        let (of_clients, key) = own_authority(|params| {
            params.is_ca = is_ca;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        assert_refused(connect(&of_clients, &of_clients, &key, "influx.example"), "extended key usage");

        let mut params = CertificateParams::new(vec!["signer.example".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let signer = rcgen::CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["influx.example".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &signer).unwrap().der().clone();
        let signer = signer.der().clone();
        assert_refused(connect(&signer, &signed, &key, "influx.example"), "UnknownIssuer");
        // A certificate signed by another CA may be configured alone, too.
        assert_eq!(connect(&signed, &signed, &key, "influx.example"), Ok(()));
        let both = Trusted::new(vec![signer, signed.clone()]).unwrap();
        assert!(both.has(&signed, UnixTime::now(), Peer::Server) && both.authorities().is_none());
    }
}

#[test]
fn what_is_wrong_is_told_with_the_remedy() {
    let rejection = |trusted: &CertificateDer<'static>, shown: &CertificateDer<'static>, name: &'static str| {
        let verifier = ServerVerifier::new(vec![trusted.clone()], provider()).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let error = verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::now()).unwrap_err();
        // As a connection returns it.
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        messages::describe(&error).unwrap()
    };
    let of = |change: fn(&mut CertificateParams)| own_authority(change).0;
    let authority = of(|_| ());
    let other = of(|params| {
        params.is_ca = IsCa::ExplicitNoCa;
        params.distinguished_name.push(DnType::CommonName, "other.example");
    });
    let expired = of(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let to_come = of(|params| params.not_before = date_time_ymd(2200, 1, 1));
    let nameless = of(|params| params.subject_alt_names.clear());
    let of_clients = of(|params| {
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let name = "influx.example";
    for (rejection, parts) in [
        (rejection(&expired, &expired, name), ["expired at 2020-01-01T00:00:00Z", "renew it"]),
        (rejection(&to_come, &to_come, name), ["valid from 2200-01-01T00:00:00Z", "clock"]),
        (
            rejection(&authority, &authority, "a.example"),
            ["not for a.example, but for influx.example", "ask for one of these"],
        ),
        (
            rejection(&authority, &authority, "127.0.0.1"),
            ["not for 127.0.0.1, but for influx.example", "ask for one of these"],
        ),
        (rejection(&nameless, &nameless, name), ["bears no name", "influx.example as subjectAltName"]),
        (rejection(&authority, &other, name), ["none of the authorities that are trusted", "CA:TRUE"]),
        (rejection(&other, &authority, name), ["one of an authority (CA:TRUE)", "named as trusted"]),
        (rejection(&of_clients, &of_clients, name), ["not for servers", "serverAuth"]),
    ] {
        assert!(parts.iter().all(|part| rejection.contains(part)), "{rejection}");
        assert!(
            ["Other", "Error", "Context", "("].iter().all(|raw| !rejection.replace("(CA:TRUE)", "").contains(raw)),
            "{rejection}"
        );
    }
}
