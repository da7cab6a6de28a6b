//! What the protocol is told, and what it asks for.

/// A batch, numbered in the order of its making; no number is used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BatchId(pub(crate) u64);

/// A partition and an offset in it: of the record after the last one meant, as Kafka's commits are.
pub(crate) type Position = (i32, i64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The group gave us partitions, and Kafka waits for us to accept them.
    Assigned(Vec<Assignment>),
    /// The group wants partitions back, and waits until we release them.
    Revoked(Vec<i32>),
    /// The group has given us up, and somebody else may own the partitions already.
    Lost(Vec<i32>),
    /// The batch that is being filled has as much as one insert should carry.
    Full,
    /// The batch that is being filled has waited long enough.
    Due,
    /// A full batch has waited for those before it as long as it may without a pause.
    Held,
    /// A batch is stored, and its dead letters are acknowledged.
    Stored(BatchId),
    /// A batch was given up after [`Action::Cancel`].
    Cancelled(BatchId),
    /// Kafka acknowledged a commit.
    Committed(Vec<Position>),
    /// Kafka refused a commit or did not answer it.
    CommitFailed,
    /// It is time to try a commit again.
    CommitAgain,
    /// The process is to end.
    Stop,
    /// What a release or a stop waits for has taken too long.
    Deadline,
}

/// A partition that becomes ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Assignment {
    pub(crate) partition: i32,
    /// What the group has committed; none if it has not.
    pub(crate) committed: Option<i64>,
    /// What the log holds, where Kafka says.
    pub(crate) log: Option<LogRange>,
    /// Where a group that has committed nothing begins; without it, at the earliest record.
    pub(crate) begin: Option<i64>,
}

/// Where reading a partition begins. It is always said: librdkafka asks only once for a committed offset that is left
/// to it, and never again if the answer is an error (<https://github.com/confluentinc/librdkafka/issues/5586>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Start {
    /// At this offset; at the earliest record if the log has not got it.
    At(i64),
    /// At the earliest record.
    Earliest,
}

/// The first and the next offset of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LogRange {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Accept these partitions, which were assigned.
    Accept(Vec<(i32, Start)>),
    /// Retention removed records between the committed offset and the start of the log.
    NoteLost { partition: i32, expected: i64, start: i64 },
    /// Store the batch that is being filled, which has this number, and begin another.
    Store(BatchId),
    /// Read nothing until a batch is stored.
    Hold,
    /// Stop fetching; reading goes on, so that the group keeps us.
    Pause,
    /// Fetch again.
    Resume,
    /// Commit these positions; the answer is an event.
    Commit(Vec<Position>),
    /// Release these partitions.
    Release(Vec<i32>),
    /// Give up storing a batch.
    Cancel(BatchId),
    /// Empty the batch that is being filled.
    Discard,
    /// Wait for the batches on their way, at most as long as a rebalance or a stop may take.
    Await,
    /// Leave the group and end.
    Leave,
}

/// What becomes of a record, and what its offset says about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It goes into the batch that is being filled. It follows the one before, or is the first.
    InOrder,
    /// The same, but offsets from `expected` on did not arrive: removed by retention, or never records at all.
    AfterGap { expected: i64 },
    /// The same, but it was read before: the log was cut, or the position was reset.
    Again,
    /// It is not ours to take.
    Skipped,
}
