//! Who saves messages: the role store.

use std::sync::Arc;

use postern_guest::{
    CallError, Slots,
    roles::store::{Message, Saved, StoreError},
};

/// What batches are handed to.
pub struct Saving {
    /// What serves the role.
    pub slots: Arc<Slots>,
    /// What saves without it.
    #[cfg(feature = "bench-bypass")]
    pub native: Option<crate::bypass::Native>,
}

impl Saving {
    /// Saves a batch in one transaction: `Ok` means committed.
    ///
    /// # Errors
    /// As the plugin says, or why it says nothing; then nothing was saved.
    pub async fn save(&self, messages: Arc<[Message]>) -> Result<Vec<Saved>, CallError<StoreError>> {
        #[cfg(feature = "bench-bypass")]
        if let Some(native) = &self.native {
            return native.save(messages).await.map_err(|e| CallError::Answer(StoreError::Unavailable(e)));
        }
        self.slots.store().save(messages).await
    }
}
