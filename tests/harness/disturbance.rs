//! A client of the API server that dies or stands still at a chosen change, and sees one namespace alone.
//!
//! To the API server an operator with such a client is one that was killed there: nothing comes from it any more.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::{Method, Request, Uri};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tokio::sync::Notify;
use tower::layer::layer_fn;
use tower::{BoxError, Service};

/// What happens at a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strike {
    /// The operator dies before the change.
    CrashBefore,
    /// The operator dies after the change, before it hears of it.
    CrashAfter,
    /// The operator stands still before the change until it may go on.
    StandStill,
}

/// What strikes a client, and what it did until then. Clones share it.
#[derive(Debug, Clone)]
pub struct Disturbance {
    namespace: String,
    state: Arc<Mutex<State>>,
    struck: Arc<Notify>,
    goes_on: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    /// Changes are counted from the moment that this was set, from 1.
    next: Option<(usize, Strike)>,
    changes: Vec<String>,
    is_dead: bool,
    last_change: Instant,
}

/// What becomes of a request.
enum Fate {
    Passes,
    StandsStill,
    /// The API server gets it, and nobody gets the answer.
    IsTheLast,
    /// It was the one that it died before.
    DiesBefore,
    /// Nobody sends it, for whoever would is dead.
    Unsent,
}

impl Disturbance {
    /// Nothing yet, in this namespace.
    #[must_use]
    pub fn of(namespace: &str) -> Self {
        let state = State { next: None, changes: Vec::new(), is_dead: false, last_change: now() };
        Self {
            namespace: namespace.to_owned(),
            state: Arc::new(Mutex::new(state)),
            struck: Arc::default(),
            goes_on: Arc::default(),
        }
    }

    /// A client that this strikes.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn client(&self, config: Config) -> anyhow::Result<Client> {
        let layer = layer_fn(|inner| Disturbed { inner, disturbance: self.clone() });
        let builder = ClientBuilder::try_from(config).context("a client of the API server")?;
        Ok(builder.with_layer(&layer).build())
    }

    /// Counts changes from now, and strikes at one of them.
    pub fn strike_at(&self, change: usize, strike: Strike) {
        let mut state = self.state();
        (state.next, state.changes) = (Some((change, strike)), Vec::new());
    }

    /// Counts changes from now.
    pub fn count(&self) {
        self.state().changes.clear();
    }

    /// The changes since the count began, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        self.state().changes.clone()
    }

    /// How long nothing was changed.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.state().last_change.elapsed()
    }

    /// Waits until it struck. It has no deadline of its own.
    pub async fn struck(&self) {
        self.struck.notified().await;
    }

    /// Lets whoever stands still go on; what follows is waited for as after a change.
    pub fn go_on(&self) {
        self.state().last_change = now();
        self.goes_on.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a request, and counts it if it changes something in the namespace. An Event is told in passing.
    fn fate(&self, method: &Method, path: &str) -> Fate {
        let mut state = self.state();
        if state.is_dead {
            return Fate::Unsent;
        }
        let ours = path.split_once(&format!("/namespaces/{}/", self.namespace));
        let Some((_, what)) = ours.filter(|(_, what)| *method != Method::GET && !what.starts_with("events"))
        else {
            return Fate::Passes;
        };
        state.changes.push(format!("{method} {what}"));
        state.last_change = now();
        let Some((_, strike)) = state.next.filter(|(change, _)| *change == state.changes.len()) else {
            return Fate::Passes;
        };
        state.next = None;
        state.is_dead = strike != Strike::StandStill;
        match strike {
            Strike::CrashBefore => Fate::DiesBefore,
            Strike::CrashAfter => Fate::IsTheLast,
            Strike::StandStill => Fate::StandsStill,
        }
    }

    /// What is asked about all namespaces is asked about the one.
    fn confined(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path();
        let (before, plural) = path.rsplit_once('/').filter(|_| !path.contains("/namespaces/"))?;
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = uri.clone().into_parts();
        let confined = format!("{before}/namespaces/{}/{plural}{query}", self.namespace);
        parts.path_and_query = Some(confined.parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[allow(clippy::disallowed_methods, reason = "how long it was quiet is measured here")]
fn now() -> Instant {
    Instant::now()
}

struct Disturbed<S> {
    inner: S,
    disturbance: Disturbance,
}

impl<S, A> Service<Request<Body>> for Disturbed<S>
where
    S: Service<Request<Body>, Response = A, Error = BoxError>,
    S::Future: Send + 'static,
    A: 'static,
{
    type Response = A;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<A, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let disturbance = self.disturbance.clone();
        if let Some(uri) = disturbance.confined(request.uri()) {
            *request.uri_mut() = uri;
        }
        let fate = disturbance.fate(request.method(), request.uri().path());
        match fate {
            Fate::Passes => Box::pin(self.inner.call(request)),
            Fate::StandsStill => {
                let answer = self.inner.call(request);
                Box::pin(async move {
                    disturbance.struck.notify_one();
                    disturbance.goes_on.notified().await;
                    answer.await
                })
            }
            Fate::IsTheLast => {
                let answer = self.inner.call(request);
                Box::pin(async move {
                    drop(answer.await);
                    disturbance.struck.notify_one();
                    std::future::pending().await
                })
            }
            Fate::DiesBefore => {
                disturbance.struck.notify_one();
                Box::pin(std::future::pending())
            }
            Fate::Unsent => Box::pin(std::future::pending()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sent(fate: &Fate) -> bool {
        match fate {
            Fate::Passes | Fate::StandsStill | Fate::IsTheLast => true,
            Fate::DiesBefore | Fate::Unsent => false,
        }
    }

    #[test]
    fn it_strikes_at_the_change_that_was_chosen_and_nothing_is_sent_after_a_death() {
        let secret = "/api/v1/namespaces/here/secrets/a";
        let requests = [
            (Method::GET, secret),
            (Method::PATCH, "/api/v1/namespaces/elsewhere/secrets/a"),
            (Method::POST, "/apis/events.k8s.io/v1/namespaces/here/events"),
            (Method::PATCH, secret),
            (Method::DELETE, secret),
            (Method::GET, secret),
        ];
        for (strike, expected) in [
            (Strike::CrashBefore, [true, true, true, true, false, false]),
            (Strike::CrashAfter, [true, true, true, true, true, false]),
            (Strike::StandStill, [true; 6]),
        ] {
            let disturbance = Disturbance::of("here");
            disturbance.strike_at(2, strike);
            let sent = requests.clone().map(|(method, path)| is_sent(&disturbance.fate(&method, path)));
            assert_eq!(sent, expected, "{strike:?}");
            assert_eq!(disturbance.changes(), ["PATCH secrets/a", "DELETE secrets/a"]);
        }
    }

    #[test]
    fn what_is_asked_about_all_namespaces_is_asked_about_one() {
        let confined = |uri: &'static str| {
            Disturbance::of("here").confined(&Uri::from_static(uri)).map(|uri| uri.to_string())
        };
        assert_eq!(
            confined("https://a:1/api/v1/secrets?watch=true&limit=5").as_deref(),
            Some("https://a:1/api/v1/namespaces/here/secrets?watch=true&limit=5")
        );
        assert_eq!(confined("https://a:1/api/v1/namespaces/there/secrets"), None);
    }
}
