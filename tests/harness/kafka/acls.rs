//! What a user may do, told to one broker with a request of the wire protocol
//! (<https://kafka.apache.org/protocol#The_Messages_CreateAcls>, version 1), which librdkafka's safe interface lacks.

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const CREATE_ACLS: i16 = 30;
const VERSION: i16 = 1;
const CORRELATION: i32 = 1;

const PREFIXED: u8 = 4;
const ALLOW: u8 = 3;

/// A kind of resource that rights are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Topic,
    Group,
}

/// An operation on all resources of a kind whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    pub resource: Resource,
    pub prefix: String,
    /// As Kafka's documentation spells it.
    pub operation: String,
}

impl Right {
    fn write(&self, user: &str, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
        bytes.push(match self.resource {
            Resource::Topic => 2,
            Resource::Group => 3,
        });
        push_text(bytes, &self.prefix)?;
        bytes.push(PREFIXED);
        push_text(bytes, &format!("User:{user}"))?;
        push_text(bytes, "*")?;
        bytes.push(code(&self.operation)?);
        bytes.push(ALLOW);
        Ok(())
    }
}

/// The number of an operation (`org.apache.kafka.common.acl.AclOperation`).
fn code(operation: &str) -> anyhow::Result<u8> {
    Ok(match operation {
        "Read" => 3,
        "Write" => 4,
        "Create" => 5,
        "Delete" => 6,
        "Alter" => 7,
        "Describe" => 8,
        "DescribeConfigs" => 10,
        "AlterConfigs" => 11,
        other => bail!("`{other}` is no operation on topics or groups"),
    })
}

/// Lets a user do this from anywhere. The connection has to be one of a super user.
///
/// # Errors
/// When the broker does not answer or refuses.
pub async fn allow(broker: &str, user: &str, rights: &[Right]) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(broker).await.with_context(|| format!("failed to reach {broker}"))?;
    let request = request(user, rights)?;
    stream.write_all(&u32::try_from(request.len())?.to_be_bytes()).await?;
    stream.write_all(&request).await?;
    let length = stream.read_u32().await?;
    ensure!(length < 1_000_000, "the answer has {length} bytes");
    ensure!(stream.read_i32().await? == CORRELATION, "the answer is to another request");
    let _throttle_ms = stream.read_i32().await?;
    ensure!(stream.read_i32().await? == i32::try_from(rights.len())?, "an answer for each right");
    for right in rights {
        let code = stream.read_i16().await?;
        let length = stream.read_i16().await?;
        let mut message = vec![0; usize::try_from(length).unwrap_or(0)];
        stream.read_exact(&mut message).await?;
        ensure!(code == 0, "{right:?}: code {code}, {}", String::from_utf8_lossy(&message));
    }
    Ok(())
}

fn request(user: &str, rights: &[Right]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.extend(CREATE_ACLS.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(CORRELATION.to_be_bytes());
    push_text(&mut bytes, "tests")?; // client id
    bytes.extend(i32::try_from(rights.len())?.to_be_bytes());
    for right in rights {
        right.write(user, &mut bytes)?;
    }
    Ok(bytes)
}

fn push_text(bytes: &mut Vec<u8>, text: &str) -> anyhow::Result<()> {
    bytes.extend(i16::try_from(text.len())?.to_be_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}
