//! Against a server with a certificate of its own authority.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use super::*;

/// An authority, and a certificate that it signed for `localhost`.
struct Certificates {
    ca_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn certificates() -> Certificates {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let ca_pem = authority.self_signed(&authority_key).unwrap().pem();
    let server_key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let signed = server.signed_by(&server_key, &Issuer::new(authority, authority_key)).unwrap();
    let key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
    Certificates { ca_pem, chain: vec![signed.der().clone()], key }
}

/// Answers one connection as ClickHouse answers `/ping`, if the client trusts it.
fn answer_once(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = Stream::new(&mut tls, &mut socket);
        let mut request = [0; 1_024];
        let is_ping = stream.read(&mut request).is_ok_and(|_| request.starts_with(b"GET /ping HTTP/1.1\r\n"));
        if is_ping {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nOk.\n").unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_server_is_asked_whose_certificate_a_private_authority_signed() {
    let Certificates { ca_pem, chain, key } = certificates();
    let url = |address: SocketAddr| format!("https://localhost:{}/", address.port());
    let trusting = answer_once(chain.clone(), key.clone_key());
    assert!(Ping::new(&url(trusting), Some(&ca_pem)).unwrap().is_answered().await);
    let distrusted = answer_once(chain, key);
    let other_authority = certificates().ca_pem;
    assert!(!Ping::new(&url(distrusted), Some(&other_authority)).unwrap().is_answered().await);
}

#[tokio::test]
async fn an_authority_that_is_none_is_told_at_the_start() {
    for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        for url in ["https://localhost:8443", "http://localhost:8123"] {
            let failure = Ping::new(url, Some(pem)).unwrap_err();
            assert!(failure.to_string().contains("ClickHouse's authority certificate"), "{failure}");
        }
    }
}
