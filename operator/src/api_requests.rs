//! The client of the Kubernetes API, which counts what it is asked for and what was answered.

use std::task::{Context, Poll};

use futures::{FutureExt as _, future::BoxFuture};
use hyper::{Method, Request, Response, StatusCode, Uri};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::{Service, layer::layer_fn};

use crate::metrics;

/// A client whose requests are counted by `operator_api_requests_total`. What kube repeats by itself counts once.
///
/// # Errors
/// When the configuration names a certificate, key or proxy that cannot be used.
pub fn client(config: Config) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer_fn(|inner| Counted { inner })).build())
}

/// Counts the requests that go through it.
struct Counted<S> {
    inner: S,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let counting = Counting { asked: Asked::of(request.method(), request.uri()), answer: None };
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            counting.until(answer.as_ref().ok().map(Response::status));
            answer
        }
        .boxed()
    }
}

/// A request that is counted when it is over, also where the one who asked waits no longer.
struct Counting {
    asked: Asked,
    answer: Option<StatusCode>,
}

impl Counting {
    fn until(mut self, answer: Option<StatusCode>) {
        self.answer = answer;
    }
}

impl Drop for Counting {
    /// Without an answer, because the connection broke or the deadline passed, the code is `none`.
    fn drop(&mut self) {
        let code = self.answer.map_or_else(|| "none".to_owned(), |status| status.as_str().to_owned());
        metrics::api_requested(self.asked.verb, &self.asked.resource, code);
    }
}

/// What a request asks for, in the words of Kubernetes' roles. It names no object, so that it may be a label.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    verb: &'static str,
    /// The plural of the kind, with its subresource: `pipelines/status`.
    resource: String,
}

impl Asked {
    fn of(method: &Method, uri: &Uri) -> Self {
        let target = Target::of(uri.path());
        let verb = match method.as_str() {
            "GET" if is_watch(uri) => "watch",
            "GET" if target.names_an_object => "get",
            "GET" => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if target.names_an_object => "delete",
            "DELETE" => "deletecollection",
            _ => "other",
        };
        Self { verb, resource: target.resource }
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|parameter| parameter == "watch=true"))
}

/// Where a request goes to.
struct Target {
    resource: String,
    names_an_object: bool,
}

impl Target {
    /// Paths are `/api/v1/..` and `/apis/<group>/<version>/..`
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris>).
    fn of(path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let below_version = match segments.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        let (kind, object) = match below_version {
            ["namespaces", _, kind, object @ ..] | [kind, object @ ..] => (*kind, object),
            [] => ("other", below_version),
        };
        let resource = match object {
            [_, subresource, ..] => format!("{kind}/{subresource}"),
            [_] | [] => kind.to_owned(),
        };
        Self { resource, names_an_object: !object.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use ::metrics::with_local_recorder;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::service_fn;

    use super::*;

    #[track_caller]
    fn check(method: Method, uri: &'static str, verb: &'static str, resource: &str) {
        let asked = Asked::of(&method, &Uri::from_static(uri));
        assert_eq!(asked, Asked { verb, resource: resource.to_owned() });
    }

    #[test]
    fn an_object_is_got() {
        check(Method::GET, "/api/v1/namespaces/a/secrets/b", "get", "secrets");
    }
    #[test]
    fn a_kind_is_listed() {
        check(Method::GET, "/apis/analytics.millrace.dev/v1alpha1/pipelines?limit=500", "list", "pipelines");
        check(
            Method::GET,
            "/apis/analytics.millrace.dev/v1alpha1/namespaces/a/pipelines?",
            "list",
            "pipelines",
        );
    }
    #[test]
    fn a_kind_is_watched() {
        check(
            Method::GET,
            "/apis/apps/v1/deployments?&watch=true&timeoutSeconds=290",
            "watch",
            "deployments",
        );
    }
    #[test]
    fn an_object_is_patched() {
        check(Method::PATCH, "/apis/apps/v1/namespaces/a/deployments/b?&force=true", "patch", "deployments");
    }
    #[test]
    fn a_status_is_a_resource_of_its_own() {
        let uri = "/apis/analytics.millrace.dev/v1alpha1/namespaces/a/pipelines/b/status?&force=true";
        check(Method::PATCH, uri, "patch", "pipelines/status");
    }
    #[test]
    fn an_object_is_created() {
        check(Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events?", "create", "events");
    }
    #[test]
    fn an_object_is_deleted() {
        check(Method::DELETE, "/api/v1/namespaces/a/services/b?", "delete", "services");
    }
    #[test]
    fn a_namespace_is_a_kind_as_well() {
        check(Method::GET, "/api/v1/namespaces/a", "get", "namespaces");
    }
    #[test]
    fn what_is_no_kind_is_other() {
        check(Method::GET, "/version", "list", "other");
    }

    #[test]
    fn each_request_is_counted_with_the_code_of_its_answer_or_none() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let mut counted = Counted {
            inner: service_fn(async |request: Request<Body>| match *request.method() {
                Method::GET => Ok(Response::builder().status(404).body(()).unwrap()),
                Method::PATCH => pending().await,
                _ => Err("the connection broke"),
            }),
        };
        with_local_recorder(&recorder, || {
            for method in [Method::GET, Method::GET, Method::DELETE, Method::PATCH] {
                let uri = "/api/v1/namespaces/a/secrets/b";
                let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
                let _answer: Option<Result<Response<()>, &str>> = counted.call(request).now_or_never();
            }
        });
        let rendered = recorder.handle().render();
        for line in [
            r#"operator_api_requests_total{verb="get",resource="secrets",code="404"} 2"#,
            r#"operator_api_requests_total{verb="delete",resource="secrets",code="none"} 1"#,
            r#"operator_api_requests_total{verb="patch",resource="secrets",code="none"} 1"#,
        ] {
            assert!(rendered.contains(line), "{rendered}");
        }
    }
}
