//! An authority of certificates, for tests of TLS.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sha2::{Digest as _, Sha256};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::server::Server;

/// SHA-256 in hexadecimal digits.
pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// One that nobody knows yet.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Certificate and key of a name, PEM, and the digest of the certificate.
    pub fn issue(&self, name: &str) -> (String, String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem(), digest(certificate.der()))
    }

    /// Writes a server's certificate, its key and the authority itself; the `[server.tls]` that uses them.
    pub fn write(&self, folder: &Path) -> String {
        let (certificate, key, _) = self.issue("localhost");
        for (name, text) in [("server.pem", certificate), ("server.key", key), ("ca.pem", self.issuer.pem())]
        {
            fs::write(folder.join(name), text).unwrap();
        }
        let at = |name: &str| folder.join(name);
        format!(
            "[server.tls]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n",
            at("server.pem"),
            at("server.key"),
            at("ca.pem")
        )
    }

    /// The authority itself, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A gRPC connection with a certificate and its key.
    pub async fn connect(
        &self,
        server: &Server,
        own: (&str, &str),
    ) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(self.issuer.pem()))
            .identity(Identity::from_pem(own.0, own.1));
        let url = format!("https://localhost:{}", server.address().port());
        Channel::from_shared(url).unwrap().tls_config(tls)?.connect().await
    }
}
