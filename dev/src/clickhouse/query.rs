//! One question over HTTP, for health checks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use super::user::User;

/// A ClickHouse on this machine answers a constant in milliseconds, and in a second under a full load.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read: a version, or an error.
const LONGEST_ANSWER: u64 = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to ask ClickHouse at {address}")]
    Ask {
        address: SocketAddrV4,
        #[source]
        source: io::Error,
    },
    #[error("failed to get a good answer from ClickHouse at {address}: {answer}")]
    Refused { address: SocketAddrV4, answer: String },
}

/// The body of the answer to `sql`.
pub(super) fn ask(address: SocketAddrV4, user: &User, sql: &str) -> Result<String, Error> {
    let answer = exchange(address, user, sql).map_err(|source| Error::Ask { address, source })?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.0 200 ") || head.starts_with("HTTP/1.1 200 ") => {
            Ok(body.to_owned())
        }
        Some(_) | None => {
            Err(Error::Refused { address, answer: answer.lines().last().unwrap_or("").to_owned() })
        }
    }
}

/// HTTP/1.0: the body then is not split into chunks and ends with the connection.
fn exchange(address: SocketAddrV4, user: &User, sql: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let User { name, password } = user;
    let length = sql.len();
    let request = format!(
        "POST / HTTP/1.0\r\nHost: {address}\r\nX-ClickHouse-User: {name}\r\nX-ClickHouse-Key: {password}\r\n\
         Content-Length: {length}\r\n\r\n{sql}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    fn asked(answer: &'static str) -> Result<String, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"SELECT 1") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let user = User { name: "millrace".to_owned(), password: "secret".to_owned() };
        ask(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), &user, "SELECT 1")
    }

    #[test]
    fn a_good_answer_is_its_body() {
        assert_eq!(asked("HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\n1\n").unwrap(), "1\n");
    }

    #[test]
    fn a_refusal_repeats_the_reason() {
        let error = asked("HTTP/1.0 403 Forbidden\r\n\r\nCode: 516. Authentication failed").unwrap_err();
        assert!(error.to_string().ends_with("Authentication failed"), "{error}");
    }
}
