//! An operator that stands still at a chosen point, while a test looks around or lets another operator work.

use schema::names::DatabaseName;
use tokio::sync::Notify;

use super::{State, World};

#[derive(Default)]
pub(super) struct Pause {
    stands: Notify,
    goes_on: Notify,
}

impl World {
    /// Whoever makes this call of the API server, counted from now, stands still before the next one.
    pub(crate) fn pause_after(&self, call: usize) {
        let mut state = self.state();
        (state.calls, state.pause_after) = (0, Some(call));
    }

    /// Waits until somebody stands still.
    pub(crate) async fn stands_still(&self) {
        self.pause.stands.notified().await;
    }

    pub(crate) fn go_on(&self) {
        self.pause.goes_on.notify_one();
    }

    /// Follows each call of the API server.
    pub(super) async fn pause_if_asked(&self) {
        let is_asked = {
            let mut state = self.state();
            state.calls += 1;
            state.pause_after == Some(state.calls)
        };
        self.stand_still_if(is_asked).await;
    }

    /// Makes a change, and stands still before or after it where the test asks for that.
    pub(super) async fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let is_asked = self.state().faults.take_pause_before();
        self.stand_still_if(is_asked).await;
        let outcome = change(&mut self.state());
        let is_asked = self.state().faults.take_pause_after();
        self.stand_still_if(is_asked).await;
        outcome
    }

    async fn stand_still_if(&self, is_asked: bool) {
        if is_asked {
            self.pause.stands.notify_one();
            self.pause.goes_on.notified().await;
        }
    }

    /// Never ends where the test asks for a ClickHouse that does not answer about this database.
    pub(super) async fn hang_if_asked(&self, name: &DatabaseName) {
        let is_asked = self.state().hanging.contains(name.as_str());
        if is_asked {
            self.pause.stands.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
