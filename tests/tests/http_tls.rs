//! The HTTP side over TLS: the same certificate and authorities as the gRPC side.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;

use rhumb_tests::HttpServer;
use rhumb_tests::authority::Authority;
use rhumb_tests::http::{Answer, Http, with_http};
use rhumb_tests::samples::aligned;
use rhumb_tests::server::Server;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A client that trusts the authority and shows a certificate, or none.
fn client(authority: &Authority, own: Option<(&str, &str)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// `None` where the connection is refused.
async fn call(
    http: &HttpServer,
    client: &TlsConnector,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<Answer> {
    let tcp = TcpStream::connect(http.address).await.ok()?;
    let stream = client.connect(ServerName::try_from("localhost").unwrap(), tcp).await.ok()?;
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    let method = if path == "/readyz" { "GET" } else { "POST" };
    Http::new(stream).call(method, path, &all, aligned("tls").to_string().as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_says_who_asks_and_without_one_there_is_no_connection() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, key, fingerprint) = authority.issue("point");
    let (other, other_key, _) = authority.issue("other");
    let (foreign, foreign_key, _) = stranger.issue("point");
    let (config, address) = with_http(&format!(
        "{}[[callers]]\nname = \"point\"\ncertificate_sha256 = {fingerprint:?}\nmay = [\"score\"]\n",
        authority.write(folder.path())
    ));
    let mut http = HttpServer { server: Server::spawn(&config), address };
    let known = client(&authority, Some((&certificate, &key)));
    while call(&http, &known, "/readyz", &[]).await.is_none_or(|answer| answer.status != 200) {
        assert!(http.server.is_running(), "{}", http.server.stderr());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let answer = call(&http, &known, "/v1/score", &[]).await.unwrap();
    assert_eq!((answer.status, answer.json()["verdict"].as_str()), (200, Some("ALLOW")), "{}", answer.text());
    let status = async |client: TlsConnector, headers: &[(&str, &str)]| {
        call(&http, &client, "/v1/score", headers).await.map(|answer| answer.status)
    };
    assert_eq!(status(client(&authority, Some((&other, &other_key))), &[]).await, Some(401));
    assert_eq!(
        status(known.clone(), &[("x-api-key", "guess")]).await,
        Some(401),
        "a wrong token is not made up for"
    );
    let intents = call(&http, &known, "/v1/intents", &[]).await.unwrap();
    assert_eq!(intents.status, 403, "{}", intents.text());
    assert_eq!(status(client(&authority, Some((&foreign, &foreign_key))), &[]).await, None);
    assert_eq!(status(client(&authority, None), &[]).await, None);
    let plain = http.connect().await.call("GET", "/healthz", &[], b"").await;
    assert!(plain.is_none(), "plain text is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_is_named_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Authority::new().write(folder.path());
    std::fs::write(folder.path().join("server.pem"), "no certificate").unwrap();
    let (config, _) = with_http(&tls);
    let mut server = Server::spawn(&config);
    assert_eq!(server.wait().code(), Some(2));
    assert!(server.stderr().contains("server.pem"), "{}", server.stderr());
}
