//! In which order the table wants rows: by `event_name`, `day`, `cityHash64(distinct_id)` and `id`.
//!
//! A block that arrives in the table's order is not sorted by the server, which takes it for so only if every row
//! is in its place. All but the id is packed into one number a row, since numbers sort fastest; rows of the same
//! number are told apart by their ids. Pure.

use std::collections::HashMap;

use crate::city_hash::city_hash_64;

/// More names than this are forgotten with the rows that had them.
const KEPT_NAMES: usize = 1_024;
/// What a packed key has room for.
const MAX_ROWS: usize = 1 << 24;
/// A power of two.
const RECENT: usize = 64;

/// The keys of some rows.
#[derive(Default)]
pub(crate) struct Order {
    keys: Vec<Key>,
    /// Each name once, in the order of their first rows.
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
    /// Numbers of names that were met lately, by a cheap hash.
    recent: Vec<u32>,
    by_name: Vec<u32>,
    ranks: Vec<u32>,
    packed: Vec<u128>,
}

#[derive(Clone, Copy)]
struct Key {
    hash: u64,
    name: u32,
    day: u16,
}

impl Order {
    /// Appends a row.
    pub(crate) fn push(&mut self, event_name: &str, day: u16, distinct_id: &str) {
        let (hash, name) = (city_hash_64(distinct_id.as_bytes()), self.number_of(event_name));
        self.keys.push(Key { hash, name, day });
    }

    /// Forgets the rows and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        if self.names.len() > KEPT_NAMES {
            (self.names, self.numbers) = Default::default();
            self.recent.clear();
        }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.keys.len()
    }

    /// The bytes that are held.
    pub(crate) fn capacity(&self) -> usize {
        self.keys.capacity() * size_of::<Key>() + self.packed.capacity() * size_of::<u128>()
    }

    /// Writes the rows' numbers in the table's order and forgets the rows; `id` tells a row's id in the order of
    /// ClickHouse. It says whether that is another order than theirs.
    pub(crate) fn sort(&mut self, id: impl Fn(u32) -> u128, rows: &mut Vec<u32>) -> bool {
        rows.clear();
        if self.keys.len() >= MAX_ROWS {
            return false;
        }
        self.rank_names();
        let pack = |(row, key): (usize, &Key)| {
            let (rank, day) = (u128::from(self.ranks[key.name as usize]), u128::from(key.day));
            rank << 104 | day << 88 | u128::from(key.hash) << 24 | row as u128
        };
        self.packed.clear();
        self.packed.extend(self.keys.iter().enumerate().map(pack));
        self.packed.sort_unstable();
        rows.extend(self.packed.iter().map(|packed| *packed as u32 & (MAX_ROWS as u32 - 1)));
        let mut start = 0;
        for same in self.packed.chunk_by(|a, b| a >> 24 == b >> 24) {
            if same.len() > 1 {
                rows[start..start + same.len()].sort_unstable_by_key(|row| id(*row));
            }
            start += same.len();
        }
        // A batch that waits to be stored needs not hold names of which each row has its own.
        self.clear();
        !rows.is_sorted()
    }

    fn rank_names(&mut self) {
        let names = &self.names;
        self.by_name.clear();
        self.by_name.extend(0..names.len() as u32);
        self.by_name.sort_unstable_by_key(|number| &names[*number as usize]);
        self.ranks.resize(names.len(), 0);
        for (rank, number) in (0..).zip(&self.by_name) {
            self.ranks[*number as usize] = rank;
        }
    }

    fn number_of(&mut self, name: &str) -> u32 {
        let bytes = name.as_bytes();
        let edge = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
        let place = (edge(bytes.first()) + 7 * edge(bytes.last()) + 31 * bytes.len()) % RECENT;
        if let Some(number) = self.recent.get(place)
            && self.names.get(*number as usize).is_some_and(|known| **known == *name)
        {
            return *number;
        }
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => {
                let number = self.names.len() as u32;
                self.names.push(name.into());
                self.numbers.insert(name.into(), number);
                number
            }
        };
        self.recent.resize(RECENT, u32::MAX);
        self.recent[place] = number;
        number
    }
}
