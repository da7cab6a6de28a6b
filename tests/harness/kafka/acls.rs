//! What a user may do, told to one broker with a request of the wire protocol
//! (<https://kafka.apache.org/protocol#The_Messages_CreateAcls>, version 1), which librdkafka's safe interface lacks.

use anyhow::{bail, ensure};

use super::wire::{Reader, exchange};

const CREATE_ACLS: i16 = 30;
const VERSION: i16 = 1;

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
    let answer = exchange(broker, &request(user, rights)?).await?;
    let mut reader = Reader { rest: &answer };
    reader.take(4)?; // correlation id
    reader.take(4)?; // throttle time
    let answers = i32::from_be_bytes(reader.take(4)?.try_into()?);
    ensure!(usize::try_from(answers)? == rights.len(), "an answer for each right");
    for right in rights {
        let code = i16::from_be_bytes(reader.take(2)?.try_into()?);
        // None has the length -1.
        let length = i16::from_be_bytes(reader.take(2)?.try_into()?);
        let message = reader.take(usize::try_from(length).unwrap_or(0))?;
        ensure!(code == 0, "{right:?}: code {code}, {}", String::from_utf8_lossy(message));
    }
    Ok(())
}

fn request(user: &str, rights: &[Right]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.extend(CREATE_ACLS.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes()); // correlation id
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
