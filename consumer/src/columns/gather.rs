//! Brings the values of columns into another order. Pure.

use crate::native::end_of_text;

/// Buffers that are used again.
#[derive(Default)]
pub(super) struct Gather {
    /// The rows in their new order.
    pub(super) rows: Vec<u32>,
    starts: Vec<usize>,
    out: Vec<u8>,
}

impl Gather {
    pub(super) fn capacity(&self) -> usize {
        self.rows.capacity() * size_of::<u32>()
            + self.starts.capacity() * size_of::<usize>()
            + self.out.capacity()
    }

    /// A column of so many bytes a row.
    pub(super) fn fixed(&mut self, column: &mut Vec<u8>, width: usize) {
        if is_same_everywhere(column, width) {
            return;
        }
        match width {
            2 => self.arrays::<2>(column),
            8 => self.arrays::<8>(column),
            16 => self.arrays::<16>(column),
            other => {
                self.out.clear();
                for row in &self.rows {
                    let at = *row as usize * other;
                    self.out.extend_from_slice(&column[at..at + other]);
                }
                self.give_back(column);
            }
        }
    }

    fn arrays<const WIDTH: usize>(&mut self, column: &mut Vec<u8>) {
        let (values, _) = column.as_chunks::<WIDTH>();
        self.out.clear();
        self.out.extend(self.rows.iter().flat_map(|row| values[*row as usize]));
        self.give_back(column);
    }

    /// A column of texts, one a row.
    pub(super) fn texts(&mut self, column: &mut Vec<u8>) {
        if column.is_empty() || is_same_everywhere(column, end_of_text(column, 0)) {
            return;
        }
        self.starts.clear();
        self.starts.push(0);
        let mut at = 0;
        while at < column.len() {
            at = end_of_text(column, at);
            self.starts.push(at);
        }
        self.spans(column);
    }

    /// The keys or the values of maps. `ends` are the numbers of entries up to and with each row, as they were.
    pub(super) fn entries(&mut self, column: &mut Vec<u8>, ends: &[u8]) {
        self.starts.clear();
        self.starts.push(0);
        let (mut at, mut passed) = (0, 0);
        for end in ends.as_chunks::<8>().0 {
            while passed < u64::from_le_bytes(*end) {
                at = end_of_text(column, at);
                passed += 1;
            }
            self.starts.push(at);
        }
        // Rows that all have the same keys leave them as they are.
        let first = self.starts.get(1).copied().unwrap_or(0);
        let is_regular = first > 0
            && column.len() == first * (self.starts.len() - 1)
            && is_same_everywhere(column, first)
            && self.starts.iter().zip(0..).all(|(start, row)| *start == first * row);
        if !is_regular {
            self.spans(column);
        }
    }

    /// The numbers of entries up to and with each row.
    pub(super) fn ends(&mut self, ends: &mut Vec<u8>) {
        let (values, _) = ends.as_chunks::<8>();
        let end = |row: usize| u64::from_le_bytes(values[row]);
        self.out.clear();
        let mut sum = 0;
        for row in &self.rows {
            let row = *row as usize;
            sum += end(row) - if row == 0 { 0 } else { end(row - 1) };
            self.out.extend_from_slice(&sum.to_le_bytes());
        }
        self.give_back(ends);
    }

    fn spans(&mut self, column: &mut Vec<u8>) {
        self.out.clear();
        for row in &self.rows {
            let row = *row as usize;
            self.out.extend_from_slice(&column[self.starts[row]..self.starts[row + 1]]);
        }
        self.give_back(column);
    }

    /// Copied and not swapped, or each column's buffer would grow to the largest one's size.
    fn give_back(&self, column: &mut Vec<u8>) {
        column.clear();
        column.extend_from_slice(&self.out);
    }
}

/// Whether a column repeats its first value, which many do.
fn is_same_everywhere(column: &[u8], width: usize) -> bool {
    column.len().is_multiple_of(width) && column[..column.len() - width] == column[width..]
}
