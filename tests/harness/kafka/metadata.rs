//! Kafka's own id of a topic, asked with one request of the wire protocol
//! (<https://kafka.apache.org/protocol#The_Messages_Metadata>, version 12), independently of librdkafka.

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

const METADATA: i16 = 3;
const VERSION: i16 = 12;

/// The id of a topic, asked from one broker without encryption.
///
/// # Errors
/// When the broker does not answer, or has no such topic.
pub async fn topic_id(broker: &str, topic: &str) -> anyhow::Result<Uuid> {
    let mut stream = TcpStream::connect(broker).await.with_context(|| format!("failed to reach {broker}"))?;
    let request = request(topic)?;
    stream.write_all(&u32::try_from(request.len())?.to_be_bytes()).await?;
    stream.write_all(&request).await?;
    let length = stream.read_u32().await?;
    ensure!(length < 1_000_000, "the answer has {length} bytes");
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await?;
    read_answer(&mut Reader { rest: &answer }, topic)
}

fn request(topic: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.extend(METADATA.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes()); // correlation id
    bytes.extend(5_i16.to_be_bytes());
    bytes.extend(b"tests"); // client id
    bytes.push(0); // tagged fields of the header
    bytes.push(2); // one topic
    bytes.extend([0; 16]); // asked by name
    push_varint(&mut bytes, topic.len() + 1)?;
    bytes.extend(topic.as_bytes());
    bytes.push(0); // tagged fields of the topic
    bytes.push(0); // topics are not made
    bytes.push(0); // nor are permissions told
    bytes.push(0); // tagged fields
    Ok(bytes)
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn push_varint(bytes: &mut Vec<u8>, mut value: usize) -> anyhow::Result<()> {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f)? | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value)?);
    Ok(())
}

fn read_answer(reader: &mut Reader<'_>, topic: &str) -> anyhow::Result<Uuid> {
    reader.take(4)?; // correlation id
    reader.tagged_fields()?;
    reader.take(4)?; // throttle time
    for _ in 0..reader.array_length()? {
        reader.take(4)?; // node id
        reader.text()?; // host
        reader.take(4)?; // port
        reader.text()?; // rack
        reader.tagged_fields()?;
    }
    reader.text()?; // cluster id
    reader.take(4)?; // controller id
    ensure!(reader.array_length()? == 1, "one topic was asked for");
    let code = i16::from_be_bytes(reader.take(2)?.try_into()?);
    let name = reader.text()?;
    let id = Uuid::from_slice(reader.take(16)?)?;
    if code != 0 || name != topic.as_bytes() {
        bail!("the broker answers code {code} for `{topic}`");
    }
    Ok(id)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
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

    fn array_length(&mut self) -> anyhow::Result<usize> {
        Ok(self.varint()?.saturating_sub(1))
    }

    fn text(&mut self) -> anyhow::Result<&'a [u8]> {
        let length = self.array_length()?;
        self.take(length)
    }

    fn tagged_fields(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length)?;
        }
        Ok(())
    }
}
