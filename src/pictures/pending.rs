//! Pictures that wait for the link: the latest of each label. An older one is of no use beside it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The latest picture of each label that was not published yet.
#[derive(Debug, Default)]
pub struct Pending {
    latest: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Pending {
    /// A newer picture of this label.
    pub fn put(&self, label: &str, jpeg: Vec<u8>) {
        self.lock().insert(label.to_owned(), jpeg);
    }

    /// The next to publish: its label and bytes.
    pub fn take(&self) -> Option<(String, Vec<u8>)> {
        self.lock().pop_first()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_picture_of_a_label_waits() {
        let pending = Pending::default();
        pending.put("walrus", vec![1]);
        pending.put("polar_bear", vec![2]);
        pending.put("polar_bear", vec![3]);
        assert_eq!(pending.take(), Some(("polar_bear".to_owned(), vec![3])));
        assert_eq!(pending.take(), Some(("walrus".to_owned(), vec![1])));
        assert_eq!(pending.take(), None);
    }
}
