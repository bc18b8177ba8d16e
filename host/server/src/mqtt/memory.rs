//! What a sender's messages need not be asked about again.

use parking_lot::Mutex;
use postern_broker::topic::TopicName;
use postern_guest::roles::classify::Class;

/// A topic whose admission needs no second thought: rights held, the verdict holds for any body.
struct Memo {
    topic: TopicName,
    generation: u64,
    class: Class,
}

/// Topics remembered per sender; most publish to a few.
const MEMOS: usize = 8;

/// The topics of one sender.
#[derive(Default)]
pub struct Memory {
    memos: Mutex<Vec<Memo>>,
    /// What was asked outside of the process.
    #[cfg(feature = "bench-bypass")]
    pub asked: crate::bypass::Asked,
}

impl Memory {
    /// The class of messages to this topic, if the generation that said so is the one that serves.
    pub fn recall(&self, topic: &TopicName, generation: impl FnOnce() -> u64) -> Option<Class> {
        let memos = self.memos.lock();
        let found = memos.iter().find(|m| m.topic == *topic)?;
        (found.generation == generation()).then_some(found.class)
    }

    /// A generation's verdict holds.
    pub fn keep(&self, generation: u64, topic: TopicName, class: Class) {
        let mut memos = self.memos.lock();
        memos.retain(|m| m.generation == generation && m.topic != topic);
        if memos.len() >= MEMOS {
            memos.remove(0);
        }
        memos.push(Memo { topic: topic.detached(), generation, class });
    }
}
