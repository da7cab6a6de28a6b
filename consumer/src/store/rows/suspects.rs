//! Rows that an extended table refused with a code that is not listed: whether it is for their values.
//!
//! A view that cannot read a value, a server that is overloaded and one whose table is being altered may all answer so.
//! What passes passes for every row, so a row is refused for its value only if it is refused time after time, while the
//! server takes a row that it has taken before.

use super::{Attempts, Decided, Found, Rows};
use crate::{
    pieces::Pieces,
    retry::{Class, PATIENCE, classify},
};

/// After so many rows the server is asked again whether it stores anything. Each time leaves a copy until a merge.
const TRIED_TOGETHER: usize = 100;

impl Rows<'_> {
    /// Tries the suspected rows again, each alone, until they are stored or known to be refused.
    pub(super) async fn try_again(&mut self, found: &mut Found) {
        for round in 1..PATIENCE {
            if found.suspected.is_empty() {
                return;
            }
            tokio::time::sleep(self.delay(Class::Unlisted, round)).await;
            let suspected = std::mem::take(&mut found.suspected);
            for rows in suspected.chunks(TRIED_TOGETHER) {
                if let Some(stored) = found.stored {
                    self.store_again(stored).await;
                }
                for row in rows {
                    self.try_alone(*row, found).await;
                }
            }
        }
        found.refused.append(&mut found.suspected);
    }

    async fn try_alone(&mut self, row: usize, found: &mut Found) {
        let rows = row..row + 1;
        let mut pieces = Pieces::of(std::slice::from_ref(&rows));
        match self.insert_piece(rows, &mut pieces).await {
            Decided::Stored => found.stored = Some(row),
            Decided::Refused => found.refused.push(row),
            // One row has no halves.
            Decided::Suspected | Decided::Halved => found.suspected.push(row),
        }
    }

    /// Inserts a row that is stored until the server takes it again, or says that it looks at values.
    async fn store_again(&mut self, row: usize) {
        let rows = row..row + 1;
        self.doubted_before = self.doubted_before.max(rows.end);
        let mut attempts = Attempts::default();
        while let Err(failure) = self.attempt(&rows, &attempts).await {
            let class = attempts.failures.add(classify(&failure));
            if class == Class::Poison {
                return;
            }
            self.wait(&failure, class, rows.len(), &attempts.failures).await;
        }
    }
}
