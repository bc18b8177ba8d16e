//! `postern:host/http-password`: a typed password in a request, unseen by the plugin.

use tokio::time::Instant;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::bindings::postern::host::http::{HttpError, Request, Response};
use super::bindings::postern::host::http_password::{self, Place};
use super::http::not_granted;
use super::password::Secret;
use crate::http::{Http, password};
use crate::state::State;

pub(crate) struct HttpPasswordView<'a> {
    http: Option<&'a Http>,
    call_ends: Option<Instant>,
    table: &'a mut ResourceTable,
}

impl HasData for HttpPasswordView<'static> {
    type Data<'a> = HttpPasswordView<'a>;
}

impl http_password::Host for HttpPasswordView<'_> {
    async fn send(
        &mut self,
        request: Request,
        typed: Resource<Secret>,
        place: Place,
    ) -> wasmtime::Result<Result<Response, HttpError>> {
        let secret = self.table.get(&typed)?.clone();
        let Some(http) = self.http else { return Ok(Err(not_granted())) };
        let sent = async {
            let mut prepared = http.prepare(request.into())?;
            password::put(&mut prepared, secret.reveal(), place.into())?;
            http.send(prepared, self.call_ends).await
        };
        Ok(sent.await.map(Into::into).map_err(Into::into))
    }
}

impl From<Place> for password::Place {
    fn from(place: Place) -> Self {
        match place {
            Place::Json(name) => password::Place::Json(name),
            Place::Form(name) => password::Place::Form(name),
            Place::Basic(user) => password::Place::Basic(user),
        }
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    http_password::add_to_linker::<State, HttpPasswordView<'static>>(linker, |state| HttpPasswordView {
        http: state.granted.http.as_ref(),
        call_ends: state.call_ends,
        table: &mut state.table,
    })
}
