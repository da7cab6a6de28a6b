use std::sync::{Arc, Mutex};

use futures::{poll, stream};
use kube::runtime::watcher::{Error, Event};

use super::*;

/// Waits for nothing, and notes what it was asked.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<&'static str>>>);

impl Iterator for Noted {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.lock().unwrap().push("longer");
        Some(Duration::ZERO)
    }
}

impl Backoff for Noted {
    fn reset(&mut self) {
        self.0.lock().unwrap().push("anew");
    }
}

fn breakages() -> Breakages {
    Breakages::of("pipeline", "Ingress".to_owned(), Place::Cluster)
}

fn broken<T>() -> watcher::Result<T> {
    Err(Error::NoResourceVersion)
}

#[tokio::test]
async fn an_error_is_dropped_and_the_objects_behind_it_are_not() {
    let objects = stream::iter([Ok(1), broken(), broken(), Ok(2)]);
    let left = lasting(objects, Noted::default(), breakages());
    assert_eq!(left.map(watcher::Result::unwrap).collect::<Vec<_>>().await, [1, 2]);
}

#[tokio::test]
async fn after_an_error_a_watch_pauses() {
    let pace = Pace { first: Duration::from_secs(60), ..Pace::default() };
    let objects = stream::iter([Ok(1), broken(), Ok(2)]);
    let mut left = Box::pin(lasting(objects, WatchDelays::at(pace), breakages()));
    assert!(poll!(left.next()).is_ready());
    assert!(poll!(left.next()).is_pending());
}

/// A watch says that it begins before each list, and that is no success.
#[tokio::test]
async fn a_list_that_stays_refused_is_tried_ever_later() {
    let noted = Noted::default();
    let events = stream::iter([Ok(Event::Init), broken(), Ok(Event::Init), broken(), Ok(Event::Apply(1))]);
    let left = lasting(events.touched_objects(), noted.clone(), breakages());
    assert_eq!(left.count().await, 1);
    assert_eq!(noted.0.lock().unwrap()[..3], ["longer", "longer", "anew"]);
}

#[test]
fn a_watch_that_stays_broken_is_warned_of_once_a_minute() {
    let (mut breakages, start) = (breakages(), Instant::now());
    let warned =
        (0..200_u64).filter(|seconds| breakages.is_worth_a_warning(start + Duration::from_secs(*seconds)));
    assert_eq!(warned.collect::<Vec<_>>(), [0, 60, 120, 180]);
}
