//! Where the journeys read the time of day; what they call is told it. (The audit log, the certificate's
//! check at the start and the plugins' `clock` read their own.)

use std::time::{SystemTime, UNIX_EPOCH};

use postern_broker::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
