//! Two operators at once, as for a moment during a rollout: the topics that one of them made stay the Pipeline's.

use std::pin::pin;

use super::*;

/// One operator stands still after each of its calls in turn, and another one does its work meanwhile.
#[tokio::test]
async fn an_operator_that_is_late_does_not_forget_the_topics_of_the_other() {
    for call in 1.. {
        let world = with_a_new_pipeline().await;
        world.pause_after(call);
        let mut slow = pin!(world.reconcile_pipelines());
        tokio::select! {
            biased;
            () = world.stands_still() => {}
            _ = &mut slow => {
                assert!(call > 10, "an operator makes more than {call} calls");
                return;
            }
        }
        world.settle().await;
        let id = topic_id(&world);
        world.go_on();
        slow.await;
        assert_eq!(topic_id(&world), id, "after call {call}");
        world.settle().await;
        assert_eq!(world.reason(ACME_DEFAULT, "Ready").as_deref(), Some("Ready"), "after call {call}");
    }
}
