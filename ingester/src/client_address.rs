//! The address of the client, behind the proxies that the process was told to trust. Pure.

use std::{net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// A range of addresses, such as `10.0.0.0/8` or `fd00::/8`; an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// A text that is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a network is written as an address and a prefix length, for example 10.0.0.0/8")]
pub struct NetworkError;

impl Network {
    /// Whether an address lies in the range.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => same_prefix(
                u128::from(u32::from(base)) << 96,
                u128::from(u32::from(address)) << 96,
                self.prefix,
            ),
            (IpAddr::V6(base), IpAddr::V6(address)) => same_prefix(base.into(), address.into(), self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn same_prefix(base: u128, address: u128, prefix: u8) -> bool {
    let difference = base ^ address;
    difference.leading_zeros() >= u32::from(prefix)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.parse().map_err(|_| NetworkError)?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse).map_err(|_| NetworkError)?;
        if prefix > longest { Err(NetworkError) } else { Ok(Self { base, prefix }) }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.base, network.prefix)
    }
}

/// The client's address: the connection's, or, if that is a trusted proxy's, the last address of
/// `X-Forwarded-For` that no trusted proxy has. Earlier ones are what the client itself may have written.
pub(crate) fn client_address(peer: IpAddr, forwarded_for: Option<&str>, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    for hop in forwarded_for.unwrap_or_default().rsplit(',') {
        if !is_trusted(client) {
            break;
        }
        let Ok(before) = hop.trim().parse::<IpAddr>() else { break };
        client = before.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded_for: Option<&str>, expected: &str) {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        let address = client_address(peer.parse().unwrap(), forwarded_for, &trusted);
        assert_eq!(address.to_string(), expected, "{peer} {forwarded_for:?}");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        check("203.0.113.7", None, "203.0.113.7");
        check("203.0.113.7", Some("198.51.100.1"), "203.0.113.7");
        check("10.1.2.3", Some("198.51.100.1"), "198.51.100.1");
        check("::ffff:10.1.2.3", Some("2001:db8::1"), "2001:db8::1");
        check("fd00::1", Some("1.1.1.1, 198.51.100.1, 10.9.9.9"), "198.51.100.1");
        check("10.1.2.3", Some("1.1.1.1, <script>"), "10.1.2.3");
        check("10.1.2.3", Some("10.4.4.4"), "10.4.4.4");
        check("10.1.2.3", None, "10.1.2.3");
    }

    #[test]
    fn networks_are_read() {
        for (text, is_read) in [
            ("10.0.0.0/8", true),
            ("::/0", true),
            ("10.0.0.1", true),
            ("10.0.0.0/33", false),
            ("x/8", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Network>().is_ok(), is_read, "{text}");
        }
        let everything: Network = "0.0.0.0/0".parse().unwrap();
        assert!(everything.contains("203.0.113.7".parse().unwrap()));
        assert!(!everything.contains("::1".parse().unwrap()));
    }
}
