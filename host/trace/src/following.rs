//! Futures that take along what they work at: it is put into the thread-local for each poll.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::span::{Span, child};
use crate::work::{EnteredMany, Work, all};

pin_project! {
    /// A future, and what it works at.
    #[must_use = "futures do nothing unless polled"]
    pub struct Following<F> {
        // None: whoever polls it has entered it.
        work: Option<Work>,
        // Of several at once; empty otherwise.
        works: Vec<Work>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Following<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(work) = *this.work else { return this.future.poll(cx) };
        if work.is_many() {
            let _entered = EnteredMany::new(work, this.works);
            this.future.poll(cx)
        } else {
            let _entered = work.enter();
            this.future.poll(cx)
        }
    }
}

pin_project! {
    /// A future that is a step.
    // Not an async function: that would hold the future twice, and steps within steps double each time.
    #[must_use = "futures do nothing unless polled"]
    pub struct Step<F> {
        name: &'static str,
        // From the first poll to the end.
        span: Option<Span>,
        #[pin]
        future: F,
    }
}

/// A future as a step of what this thread works at when it is first polled.
pub fn step<F: Future>(name: &'static str, future: F) -> Step<F> {
    Step { name, span: None, future }
}

impl<F: Future> Future for Step<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.span.get_or_insert_with(|| child(this.name)).within(|| this.future.poll(cx));
        if polled.is_ready() {
            *this.span = None;
        }
        polled
    }
}

impl Work {
    /// A future that works at this.
    pub fn run<F: Future>(self, future: F) -> Following<F> {
        Following { work: Some(self), works: Vec::new(), future }
    }
}

/// A future that is polled where its work has been entered.
pub(crate) fn within<F: Future>(future: F) -> Following<F> {
    Following { work: None, works: Vec::new(), future }
}

/// A future that goes on with what this thread works at, on a task of its own.
pub fn follow<F: Future>(future: F) -> Following<F> {
    let work = Work::now();
    let works = if work.is_many() { all() } else { Vec::new() };
    Following { work: Some(work), works, future }
}

/// A future that works at several at once, such as the messages of one transaction.
pub fn batch<F: Future>(works: Vec<Work>, future: F) -> Following<F> {
    match *works {
        [] => Work::default().run(future),
        [work] => work.run(future),
        _ => Following { work: Some(Work::many(&works)), works, future },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids;

    #[test]
    fn steps_within_steps_hold_their_future_once() {
        let future = async {
            let bytes = [0_u8; 4096];
            tokio::task::yield_now().await;
            bytes
        };
        let alone = size_of_val(&future);
        let within = size_of_val(&step("outer", step("middle", step("inner", future))));
        assert!(within < alone + 512, "{within} for {alone}");
    }

    #[tokio::test]
    async fn each_poll_finds_its_work() {
        let works: Vec<Work> = (1..=2).map(|n| Work::link(n).packet(1)).collect();
        let shown = format!("{} {}", works[0], works[1]);
        let one = Work::link(9).run(async {
            for _ in 0..3 {
                assert_eq!(Work::now(), Work::link(9));
                tokio::task::yield_now().await;
            }
            // A task of its own goes on with it.
            tokio::spawn(follow(async { Work::now() })).await.unwrap()
        });
        let many = batch(works, async {
            for _ in 0..3 {
                assert_eq!(ids().unwrap().to_string(), shown);
                tokio::task::yield_now().await;
            }
            follow(async { ids().unwrap().to_string() }).await
        });
        assert_eq!(tokio::join!(one, many), (Work::link(9), shown.clone()));
        assert!(ids().is_none());
    }
}
