//! Health answers of parts that speak plain HTTP on loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Loopback answers at once; a part that needs longer is not healthy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of an answer that are read: the status line and a short body.
const LONGEST_ANSWER: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to ask {address}")]
    Ask {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to get a good answer from {address}: `{answer}`")]
    Unhealthy { address: SocketAddr, answer: String },
}

/// Asks `path` of the port on loopback and expects status 200.
pub(crate) fn ask(port: u16, path: &str) -> Result<(), Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let answer = get(address, path).map_err(|source| Error::Ask { address, source })?;
    let status_line = answer.lines().next().unwrap_or_default();
    if status_line.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(Error::Unhealthy { address, answer: status_line.to_owned() })
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that answers one request with `answer`.
    fn server(answer: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn an_answer_of_200_is_healthy() {
        ask(server("HTTP/1.1 200 OK\r\n\r\nok"), "/healthz").unwrap();
    }

    #[test]
    fn any_other_answer_is_not() {
        let error = ask(server("HTTP/1.1 503 Service Unavailable\r\n\r\n200"), "/").unwrap_err();
        assert!(error.to_string().contains("503"), "{error}");
    }
}
