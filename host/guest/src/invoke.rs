//! One call of a plugin, from its admission to its settled answer (C5).

use std::sync::Arc;

use postern_store::Access;
use postern_trace::{Span, step};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Instant, timeout, timeout_at};
use wasmtime::component::{ComponentNamedList, Lift, Lower, ResourceTable, TypedFunc};

use crate::breaker::{Admitted, Breaker};
use crate::call::{CallError, Down, Outcome, Refusal, answered};
use crate::canary::Who;
use crate::limits::{arm, metered};
use crate::pool::{Asked, Face, Pool, Warm};
use crate::serving::Slot;
use crate::state::{async_store, sync_store};
use crate::stats::SAMPLE;

/// How long a commit may take after the guest has answered in time. A caller that is told of a
/// failure then does not know whether it was committed; the sender's message id keeps a repeat from
/// being stored twice.
const COMMIT: Duration = Duration::from_secs(10);

/// What a guest answered. Its transaction is committed when that is [`Outcome::Ok`].
pub(crate) trait Answered {
    fn outcome(&self) -> Outcome;
}

impl<T, E: Refusal> Answered for Result<T, E> {
    fn outcome(&self) -> Outcome {
        answered(self)
    }
}

impl Answered for bool {
    fn outcome(&self) -> Outcome {
        Outcome::Ok
    }
}

