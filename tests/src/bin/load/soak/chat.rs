//! Every instant message of the soak, from its PUBACK to the recipient and to history.

use std::sync::Mutex;

use serde_json::{Value, json};

const ACKED: u8 = 1;
const CAME: u8 = 2;
const READ: u8 = 4;

/// What became of each message, by sender and number.
pub(crate) struct Chat(Mutex<Book>);

#[derive(Default)]
struct Book {
    senders: Vec<Vec<u8>>,
    /// Deliveries beyond the first: QoS 1 may.
    came_again: u64,
    /// In history more than once: it must not.
    read_again: u64,
    /// Messages that nobody sent.
    foreign: u64,
}

impl Book {
    /// Sets a mark; whether it was set before.
    fn mark(&mut self, from: usize, number: usize, mark: u8) -> bool {
        let Some(sender) = self.senders.get_mut(from) else {
            self.foreign += 1;
            return false;
        };
        if sender.len() <= number {
            sender.resize(number + 1, 0);
        }
        let Some(marks) = sender.get_mut(number) else { return false };
        let was = *marks & mark != 0;
        *marks |= mark;
        was
    }

    fn with(&self, set: u8, unset: u8) -> usize {
        let is = |marks: &&u8| **marks & set == set && **marks & unset == 0;
        self.senders.iter().map(|sender| sender.iter().filter(is).count()).sum()
    }
}

impl Chat {
    /// Nothing said yet by so many.
    pub(crate) fn of(senders: usize) -> Self {
        Chat(Mutex::new(Book { senders: vec![Vec::new(); senders], ..Book::default() }))
    }

    fn book<T: Default>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        self.0.lock().map(|mut book| work(&mut book)).unwrap_or_default()
    }

    /// It is stored, the server says.
    pub(crate) fn acked(&self, from: usize, number: usize) {
        self.book(|book| book.mark(from, number, ACKED));
    }

    /// Its recipient got it; false: once more.
    pub(crate) fn came(&self, from: usize, number: usize) -> bool {
        self.book(|book| {
            let again = book.mark(from, number, CAME);
            book.came_again += u64::from(again);
            !again
        })
    }

    /// It stands in its recipient's history.
    pub(crate) fn read(&self, from: usize, number: usize) {
        self.book(|book| {
            let again = book.mark(from, number, READ);
            book.read_again += u64::from(again);
        });
    }

    /// How many the server says are stored.
    pub(crate) fn stored(&self) -> usize {
        self.book(|book| book.with(ACKED, 0))
    }

    /// Acknowledged, and not delivered yet.
    pub(crate) fn on_the_way(&self) -> usize {
        self.book(|book| book.with(ACKED, CAME))
    }

    /// How all of it ended.
    pub(crate) fn report(&self) -> Value {
        self.book(|book| {
            json!({
                "acked": book.with(ACKED, 0),
                "came": book.with(CAME, 0),
                "came_again": book.came_again,
                "read": book.with(READ, 0),
                "not_delivered": book.with(ACKED, CAME),
                "not_in_history": book.with(ACKED, READ),
                "twice_in_history": book.read_again,
                "never_acked": book.with(CAME, ACKED),
                "foreign": book.foreign,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_double_shows() {
        let chat = Chat::of(2);
        [(0, 0), (0, 1), (1, 5)].into_iter().for_each(|(from, number)| chat.acked(from, number));
        assert!(chat.came(0, 0) && !chat.came(0, 0) && chat.came(1, 5));
        assert_eq!(chat.on_the_way(), 1);
        [(0, 0), (0, 1), (0, 1), (7, 0)].into_iter().for_each(|(from, number)| chat.read(from, number));
        let told = chat.report();
        let of = |key: &str| told[key].as_u64().unwrap();
        assert_eq!((of("acked"), of("came"), of("came_again")), (3, 2, 1));
        assert_eq!((of("not_delivered"), of("not_in_history"), of("twice_in_history")), (1, 1, 1));
        assert_eq!((of("never_acked"), of("foreign")), (0, 1));
    }
}
