//! A collector of traces: OTLP over HTTP, decoded by OpenTelemetry's own types.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::patiently;

/// A collector that listens. It takes what comes until it is dropped with the test's runtime.
#[derive(Debug)]
pub struct Collector {
    address: String,
    taken: Arc<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    spans: Mutex<Vec<Span>>,
    resources: Mutex<Vec<String>>,
    more: Notify,
}

/// The spans of one trace, as far as they have come.
#[derive(Clone, Debug)]
pub struct Trace(pub Vec<Span>);

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let taken = Arc::<Taken>::default();
        let shared = taken.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, shared.clone()));
            }
        });
        Collector { address, taken }
    }

    /// As it stands in the config.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the trace in which there are all these spans, by name.
    pub async fn trace(&self, names: &[&str]) -> Trace {
        let found = async {
            loop {
                let mut more = std::pin::pin!(self.taken.more.notified());
                more.as_mut().enable();
                let all = self.taken.spans.lock().unwrap().clone();
                let found =
                    all.iter().map(|span| Trace::of(&all, &span.trace_id)).find(|trace| trace.has(names));
                match found {
                    Some(trace) => return trace,
                    None => more.await,
                }
            }
        };
        patiently(&format!("a trace of {names:?}"), found).await
    }

    /// How many spans have come so far.
    pub fn count(&self) -> usize {
        self.taken.spans.lock().unwrap().len()
    }

    /// What the resources said of themselves, as `key=value`.
    pub fn resources(&self) -> Vec<String> {
        self.taken.resources.lock().unwrap().clone()
    }
}

impl Trace {
    fn of(all: &[Span], id: &[u8]) -> Self {
        Trace(all.iter().filter(|span| span.trace_id == id).cloned().collect())
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.0.iter().any(|span| span.name == *name))
    }

    /// Its id, in hex.
    pub fn id(&self) -> String {
        self.0[0].trace_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The span of that name.
    pub fn span(&self, name: &str) -> &Span {
        self.0.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}: {self:?}"))
    }

    /// Names from the root down to the span of that name.
    pub fn path(&self, name: &str) -> Vec<&str> {
        let mut at = self.span(name);
        let mut path = vec![at.name.as_str()];
        while let Some(parent) = self.0.iter().find(|span| span.span_id == at.parent_span_id) {
            at = parent;
            path.insert(0, &at.name);
        }
        path
    }

    /// An attribute of a span, as text; empty when there is none.
    pub fn attribute(&self, name: &str, key: &str) -> String {
        let found = self.span(name).attributes.iter().find(|attribute| attribute.key == key);
        match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            _ => String::new(),
        }
    }
}

/// One connection: requests, each answered with an empty `ExportTraceServiceResponse`.
async fn take(stream: TcpStream, taken: Arc<Taken>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length, mut first) = (String::new(), 0, String::new());
        while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
            let text = line.to_ascii_lowercase();
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if let Some(value) = text.strip_prefix("content-type:") {
                assert_eq!(value.trim(), "application/x-protobuf");
            }
            line.clear();
        }
        if first.is_empty() {
            return;
        }
        assert!(first.starts_with("POST /v1/traces "), "{first}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let request = ExportTraceServiceRequest::decode(&*body).expect("OTLP");
        for resource in request.resource_spans {
            let said =
                resource.resource.iter().flat_map(|it| &it.attributes).filter_map(
                    |attribute| match attribute.value.as_ref()?.value.as_ref()? {
                        Value::StringValue(text) => Some(format!("{}={text}", attribute.key)),
                        _ => None,
                    },
                );
            taken.resources.lock().unwrap().extend(said);
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            taken.spans.lock().unwrap().extend(spans);
        }
        taken.more.notify_waiters();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}
