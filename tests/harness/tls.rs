//! Certificates made for a test, and a server that has one.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::server::{Post, Reply, read_write, reply};

/// A certificate for 127.0.0.1, the authority that signed it, and one that did not.
pub struct Certificates {
    folder: tempfile::TempDir,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    signer: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority();
        std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
        std::fs::write(folder.path().join("other.pem"), self::authority().pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap().der().clone();
        std::fs::write(folder.path().join("server.pem"), params.signed_by(&key, &authority).unwrap().pem()).unwrap();
        std::fs::write(folder.path().join("server.key"), key.serialize_pem()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Certificates { folder, certificate, key, signer: authority }
    }

    /// The folder, in which `server.pem` and `server.key` are.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A client's certificate for this name, signed by the authority.
    pub fn client(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.signer).unwrap().der().clone();
        (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// The same as PEM files: the certificate, and its key.
    pub fn client_files(&self, name: &str) -> [PathBuf; 2] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // OpenSSL takes a certificate whose names are those of its authority for its own authority.
        params.distinguished_name.push(DnType::CommonName, name);
        let paths = ["client.pem", "client.key"].map(|name| self.folder.path().join(name));
        std::fs::write(&paths[0], params.signed_by(&key, &self.signer).unwrap().pem()).unwrap();
        std::fs::write(&paths[1], key.serialize_pem()).unwrap();
        paths
    }

    /// Connects to a server that the authority signed for, with this certificate if there is one.
    pub fn connect(
        &self,
        address: &str,
        client: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.signer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match client {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let connection = ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(super::LONG_TIMEOUT)).unwrap();
        StreamOwned::new(connection, stream)
    }

    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    pub fn other_authority(&self) -> PathBuf {
        self.folder.path().join("other.pem")
    }
}

/// A certificate that is its own authority, as `openssl req -x509` makes it, with its key; and in PEM form.
pub fn own_authority(name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap(), certificate.pem())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server that takes every write over TLS.
pub struct TlsServer {
    pub address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl TlsServer {
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }
}

/// Starts a server that has the certificate.
pub fn server(certificates: &Certificates) -> TlsServer {
    server_with(certificates.certificate.clone(), certificates.key.clone_key())
}

/// The same with this certificate.
pub fn server_with(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> TlsServer {
    answering(certificate, key, |_| reply(204, ""))
}

/// A server that has the certificate, and answers by `script`.
pub fn answering(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    script: impl Fn(&Post) -> Reply + Send + Sync + 'static,
) -> TlsServer {
    let script = Arc::new(script);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let posts = Arc::new(Mutex::new(Vec::new()));
    let seen = posts.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let (seen, script) = (seen.clone(), script.clone());
            thread::spawn(move || {
                let mut reader = BufReader::new(StreamOwned::new(connection, stream));
                while let Some(post) = read_write(&mut reader) {
                    let reply = script(&post);
                    seen.lock().unwrap().push(post);
                    if reader.get_mut().write_all(&reply.to_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    TlsServer { address, posts }
}