impl<F: Face> Slot<F> {
    /// One call of a pure role, on the calling thread.
    #[inline]
    pub(crate) fn call<T, E: Refusal>(
        &self,
        name: &'static str,
        who: Who<'_>,
        call: impl FnOnce(&mut Warm<F>) -> wasmtime::Result<Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        let serving = self.serving();
        let pool = serving.as_deref().ok_or(Down::Absent)?.pool(who);
        let mut span = postern_trace::child(name);
        pool.note(&mut span);
        let _entered = span.recorded().map(Span::enter);
        let admitted = Breaker::admit(&*pool.breaker).ok_or_else(|| pool.count_down(Down::Recovering))?;
        let made = match pool.take() {
            Some(warm) => Ok(warm),
            None => fresh_sync(pool),
        };
        let mut warm = match made {
            Ok(warm) => warm,
            Err(down) => {
                if down.is_fault() {
                    admitted.fault();
                }
                return Err(pool.count_down(down).into());
            }
        };
        arm(&mut warm.store, pool.cpu());
        let began = warm.calls.is_multiple_of(SAMPLE).then(Instant::now);
        match call(&mut warm) {
            Ok(answer) => {
                admitted.success();
                if let Some(began) = began {
                    // On the calling thread, and short: its time is CPU time.
                    let took = began.elapsed();
                    pool.stats.time(took, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
                }
                pool.give_back(warm);
                pool.count(answered(&answer));
                answer.map_err(CallError::Answer)
            }
            Err(error) => {
                admitted.fault();
                drop(warm);
                pool.shrink();
                let down = pool.failure(&error);
                span.fail(down.outcome().name());
                Err(pool.count_down(down).into())
            }
        }
    }

    /// One call that may wait and only reads.
    pub(crate) async fn read<P, T, E>(
        &self,
        name: &'static str,
        function: fn(&F) -> &Asked<P, T, E>,
        params: P,
    ) -> Result<T, CallError<E>>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        T: Lift + Send + Sync + 'static,
        E: Refusal + Lift + Send + Sync + 'static,
    {
        self.checked(name, Access::Read, function, params, |_| true).await
    }

    /// One call that may wait and write. Its `Ok` means committed.
    pub(crate) async fn write<P, T, E>(
        &self,
        name: &'static str,
        function: fn(&F) -> &Asked<P, T, E>,
        params: P,
    ) -> Result<T, CallError<E>>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        T: Lift + Send + Sync + 'static,
        E: Refusal + Lift + Send + Sync + 'static,
    {
        self.checked(name, Access::Write, function, params, |_| true).await
    }

    /// One call that may wait. An answer that does not fit the question is undone, and counts as a
    /// fault of the plugin.
    pub(crate) async fn checked<P, T, E>(
        &self,
        name: &'static str,
        access: Access,
        function: fn(&F) -> &Asked<P, T, E>,
        params: P,
        fits: impl FnOnce(&T) -> bool,
    ) -> Result<T, CallError<E>>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        T: Lift + Send + Sync + 'static,
        E: Refusal + Lift + Send + Sync + 'static,
    {
        let mut call = self.begin(name, Who::HOST).await?;
        let fits = |answer: &Result<T, E>| answer.as_ref().map_or(true, fits);
        call.invoke_checked(access, function, params, fits).await?.map_err(CallError::Answer)
    }

    /// Begins a call that may wait: waits for its turn and takes an instance. `name` is that of its step in a
    /// trace, as ROLE.FUNCTION.
    pub(crate) async fn begin(&self, name: &'static str, who: Who<'_>) -> Result<Call<F>, Down> {
        let pool = self.serving().as_ref().ok_or(Down::Absent)?.pool(who).clone();
        let mut span = postern_trace::child(name);
        pool.note(&mut span);
        let began = Instant::now();
        let deadline = began + pool.wall();
        let turn = {
            let _waits = pool.stats.wait();
            timeout_at(deadline, pool.permits.clone().acquire_owned()).await
        };
        let Ok(Ok(permit)) = turn else {
            span.fail(Down::Busy.outcome().name());
            return Err(pool.count_down(Down::Busy));
        };
        let Some(admitted) = Breaker::admit(pool.breaker.clone()) else {
            span.fail(Down::Recovering.outcome().name());
            return Err(pool.count_down(Down::Recovering));
        };
        let warm = pool.take();
        let is_fresh = warm.is_none();
        if is_fresh {
            pool.add(); // the permit has bounded it
        }
        let mut call = Call { warm, admitted: Some(admitted), began, deadline, pool, span, _permit: permit };
        if is_fresh {
            call.make().await?;
        }
        Ok(call)
    }
}

/// A fresh instance for the calling thread, while there is room.
fn fresh_sync<F: Face>(pool: &Pool<F>) -> Result<Box<Warm<F>>, Down> {
    if !pool.grow() {
        return Err(Down::Busy);
    }
    let make = || {
        let pre = pool.pre().map_err(wasmtime::Error::from)?;
        let mut store = sync_store(pre.engine(), &pool.plugin.granted);
        arm(&mut store, pool.cpu());
        let instance = pre.instantiate(&mut store)?;
        let face = F::bind(&mut store, &instance)?;
        Ok(Box::new(Warm { store, face, calls: 0 }))
    };
    make().map_err(|error| {
        pool.shrink();
        pool.failure(&error)
    })
}

/// A call that may wait, holding its instance. The instance goes back when the call is dropped after
/// an answer; a call that trapped, was stopped or was given up takes its instance with it.
pub(crate) struct Call<F: Face> {
    /// None while the guest runs, and after it failed.
    warm: Option<Box<Warm<F>>>,
    /// Until the outcome is known.
    admitted: Option<Admitted<Arc<Breaker>>>,
    began: Instant,
    deadline: Instant,
    pool: Arc<Pool<F>>,
    /// The step of a trace that it is.
    span: Span,
    _permit: OwnedSemaphorePermit,
}

impl<F: Face> Call<F> {
    /// The instance's handles, to put in what the call is given, or take out what it gave.
    pub(crate) fn table(&mut self) -> Result<&mut ResourceTable, Down> {
        let warm = self.warm.as_mut().ok_or(Down::Trapped)?;
        Ok(&mut warm.store.data_mut().table)
    }

