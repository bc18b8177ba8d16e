//! How many requests of one address are under way: who sends half a request, and sixty-three more, waits
//! for nobody but himself.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use parking_lot::Mutex;

use super::{Problem, busy, pace::neighbourhood};
use crate::listen::http::Peer;

/// Requests under way by address; addresses without any are not remembered.
#[derive(Debug)]
pub(super) struct Crowd {
    most: u32,
    under_way: Mutex<HashMap<IpAddr, u32>>,
}

impl Crowd {
    /// At most so many of each address.
    pub(super) fn of(most: u32) -> Arc<Self> {
        Arc::new(Crowd { most, under_way: Mutex::default() })
    }

    /// A place for one more; None when the address has all it may have.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = neighbourhood(address);
        let mut under_way = self.under_way.lock();
        let count = under_way.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { of: self.clone(), address })
    }
}

/// A request's place; given back when dropped.
struct Place {
    of: Arc<Crowd>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.of.under_way.lock();
        if let Some(count) = under_way.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.address);
            }
        }
    }
}

/// Lets a request on when its address has a place left.
pub(super) async fn one_more(
    State(crowd): State<Arc<Crowd>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let _place = match request.extensions().get::<Peer>() {
        Some(Peer::Network(peer)) => {
            Some(crowd.enter(peer.ip()).ok_or_else(|| busy("http-requests-per-address"))?)
        }
        _ => None,
    };
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places_and_gives_them_back() {
        let crowd = Crowd::of(2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = crowd.enter(address("2001:db8::1")).unwrap();
        let _second = crowd.enter(address("2001:db8::2")).unwrap();
        assert!(crowd.enter(address("2001:db8::3")).is_none(), "one customer's network");
        assert!(crowd.enter(address("192.0.2.1")).is_some());
        drop(first);
        assert!(crowd.enter(address("2001:db8::3")).is_some());
        assert_eq!(crowd.under_way.lock().len(), 1);
    }
}
