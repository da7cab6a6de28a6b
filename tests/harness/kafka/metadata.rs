//! Kafka's own id of a topic, asked with one request of the wire protocol
//! (<https://kafka.apache.org/protocol#The_Messages_Metadata>, version 12), independently of librdkafka.

use anyhow::{bail, ensure};
use uuid::Uuid;

use super::wire::{Reader, exchange};

const METADATA: i16 = 3;
const VERSION: i16 = 12;

/// The id of a topic, asked from one broker without encryption.
///
/// # Errors
/// When the broker does not answer, or has no such topic.
pub async fn topic_id(broker: &str, topic: &str) -> anyhow::Result<Uuid> {
    let answer = exchange(broker, &request(topic)?).await?;
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