    /// Calls a function and settles its transaction: committed when the guest answered `ok`, undone
    /// otherwise.
    pub(crate) async fn invoke<P, R>(
        &mut self,
        access: Access,
        function: fn(&F) -> &TypedFunc<P, (R,)>,
        params: P,
    ) -> Result<R, Down>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Lift + Answered + Send + Sync + 'static,
    {
        self.invoke_checked(access, function, params, |_| true).await
    }

    /// The same; an answer that does not fit the question is undone and counts as a fault of the
    /// plugin.
    pub(crate) async fn invoke_checked<P, R>(
        &mut self,
        access: Access,
        function: fn(&F) -> &TypedFunc<P, (R,)>,
        params: P,
        fits: impl FnOnce(&R) -> bool,
    ) -> Result<R, Down>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: Lift + Answered + Send + Sync + 'static,
    {
        // Taken out of `self`: should this future be dropped, the instance is dropped with it.
        let mut warm = self.warm.take().ok_or(Down::Trapped)?;
        let state = warm.store.data_mut();
        state.sql.begin(access);
        state.call_ends = Some(self.deadline);
        arm(&mut warm.store, self.pool.cpu());
        let meter = warm.store.data().meter.clone();
        let function = *function(&warm.face);
        let called = metered(meter.clone(), function.call_async(&mut warm.store, params));
        let called = self.span.run(called);
        let answer = match timeout_at(self.deadline, called).await {
            Ok(Ok((answer,))) => answer,
            Ok(Err(error)) => return Err(self.fault(self.pool.failure(&error))),
            Err(_) => return Err(self.fault(self.pool.overdue())),
        };
        if !fits(&answer) {
            // The instance goes, and its open transaction with it.
            return Err(self.fault(self.pool.nonsense()));
        }
        self.pool.stats.time(self.began.elapsed(), meter.spent_ns());
        // The plugin did its part; what the database says now is not held against it.
        if let Some(admitted) = self.admitted.take() {
            admitted.success();
        }
        let sql = &mut warm.store.data_mut().sql;
        let outcome = answer.outcome();
        if outcome == Outcome::Ok {
            let commit = self.span.run(step("store.commit", sql.commit()));
            match timeout(COMMIT, commit).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.warm = Some(warm);
                    return Err(self.failed(error.to_string()));
                }
                Err(_) => return Err(self.failed("the commit took too long".to_owned())),
            }
        } else {
            sql.rollback().await;
        }
        self.warm = Some(warm);
        self.pool.count(outcome);
        Ok(answer)
    }

    async fn make(&mut self) -> Result<(), Down> {
        let pool = self.pool.clone();
        let pre = match pool.pre() {
            Ok(pre) => pre,
            Err(down) => return Err(self.fault(down)),
        };
        let mut store = async_store(pre.engine(), &pool.plugin.granted);
        arm(&mut store, pool.cpu());
        let meter = store.data().meter.clone();
        let made = async {
            let instance = pre.instantiate_async(&mut store).await?;
            F::bind(&mut store, &instance)
        };
        match timeout_at(self.deadline, self.span.run(metered(meter, made))).await {
            Ok(Ok(face)) => {
                self.warm = Some(Box::new(Warm { store, face, calls: 0 }));
                Ok(())
            }
            Ok(Err(error)) => Err(self.fault(pool.failure(&error))),
            Err(_) => Err(self.fault(pool.overdue())),
        }
    }

    /// The host could not do its part.
    fn failed(&mut self, why: String) -> Down {
        let down = Down::Failed(why);
        self.span.fail(down.outcome().name());
        self.pool.count_down(down)
    }

    fn fault(&mut self, down: Down) -> Down {
        self.span.fail(down.outcome().name());
        if let Some(admitted) = self.admitted.take()
            && down.is_fault()
        {
            admitted.fault();
        }
        self.pool.count_down(down)
    }
}

impl<F: Face> Drop for Call<F> {
    fn drop(&mut self) {
        match self.warm.take() {
            Some(warm) => self.pool.give_back(warm),
            None => self.pool.shrink(),
        }
    }
}
