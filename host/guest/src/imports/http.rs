//! `postern:host/http`: the hosts that the policy lists for the plugin.

use hyper::Method;
use tokio::time::Instant;
use wasmtime::component::{HasData, Linker};

use super::bindings::postern::host::http::{self, Field};
use crate::http::request::{Request, Response};
use crate::http::{Http, HttpError};
use crate::state::State;

pub(crate) struct HttpView<'a> {
    http: Option<&'a Http>,
    /// When the call is stopped.
    call_ends: Option<Instant>,
}

impl HasData for HttpView<'static> {
    type Data<'a> = HttpView<'a>;
}

impl http::Host for HttpView<'_> {
    async fn send(&mut self, request: http::Request) -> Result<http::Response, http::HttpError> {
        let http = self.http.ok_or_else(not_granted)?;
        let prepared = http.prepare(request.into()).map_err(http::HttpError::from)?;
        Ok(http.send(prepared, self.call_ends).await?.into())
    }
}

/// Cannot happen while the import check stands: a plugin without the grant does not load.
pub(crate) fn not_granted() -> http::HttpError {
    http::HttpError::Refused("http is not granted".into())
}

impl From<http::Request> for Request {
    fn from(request: http::Request) -> Self {
        let method = match request.method {
            http::Method::Get => Method::GET,
            http::Method::Head => Method::HEAD,
            http::Method::Post => Method::POST,
            http::Method::Put => Method::PUT,
            http::Method::Patch => Method::PATCH,
            http::Method::Delete => Method::DELETE,
        };
        let pairs = |fields: Vec<Field>| fields.into_iter().map(|f| (f.name, f.value)).collect();
        Request {
            method,
            host: request.host,
            path: request.path,
            query: pairs(request.query),
            headers: pairs(request.headers),
            body: request.body,
            timeout_ms: request.timeout_ms,
        }
    }
}

impl From<Response> for http::Response {
    fn from(response: Response) -> Self {
        let headers = response.headers.into_iter().map(|(name, value)| Field { name, value }).collect();
        http::Response { status: response.status, headers, body: response.body }
    }
}

impl From<HttpError> for http::HttpError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Refused(text) => http::HttpError::Refused(text),
            HttpError::Unavailable(text) => http::HttpError::Unavailable(text),
        }
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    http::add_to_linker::<State, HttpView<'static>>(linker, |state| HttpView {
        http: state.granted.http.as_ref(),
        call_ends: state.call_ends,
    })
}
