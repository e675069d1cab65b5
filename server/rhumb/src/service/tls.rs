//! TLS of the HTTP side, from the same files as that of the gRPC side, with the provider that tonic brings.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::config::TlsConfig;
use crate::failure::Failure;

/// What accepts TLS connections; with `client_ca` only from clients with a certificate of theirs.
///
/// # Errors
/// Names the file that cannot be used.
pub fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, Failure> {
    let fail = |e: &dyn std::error::Error| Failure::input(format!("server.tls: {e}"));
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| fail(&e))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| unusable(path, &e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|e| unusable(path, &e))?)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(&read(&config.key)?).map_err(|e| unusable(&config.key, &e))?;
    let chain = certificates(&config.certificate)?;
    let mut tls = builder.with_single_cert(chain, key).map_err(|e| fail(&e))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all.map_err(|e| unusable(path, &e))? {
        none if none.is_empty() => Err(Failure::input(format!("{}: holds no certificate", path.display()))),
        all => Ok(all),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(Failure::file(path))
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::input(format!("{}: {error}", path.display()))
}
