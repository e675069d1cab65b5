//! Where the load may go: to this machine alone. A flood that leaves it is an attack on somebody.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use tonic::transport::Uri;

/// The address behind `http://HOST:PORT`.
///
/// # Errors
/// A URL of another form, or a host that is not this machine's loopback.
pub fn loopback(url: &str) -> Result<SocketAddr, String> {
    let form = || format!("--server {url}: must be http://ADDRESS:PORT, for example http://127.0.0.1:50051");
    let uri: Uri = url.parse().map_err(|_| form())?;
    let (Some("http"), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16()) else {
        return Err(form());
    };
    let refused =
        || format!("--server {url}: only loopback addresses are accepted; run the load beside the server");
    let addresses = addresses(host.trim_matches(['[', ']']), port).ok_or_else(refused)?;
    // The caller dials the address that was checked, not the name.
    let first = addresses.first().copied().filter(|_| addresses.iter().all(|a| a.ip().is_loopback()));
    first.ok_or_else(refused)
}

/// No name but `localhost` is looked up: a look-up would itself leave the machine.
fn addresses(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Some(vec![SocketAddr::new(ip, port)]),
        Err(_) if host == "localhost" => (host, port).to_socket_addrs().ok().map(Iterator::collect),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_accepted() {
        for url in
            ["http://127.0.0.1:50051", "http://127.9.9.9:1", "http://[::1]:50051", "http://localhost:80"]
        {
            assert!(loopback(url).unwrap().ip().is_loopback(), "{url}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for url in ["http://10.0.0.1:50051", "http://0.0.0.0:50051", "http://example.com:80", "http://[::]:1"]
        {
            assert!(loopback(url).unwrap_err().contains("only loopback"), "{url}");
        }
        for url in ["127.0.0.1:50051", "https://127.0.0.1:1", "http://127.0.0.1", "", "unix:/tmp/x"] {
            assert!(loopback(url).unwrap_err().contains("must be http://"), "{url}");
        }
    }
}
