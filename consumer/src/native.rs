//! ClickHouse's Native format: one block, column by column.
//!
//! A block is the number of columns, the number of rows, then of each column its name, its type and its values;
//! numbers of variable length are LEB128, texts carry their length in front
//! (<https://clickhouse.com/docs/reference/interfaces/specs/NativeFormat>). Without a `client_protocol_version`
//! in the request there is nothing else. Columns are kept as they go over the wire, so that encoding a block
//! copies none of them. Pure.

use std::{ops::Range, vec};

use bytes::Bytes;

/// Appends an unsigned LEB128 number.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a text as a value of type String: its length, then its bytes.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_varint(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Where the texts of `rows` lie in a column of texts. It walks over the lengths, which only a block that was
/// cut needs: a whole column is known without.
pub(crate) fn span_of_texts(column: &[u8], rows: Range<usize>) -> Range<usize> {
    let mut at = 0;
    for _ in 0..rows.start {
        at = end_of_text(column, at);
    }
    let start = at;
    for _ in rows {
        at = end_of_text(column, at);
    }
    start..at
}

/// Where the text that begins at a place ends, its length included.
pub(crate) fn end_of_text(column: &[u8], mut at: usize) -> usize {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = column[at];
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return at + length;
        }
        shift += 7;
    }
}

/// A block that is ready to be sent, as often as it takes.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    rows: usize,
    chunks: Vec<Bytes>,
}

impl Block {
    /// A block of so many columns and rows whose columns are still to be pushed.
    pub(crate) fn new(columns: usize, rows: usize) -> Self {
        let mut head = Vec::with_capacity(8);
        push_varint(&mut head, columns as u64);
        push_varint(&mut head, rows as u64);
        Self { rows, chunks: vec![Bytes::from(head)] }
    }

    /// Appends the name and the type of the next column.
    pub(crate) fn push_head(&mut self, name: &str, kind: &str) {
        let mut head = Vec::with_capacity(name.len() + kind.len() + 4);
        push_text(&mut head, name.as_bytes());
        push_text(&mut head, kind.as_bytes());
        self.chunks.push(Bytes::from(head));
    }

    /// Appends values of the column.
    pub(crate) fn push_values(&mut self, values: Bytes) {
        if !values.is_empty() {
            self.chunks.push(values);
        }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The number of bytes on the wire.
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// The bytes, in order.
    pub(crate) fn into_chunks(self) -> vec::IntoIter<Bytes> {
        self.chunks.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_variable_length_are_leb128() {
        for (number, expected) in [
            (0, vec![0]),
            (127, vec![127]),
            (128, vec![128, 1]),
            (300, vec![172, 2]),
            (u64::MAX, [vec![255; 9], vec![1]].concat()),
        ] {
            let mut out = Vec::new();
            push_varint(&mut out, number);
            assert_eq!(out, expected, "{number}");
        }
    }

    proptest! {
        #[test]
        fn a_span_of_texts_is_what_those_texts_encode_to(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let (a, b) = (cut.0.index(texts.len() + 1), cut.1.index(texts.len() + 1));
            let rows = a.min(b)..a.max(b);
            let encode = |texts: &[Vec<u8>]| {
                let mut out = Vec::new();
                texts.iter().for_each(|text| push_text(&mut out, text));
                out
            };
            let all = encode(&texts);
            prop_assert_eq!(&all[span_of_texts(&all, rows.clone())], &encode(&texts[rows])[..]);
        }
    }
}
