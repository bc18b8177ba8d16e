//! The id of an HTTP request: that of the trace which the client names, else one of its own (W3C Trace
//! Context); answered in a header, in problem documents, and in every line that is logged for it.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderValue, Method},
    middleware::Next,
    response::Response,
};

/// The header that answers it.
const REQUEST_ID: &str = "x-request-id";

/// To be the outermost layer: what is within knows the id, whatever refuses the request.
pub async fn traced(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let mut span = postern_trace::request(traceparent, "http.request");
    if span.recorded().is_some() {
        // The route, not the path: that may name a user.
        let (method, route) = (name(request.method()), path.as_ref().map_or("", MatchedPath::as_str));
        span.rename(format!("{method} {route}").trim_end());
        span.note("http.request.method", || method.into());
        span.note("http.route", || route.to_owned().into());
    }
    let mut response = span.run(next.run(request)).await;
    let status = response.status();
    span.note("http.response.status_code", || i64::from(status.as_u16()).into());
    if status.is_server_error() {
        span.fail("server error");
    }
    if let Ok(id) = HeaderValue::try_from(span.work().to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// A method that HTTP knows; a client can write anything.
fn name(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    let names = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
    known.iter().zip(names).find(|(it, _)| *it == method).map_or("_OTHER", |(_, name)| name)
}
