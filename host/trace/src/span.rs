//! One step of a piece of work, recorded when it is traced.

use std::time::SystemTime;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, Span as Recording};

use crate::following::{Following, batch, within};
use crate::sampling::{By, drawn, tracer, wanted};
use crate::traceparent::Traceparent;
use crate::work::{Entered, EnteredMany, Work, all};

/// A step: it ends when this is dropped. Of work that is not traced it is only the id.
#[derive(Debug, Default)]
#[must_use = "it ends when this is dropped"]
pub struct Span {
    work: Work,
    recorded: Option<Box<Recorded>>,
}

#[derive(Debug)]
struct Recorded {
    /// One for each trace that the step is part of: a batch's is in that of each of its messages.
    spans: Vec<Recording>,
    /// Of several at once: what runs within.
    works: Vec<Work>,
}

/// What a peer says of a trace, and who does.
pub type Said<'a> = (By, &'a str);

/// An HTTP request: of the trace that it names, else of one of its own; so its id is a trace id always.
pub fn request(traceparent: Option<&str>, name: &'static str) -> Span {
    let said = traceparent.map(|traceparent| (By::Request, traceparent));
    if let Some(span) = named(said, name, None) {
        return span;
    }
    let drawn = tracer().filter(|_| drawn()).and_then(|tracer| root(tracer, name, None));
    drawn.unwrap_or_else(|| Span::of(Work::trace(RandomIdGenerator::default().new_trace_id(), None)))
}

/// A packet: of the trace that it names, or of one of its own if it is sampled; else it is known by its link
/// and number. `since` is when it was there.
#[inline]
pub fn message(
    work: Work,
    said: Option<Said<'_>>,
    name: &'static str,
    since: impl Fn() -> SystemTime,
) -> Span {
    if said.is_none() && !drawn() {
        return Span::of(work);
    }
    sampled_message(work, said, name, since())
}

#[cold]
fn sampled_message(work: Work, said: Option<Said<'_>>, name: &'static str, since: SystemTime) -> Span {
    let span = named(said, name, Some(since)).or_else(|| {
        // Without one it was drawn before; one that cannot be read is none.
        let tracer = tracer().filter(|_| said.is_none() || drawn())?;
        root(tracer, name, Some(since))
    });
    let Some(mut span) = span else { return Span::of(work) };
    // So that the lines of its link are found, too.
    span.note("postern.packet", || work.to_string().into());
    span
}

/// A step of what this thread works at.
#[inline]
pub fn child(name: &'static str) -> Span {
    let work = Work::now();
    if work.is_traced() { recorded_child(name) } else { Span::of(work) }
}

impl Span {
    /// Not recorded.
    fn of(work: Work) -> Span {
        Span { work, recorded: None }
    }

    /// What it is a step of, itself the open span.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Itself, if it is recorded.
    #[inline]
    pub fn recorded(&self) -> Option<&Span> {
        self.recorded.is_some().then_some(self)
    }

    /// This thread works at it until what this gives is dropped.
    #[inline]
    pub fn enter(&self) -> Entered {
        self.work.enter()
    }

    /// A future that works at it.
    pub fn run<F: Future>(&self, future: F) -> Following<F> {
        match &self.recorded {
            Some(recorded) if self.work.is_many() => batch(recorded.works.clone(), future),
            // A step of several that is not recorded: they are entered already.
            None if self.work.is_many() => within(future),
            _ => self.work.run(future),
        }
    }

    /// Something that is done within it, as each poll of [`Span::run`] is.
    pub(crate) fn within<T>(&mut self, work: impl FnOnce() -> T) -> T {
        match &mut self.recorded {
            Some(recorded) if self.work.is_many() => {
                let _entered = EnteredMany::new(self.work, &mut recorded.works);
                work()
            }
            None if self.work.is_many() => work(),
            _ => {
                let _entered = self.work.enter();
                work()
            }
        }
    }

    /// An attribute; nobody asks for its value when the step is not recorded.
    pub fn note(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        let Some(recorded) = &mut self.recorded else { return };
        let value = value();
        for span in &mut recorded.spans {
            span.set_attribute(KeyValue::new(key, value.clone()));
        }
    }

    /// The step failed.
    pub fn fail(&mut self, why: &'static str) {
        for span in self.recorded.iter_mut().flat_map(|recorded| &mut recorded.spans) {
            span.set_status(Status::error(why));
        }
    }

    /// Another name, known only by now.
    pub fn rename(&mut self, name: &str) {
        for span in self.recorded.iter_mut().flat_map(|recorded| &mut recorded.spans) {
            span.update_name(name.to_owned());
        }
    }
}

