//! gRPC calls written by hand on HTTP/2: bytes that no generated client sends, and answers before a client's own timer
//! can speak.

use std::net::SocketAddr;
use std::time::Duration;

use h2::RecvStream;
use tokio::net::TcpStream;
use tonic::codegen::{Bytes, http};
use tonic::{Code, Status};

const LIMIT: Duration = Duration::from_secs(60);

/// Calls `rhumb.v1.DriftService/METHOD` with the bytes of one message; the status that the server sent.
pub async fn call(address: SocketAddr, method: &str, headers: &[(&str, &str)], message: &[u8]) -> Status {
    call_late(address, method, headers, message, Duration::ZERO).await
}

/// The same with a pause between the head of the call and its message, as on a slow line.
pub async fn call_late(
    address: SocketAddr,
    method: &str,
    headers: &[(&str, &str)],
    message: &[u8],
    pause: Duration,
) -> Status {
    let call = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(tcp).await.unwrap();
        let connection = tokio::spawn(connection);
        let (response, mut body) = client.send_request(request(address, method, headers), false).unwrap();
        tokio::time::sleep(pause).await;
        // A server whose answer is already there may have closed the call.
        let _ = body.send_data(frame(message), true);
        let status = status(response.await.unwrap()).await;
        connection.abort();
        status
    };
    tokio::time::timeout(LIMIT, call).await.expect("the server did not answer")
}

fn request(address: SocketAddr, method: &str, headers: &[(&str, &str)]) -> http::Request<()> {
    let mut request = http::Request::builder()
        .method("POST")
        .uri(format!("http://{address}/rhumb.v1.DriftService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// A message as gRPC sends it: not compressed, with its length.
fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap();
    let mut bytes = vec![0];
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
    Bytes::from(bytes)
}

/// The status from the headers, where the answer is nothing else, or from the trailers.
async fn status(response: http::Response<RecvStream>) -> Status {
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let length = data.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    Status::from_header_map(&trailers).unwrap_or_else(|| Status::new(Code::Unknown, "no status"))
}
