//! The health check: a broker that lists itself in its metadata serves clients.
//!
//! A broker that still starts, or that its controller does not know yet, refuses the connection or lists no broker.
//! The request is version 1 of `Metadata` for no topic (<https://kafka.apache.org/protocol#The_Messages_Metadata>).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// A broker on this machine answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer about one broker and no topic has some 40 bytes.
const LONGEST_ANSWER: u32 = 64 * 1024;

/// Size, key 3, version 1, correlation id 7, no client id, and an empty list of topics.
const REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xFF, 0xFF, 0, 0, 0, 0];

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to ask {address} for its metadata")]
    Ask {
        address: SocketAddrV4,
        #[source]
        source: io::Error,
    },
    #[error("failed to find a broker at {address}: it knows of none yet")]
    NoBroker { address: SocketAddrV4 },
}

/// Asks the listener in the clear.
pub(super) fn ask(address: SocketAddrV4) -> Result<(), Error> {
    let answer = exchange(address).map_err(|source| Error::Ask { address, source })?;
    if brokers(&answer).unwrap_or(0) == 0 {
        return Err(Error::NoBroker { address });
    }
    Ok(())
}

fn exchange(address: SocketAddrV4) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&REQUEST)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = u32::from_be_bytes(size);
    if size > LONGEST_ANSWER {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not Kafka"));
    }
    let mut answer = Vec::new();
    stream.take(u64::from(size)).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The answer begins with our correlation id and the number of brokers.
fn brokers(answer: &[u8]) -> Option<i32> {
    let (id, rest) = answer.split_first_chunk::<4>()?;
    let (count, _) = rest.split_first_chunk::<4>()?;
    (*id == [0, 0, 0, 7]).then(|| i32::from_be_bytes(*count))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    fn broker(answer: &'static [u8]) -> SocketAddrV4 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
            stream.write_all(answer).unwrap();
        });
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
    }

    #[test]
    fn a_broker_that_lists_itself_is_ready() {
        ask(broker(&[0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 1])).unwrap();
    }

    #[test]
    fn a_broker_that_lists_none_is_not() {
        let error = ask(broker(&[0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0])).unwrap_err();
        assert!(matches!(error, Error::NoBroker { .. }));
    }

    #[test]
    fn something_else_on_the_port_is_not_kafka() {
        let error = ask(broker(b"HTTP/1.1 400 Bad Request\r\n\r\n")).unwrap_err();
        assert!(matches!(error, Error::Ask { .. }));
    }
}