/// Of the trace that a peer names; recorded when the peer wants that and there is room for it.
fn named(said: Option<Said<'_>>, name: &'static str, since: Option<SystemTime>) -> Option<Span> {
    let (by, traceparent) = said?;
    let peer: Traceparent = traceparent.parse().ok()?;
    let parent = Some((peer.trace, peer.parent, true));
    let wanted = tracer().filter(|_| peer.sampled && wanted(by));
    let recorded = wanted.and_then(|tracer| begin(tracer, name, SpanKind::Server, parent, since));
    Some(recorded.map_or_else(|| Span::of(Work::trace(peer.trace, None)), one))
}

fn root(tracer: &SdkTracer, name: &'static str, since: Option<SystemTime>) -> Option<Span> {
    begin(tracer, name, SpanKind::Server, None, since).map(one)
}

fn one(span: Recording) -> Span {
    let work = work_of(&span);
    Span { work, recorded: Some(Box::new(Recorded { spans: vec![span], works: Vec::new() })) }
}

#[cold]
fn recorded_child(name: &'static str) -> Span {
    let (now, mut works) = (Work::now(), all());
    let Some(tracer) = tracer() else { return Span::of(now) };
    let mut spans = Vec::new();
    for work in &mut works {
        let Some((trace, parent)) = work.parent() else { continue };
        let parent = Some((trace, parent, false));
        if let Some(span) = begin(tracer, name, SpanKind::Internal, parent, None) {
            *work = work_of(&span);
            spans.push(span);
        }
    }
    let work = match *works {
        [work] => work,
        _ => Work::many(&works),
    };
    Span { work, recorded: Some(Box::new(Recorded { spans, works })) }
}

fn work_of(span: &Recording) -> Work {
    let context = span.span_context();
    Work::trace(context.trace_id(), Some(context.span_id()))
}

/// The parent: its trace, itself, and whether it is a peer's.
type Parent = (TraceId, SpanId, bool);

/// None when the export is over.
fn begin(
    tracer: &SdkTracer,
    name: &'static str,
    kind: SpanKind,
    parent: Option<Parent>,
    since: Option<SystemTime>,
) -> Option<Recording> {
    let mut context = Context::new();
    if let Some((trace, span, is_remote)) = parent {
        let state = TraceState::default();
        let parent = SpanContext::new(trace, span, TraceFlags::SAMPLED, is_remote, state);
        context = context.with_remote_span_context(parent);
    }
    let mut builder = SpanBuilder::from_name(name).with_kind(kind);
    builder.start_time = since;
    let span = tracer.build_with_context(builder, &context);
    span.span_context().is_valid().then_some(span)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
    use parking_lot::Mutex;

    use super::*;
    use crate::following::step;
    use crate::sampling;

    #[derive(Clone, Debug, Default)]
    struct Taken(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Taken {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().extend(batch);
            Ok(())
        }
    }

    /// Of a message that is part of a trace.
    fn traceparent(n: u8) -> String {
        format!("00-{n:032x}-00f067aa0ba902b7-01")
    }

    #[tokio::test]
    async fn a_step_of_a_batch_is_in_each_trace() {
        let link = Work::link(1);
        let said = traceparent(9);
        let untraced = message(link.packet(9), Some((By::SignedIn, &said)), "mqtt.publish", SystemTime::now);
        assert!(untraced.recorded().is_none(), "there is no collector yet");
        assert_eq!(untraced.work().to_string(), format!("{:032x}", 9), "its id is the trace's");

        let taken = Taken::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(taken.clone()).build();
        sampling::set(provider.tracer("test"), 0.0);
        let spans: Vec<Span> = [Some(traceparent(1)), None, Some(traceparent(2))]
            .iter()
            .zip(1..)
            .map(|(peer, n)| {
                let said = peer.as_deref().map(|peer| (By::SignedIn, peer));
                message(link.packet(n), said, "mqtt.publish", SystemTime::now)
            })
            .collect();
        assert_eq!(spans[1].work(), link.packet(2), "nobody wants it traced, and none are drawn");
        let works = spans.iter().map(Span::work).collect();
        batch(works, step("store.save", step("store.commit", async {}))).await;
        drop(spans);

        let taken = taken.0.lock();
        let of = |name: &str| taken.iter().filter(|span| span.name == name).collect::<Vec<_>>();
        let (roots, saves, commits) = (of("mqtt.publish"), of("store.save"), of("store.commit"));
        assert_eq!((roots.len(), saves.len(), commits.len()), (2, 2, 2));
        for (above, below) in [(&roots, &saves), (&saves, &commits)] {
            for span in below {
                let parent = above.iter().find(|it| it.span_context.span_id() == span.parent_span_id);
                let parent = parent.expect("a parent");
                assert_eq!(parent.span_context.trace_id(), span.span_context.trace_id());
            }
        }
    }
}
