//! Ports: free ones for private parts, and who listens on those that the shared stack needs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below the kernel's range for outgoing connections (from 32768): none of these can take the port
/// while a private part is down, and a connection to a closed port cannot meet itself.
const PRIVATE: Range<u16> = 20_000..30_000;

/// Ports this program gave out. They are not given twice, even while nothing listens on them.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener {
    /// `None` if it listens on every address.
    address: Option<Ipv4Addr>,
    port: u16,
    inode: u64,
}

impl Listener {
    /// Whether nothing else can listen on `wanted` beside it.
    pub(crate) fn blocks(&self, wanted: SocketAddrV4) -> bool {
        let same_address = self.address.is_none_or(|address| address == *wanted.ip());
        self.port == wanted.port() && same_address
    }

    /// The process that listens; `None` if it belongs to another network or user.
    pub(crate) fn owner(&self, owners: &HashMap<u64, u32>) -> Option<u32> {
        owners.get(&self.inode).copied()
    }
}

/// A port of 127.0.0.1 that nothing listens on now and that this program has not given out.
///
/// # Errors
/// When all are taken.
pub(crate) fn free() -> std::io::Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    let offset = rand::random_range(0..PRIVATE.len());
    // From a random one on, so that programs that run at the same time rarely want the same.
    for port in PRIVATE.cycle().skip(offset).take(PRIVATE.len()) {
        let is_free = || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if !given.contains(&port) && is_free() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, "no free port between 20000 and 30000"))
}

/// Everything that listens on this machine, IPv4 and IPv6.
pub(crate) fn listeners() -> Vec<Listener> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| table.lines().filter_map(listener).collect::<Vec<_>>())
        .collect()
}

/// Whether this process, and not a stranger, listens where it was told to.
pub(crate) fn is_listened_on_by(wanted: SocketAddrV4, pid: u32) -> bool {
    let own = sockets(pid);
    listeners().iter().any(|listener| listener.blocks(wanted) && own.contains(&listener.inode))
}

/// Which process holds which socket, by the sockets' inodes.
pub(crate) fn owners() -> HashMap<u64, u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .flat_map(|pid| sockets(pid).into_iter().map(move |inode| (inode, pid)))
        .collect()
}

/// The program's name of a process, for messages.
pub(crate) fn program(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

fn sockets(pid: u32) -> Vec<u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files
        .filter_map(|file| {
            let target = fs::read_link(file.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// Reads a line of `/proc/net/tcp` (proc(5)): the second field is the local address, the fourth the state,
/// where 0A is listening, the tenth the inode. Addresses are hexadecimal words in the machine's byte order.
fn listener(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
    let (address, port) = local.split_once(':')?;
    Some(Listener {
        address: listened(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: inode.parse().ok()?,
    })
}

/// `Some(None)` for every address. An IPv6 address other than that and a mapped IPv4 one blocks nothing of ours.
fn listened(hexadecimal: &str) -> Option<Option<Ipv4Addr>> {
    let words: Vec<u32> = hexadecimal
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok())
        .collect::<Option<_>>()?;
    let v4 = match words.as_slice() {
        [word] => Ipv4Addr::from(word.to_ne_bytes()),
        [0, 0, 0, 0] => Ipv4Addr::UNSPECIFIED,
        [a, b, c, d] => {
            let bytes: Vec<u8> = [a, b, c, d].iter().flat_map(|word| word.to_ne_bytes()).collect();
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_ipv4_mapped()?
        }
        _ => return None,
    };
    Some((!v4.is_unspecified()).then_some(v4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found_with_its_process() {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let wanted = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let found = listeners().into_iter().find(|listener| listener.blocks(wanted)).unwrap();
        assert_eq!(found.owner(&owners()), Some(std::process::id()));
        assert!(is_listened_on_by(wanted, std::process::id()));
        assert!(!is_listened_on_by(wanted, 1), "the first process of the machine is a stranger");
    }

    #[test]
    fn a_listener_on_every_address_blocks_each() {
        let line = "0: 00000000:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 777 1";
        let listener = listener(line).unwrap();
        assert!(listener.blocks(SocketAddrV4::new(Ipv4Addr::new(10, 244, 255, 1), 9090)));
        assert!(!listener.blocks(SocketAddrV4::new(Ipv4Addr::new(10, 244, 255, 1), 9091)));
    }

    #[test]
    fn a_listener_on_another_address_blocks_nothing() {
        let line = "0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 777 1";
        let listener = listener(line).unwrap();
        assert!(!listener.blocks(SocketAddrV4::new(Ipv4Addr::new(10, 244, 255, 1), 9090)));
        assert!(listener.blocks(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9090)));
    }

    #[test]
    fn a_connection_is_no_listener() {
        let line = "0: 0100007F:2382 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 777 1";
        assert_eq!(listener(line), None);
    }

    #[test]
    fn ports_are_not_given_twice() {
        let ports: HashSet<u16> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| PRIVATE.contains(port)));
    }
}
