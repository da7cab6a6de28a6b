//! One request of Kafka's wire protocol and its answer (<https://kafka.apache.org/protocol#protocol_network>), for what
//! librdkafka's safe interface lacks.

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends a request over a connection of its own, without encryption, and returns the answer from its header on.
pub(super) async fn exchange(broker: &str, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(broker).await.with_context(|| format!("failed to reach {broker}"))?;
    stream.write_all(&u32::try_from(request.len())?.to_be_bytes()).await?;
    stream.write_all(request).await?;
    let length = stream.read_u32().await?;
    ensure!(length < 1_000_000, "the answer has {length} bytes");
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// What is left of an answer.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).context("the answer is too short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> anyhow::Result<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = usize::from(self.take(1)?[0]);
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        bail!("a length without an end")
    }

    pub(super) fn array_length(&mut self) -> anyhow::Result<usize> {
        Ok(self.varint()?.saturating_sub(1))
    }

    pub(super) fn text(&mut self) -> anyhow::Result<&'a [u8]> {
        let length = self.array_length()?;
        self.take(length)
    }

    pub(super) fn tagged_fields(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length)?;
        }
        Ok(())
    }
}
