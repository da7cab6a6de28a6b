//! The networks that users may come from, as ClickHouse shows them.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// A network such as `10.0.0.0/8`, not all addresses. The address is its first one, as ClickHouse shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network that users may come from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("`{text}` is no network such as `10.0.0.0/8` or `fd00::/8`")]
    Form { text: String },
    #[error("`{text}` is within the server itself, where no user comes from")]
    Loopback { text: String },
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let read = || {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
            let most = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
            (1..=most).contains(&prefix).then(|| Self { address: first(address, prefix), prefix })
        };
        let network = read().ok_or_else(|| NetworkError::Form { text: text.to_owned() })?;
        // ClickHouse shows these as a name.
        if network.address.is_loopback() {
            return Err(NetworkError::Loopback { text: text.to_owned() });
        }
        Ok(network)
    }
}

impl Network {
    fn is_single(self) -> bool {
        match self.address {
            IpAddr::V4(_) => self.prefix == 32,
            IpAddr::V6(_) => self.prefix == 128,
        }
    }
}

/// The first address of a network.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, prefix } = self;
        if self.is_single() { write!(f, "{address}") } else { write!(f, "{address}/{prefix}") }
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
        let Network { address, prefix } = network;
        format!("{address}/{prefix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_shown_by_its_first_address() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.168.1.1/32", "192.168.1.1"),
            ("fd00:1::5/8", "fd00::/8"),
            ("2001:db8::1/128", "2001:db8::1"),
            ("127.0.0.1/7", "126.0.0.0/7"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0.0/-1",
            "db.example.com",
            "' OR '/8",
        ] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Form { .. })), "{text}");
        }
        for text in ["127.0.0.1/32", "127.0.0.0/8", "::1/128"] {
            assert!(matches!(text.parse::<Network>(), Err(NetworkError::Loopback { .. })), "{text}");
        }
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        let network: Network = serde_json::from_str(r#""192.168.1.1/32""#).unwrap();
        assert_eq!(serde_json::to_string(&network).unwrap(), r#""192.168.1.1/32""#);
    }
}
