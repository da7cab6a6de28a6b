//! The connection to ClickHouse: HTTP or HTTPS, an authority of one's own, and a deadline for every statement.
//!
//! Reads and changes have turns of their own: a read takes seconds at most, and a change that waits for a lock minutes.

use std::{future::Future, sync::Arc, time::Duration};

use clickhouse::{Client, RowOwned, RowRead};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use schema::{
    names::{DatabaseName, UserName},
    secret::Secret,
};

use super::{
    error::{ConnectionError, QueryError},
    turns::{LIMITS, Limits, Turns},
};

/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a read of the system tables may take.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// How long a change may take: it waits for the disk, and a drop removes every file.
const CHANGE_DEADLINE: Duration = Duration::from_secs(60);
/// How long a statement waits for a table's lock at the server: less than our deadline, so that the server gives up
/// first and says why. In seconds.
const LOCK_SECONDS: &str = "30";
/// Connections idle for longer are closed by us: the server closes them after 3 s by default, and a request that
/// meets a closing connection fails.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// Where ClickHouse is and who we are there.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// `http://host:8123` or `https://host:8443`.
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: Secret,
    /// PEM of the authority that signed the server's certificate; without it, the system's.
    pub(crate) ca_pem: Option<String>,
}

/// Sends statements, each within its deadline, a few at a time.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Client,
    /// Without settings, which not every user may send.
    plain: Client,
    reads: Arc<Turns>,
    changes: Arc<Turns>,
}

impl Connection {
    /// Makes the client. It connects when it is used.
    ///
    /// # Errors
    /// When the authority's certificates cannot be read.
    pub(crate) fn new(server: &Server) -> Result<Self, ConnectionError> {
        Self::with_limits(server, LIMITS)
    }

    pub(crate) fn with_limits(server: &Server, limits: Limits) -> Result<Self, ConnectionError> {
        let http =
            HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(POOL_IDLE).build(connector(server)?);
        let plain = Client::with_http_client(http)
            .with_url(&server.url)
            .with_product_info("millrace-operator", env!("CARGO_PKG_VERSION"));
        let client = plain
            .clone()
            .with_user(&server.user)
            .with_password(server.password.expose())
            .with_setting("lock_acquire_timeout", LOCK_SECONDS);
        let turns = || Arc::new(Turns::new(limits));
        Ok(Self { client, plain, reads: turns(), changes: turns() })
    }

    /// Runs a statement about a database that answers nothing.
    pub(crate) async fn change(&self, database: &DatabaseName, statement: &str) -> Result<(), QueryError> {
        let work = self.client.query_raw(statement).execute();
        in_turn(&self.changes, database, CHANGE_DEADLINE, work).await
    }

    /// Reads all rows of a statement about a database that answers few.
    pub(crate) async fn read<T: RowOwned + RowRead>(
        &self,
        database: &DatabaseName,
        statement: &str,
    ) -> Result<Vec<T>, QueryError> {
        let work = self.client.query_raw(statement).fetch_all::<T>();
        in_turn(&self.reads, database, READ_DEADLINE, work).await
    }

    /// The same as another user.
    pub(crate) async fn read_as<T: RowOwned + RowRead>(
        &self,
        (user, password): (&UserName, &Secret),
        database: &DatabaseName,
        statement: &str,
    ) -> Result<Vec<T>, QueryError> {
        let client = self.plain.clone().with_user(user.as_str()).with_password(password.expose());
        let work = client.query_raw(statement).fetch_all::<T>();
        in_turn(&self.reads, database, READ_DEADLINE, work).await
    }
}

/// Waits for a turn, then for the answer, each within its time.
async fn in_turn<T>(
    turns: &Turns,
    database: &DatabaseName,
    deadline: Duration,
    work: impl Future<Output = Result<T, clickhouse::error::Error>>,
) -> Result<T, QueryError> {
    let Some(_turn) = turns.next(database).await else {
        return Err(QueryError::Busy { waited: turns.wait() });
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(outcome) => outcome.map_err(QueryError::new),
        Err(_) => Err(QueryError::Deadline { seconds: deadline.as_secs() }),
    }
}

fn connector(server: &Server) -> Result<HttpsConnector<HttpConnector>, ConnectionError> {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_DEADLINE));
    http.set_nodelay(true);
    http.enforce_http(false);
    let builder = HttpsConnectorBuilder::new();
    let builder = match &server.ca_pem {
        Some(pem) => builder.with_tls_config(trusting(authorities(pem)?)?),
        None if server.url.starts_with("https:") => builder
            .with_provider_and_native_roots(ring::default_provider())
            .map_err(|source| ConnectionError::ReadSystemAuthorities { source })?,
        // Plain HTTP must not fail on a machine that has no certificates.
        None => builder.with_tls_config(trusting(RootCertStore::empty())?),
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}

fn authorities(pem: &str) -> Result<RootCertStore, ConnectionError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|source| ConnectionError::ReadAuthority { source })?;
        roots.add(certificate).map_err(|source| ConnectionError::TrustAuthority { source })?;
    }
    if roots.is_empty() {
        return Err(ConnectionError::NoAuthority);
    }
    Ok(roots)
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, ConnectionError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| ConnectionError::TrustAuthority { source })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, ca_pem: Option<&str>) -> Server {
        Server {
            url: url.to_owned(),
            user: "millrace".to_owned(),
            password: Secret::new("hunter2".to_owned()),
            ca_pem: ca_pem.map(str::to_owned),
        }
    }

    #[test]
    fn an_authority_without_a_certificate_is_refused() {
        let server = server("https://clickhouse:8443", Some("no certificate"));
        assert!(matches!(Connection::new(&server), Err(ConnectionError::NoAuthority)));
    }

    #[test]
    fn an_authority_that_is_cut_is_refused() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        let server = server("https://clickhouse:8443", Some(pem));
        assert!(matches!(Connection::new(&server), Err(ConnectionError::ReadAuthority { .. })));
    }

    #[test]
    fn debug_shows_no_password() {
        assert!(!format!("{:?}", server("http://clickhouse:8123", None)).contains("hunter2"));
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_an_error_at_once() {
        // A port that was free a moment ago: the connection is refused.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let database = DatabaseName::of(&schema::tenant_id::TenantId::parse("acme").unwrap());
        let connection = Connection::new(&server(&format!("http://127.0.0.1:{port}"), None)).unwrap();
        let error = connection.change(&database, "SELECT 1").await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("Connection refused"), "{text}");
    }
}
