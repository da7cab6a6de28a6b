//! An operator that stands still at a chosen point, while a test looks around.

use schema::names::DatabaseName;
use tokio::sync::Notify;

use super::World;

#[derive(Default)]
pub(super) struct Pause {
    stands: Notify,
}

impl World {
    /// Waits until somebody stands still.
    pub(crate) async fn stands_still(&self) {
        self.pause.stands.notified().await;
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
