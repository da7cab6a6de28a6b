//! Whose turn it is to send a statement: a few at a time, and fewer about databases that were slow lately.
//!
//! A statement about a table that somebody locked, or whose disk hangs, has its turn until the deadline. So that a few
//! such databases do not take all turns from the others, those that were slow share a small part of them. This decides
//! when a statement is sent, or that it is tried again later, and nothing else.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use schema::names::DatabaseName;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

/// How many turns there are, and who is slow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Statements at one time. As many as tenants are looked at at a time: nobody waits for a tenant that hangs.
    pub(crate) statements: usize,
    /// Those of them that may be about slow databases. Reads and changes together leave half of the looks to others.
    pub(crate) of_slow: usize,
    /// How long a statement waits for its turn. One that waits keeps a look at another tenant from beginning.
    pub(crate) wait: Duration,
    /// A database is slow when a statement about it takes longer; a healthy one answers within milliseconds.
    pub(crate) slow_after: Duration,
    /// How long a database counts as slow: longer than the longest time until a tenant that failed is looked at again.
    pub(crate) slow_for: Duration,
}

pub(crate) const LIMITS: Limits = Limits {
    statements: 8,
    of_slow: 2,
    wait: Duration::from_secs(5),
    slow_after: Duration::from_secs(5),
    slow_for: Duration::from_secs(6 * 60),
};

/// The turns of one sort of statements.
#[derive(Debug)]
pub(super) struct Turns {
    limits: Limits,
    all: Semaphore,
    of_slow: Semaphore,
    /// Until when a database counts as slow. Those whose time is over go when another one is noted.
    slow: Mutex<HashMap<DatabaseName, Instant>>,
}

/// A turn. However it ends, a long one makes its database a slow one.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    database: &'a DatabaseName,
    since: Instant,
    /// The semaphores are never closed; without a permit the statement would only be one too many.
    _permits: [Option<SemaphorePermit<'a>>; 2],
}

impl Turns {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: Semaphore::new(limits.statements),
            of_slow: Semaphore::new(limits.of_slow),
            slow: Mutex::default(),
        }
    }

    /// How long [`Self::next`] waits.
    pub(super) fn wait(&self) -> Duration {
        self.limits.wait
    }

    /// Waits for a turn; none if it does not come in time.
    pub(super) async fn next<'a>(&'a self, database: &'a DatabaseName) -> Option<Turn<'a>> {
        timeout(self.limits.wait, self.turn(database)).await.ok()
    }

    async fn turn<'a>(&'a self, database: &'a DatabaseName) -> Turn<'a> {
        // The small part first: whoever waits for that does not stand in the way of others.
        let of_slow = if self.is_slow(database) { self.of_slow.acquire().await.ok() } else { None };
        let of_all = self.all.acquire().await.ok();
        Turn { turns: self, database, since: Instant::now(), _permits: [of_slow, of_all] }
    }

    fn is_slow(&self, database: &DatabaseName) -> bool {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.get(database).is_some_and(|until| *until > Instant::now())
    }

    fn note_slow(&self, database: &DatabaseName) {
        let now = Instant::now();
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.retain(|_, until| *until > now);
        slow.insert(database.clone(), now + self.limits.slow_for);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.since.elapsed() >= self.turns.limits.slow_after {
            self.turns.note_slow(self.database);
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::tenant_id::TenantId;

    use super::*;

    /// Every turn is a long one.
    const ALL_ARE_SLOW: Limits = Limits {
        statements: 3,
        of_slow: 1,
        wait: Duration::from_millis(10),
        slow_after: Duration::ZERO,
        slow_for: Duration::from_secs(3_600),
    };

    fn database(tenant: &str) -> DatabaseName {
        DatabaseName::of(&TenantId::parse(tenant).unwrap())
    }

    #[tokio::test]
    async fn rule_26_slow_databases_leave_turns_to_the_others() {
        let (turns, slow, slower) = (Turns::new(ALL_ARE_SLOW), database("slow"), database("slower"));
        drop(turns.next(&slow).await.unwrap());
        drop(turns.next(&slower).await.unwrap());
        let _held = turns.next(&slow).await.unwrap();
        assert!(turns.next(&slower).await.is_none());
        let (one, two) = (database("one"), database("two"));
        assert!(turns.next(&one).await.is_some() && turns.next(&two).await.is_some());
    }

    #[tokio::test]
    async fn a_turn_that_does_not_come_is_not_waited_for() {
        let (turns, acme) = (Turns::new(Limits { statements: 1, ..ALL_ARE_SLOW }), database("acme"));
        let held = turns.next(&acme).await.unwrap();
        assert!(turns.next(&database("other")).await.is_none());
        drop(held);
        assert!(turns.next(&database("other")).await.is_some());
    }

    #[tokio::test]
    async fn a_quick_database_and_one_that_was_slow_long_ago_are_as_all_others() {
        let quick = Limits { slow_after: Duration::from_secs(3_600), ..ALL_ARE_SLOW };
        let long_ago = Limits { slow_for: Duration::ZERO, ..ALL_ARE_SLOW };
        for limits in [quick, long_ago] {
            let (turns, acme) = (Turns::new(limits), database("acme"));
            drop(turns.next(&acme).await.unwrap());
            let _held = turns.next(&acme).await.unwrap();
            assert!(turns.next(&acme).await.is_some(), "{limits:?}");
        }
    }

    #[tokio::test]
    async fn only_those_who_are_slow_now_are_remembered() {
        let turns = Turns::new(Limits { slow_for: Duration::ZERO, ..ALL_ARE_SLOW });
        for tenant in ["one", "two", "three"] {
            drop(turns.next(&database(tenant)).await.unwrap());
        }
        assert_eq!(turns.slow.lock().unwrap().len(), 1);
    }
}
