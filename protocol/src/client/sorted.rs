//! A map for keys that come in ascending order and leave in about the same.
//!
//! In: requests and messages by their growing numbers. Out: the first, or any. Both ends cost a constant,
//! the middle a move of what lies between it and the nearer end, which the limits on calls bound. A tree
//! would do that in less, and be a good part of what a page has to download.

use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Sorted<K, V>(VecDeque<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K: Ord + Copy, V> Sorted<K, V> {
    /// Adds a key that is greater than all others.
    pub(super) fn push(&mut self, key: K, value: V) {
        debug_assert!(self.0.back().is_none_or(|(last, _)| *last < key), "keys come in ascending order");
        self.0.push_back((key, value));
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.0.get(self.index(key)?).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let index = self.index(key)?;
        self.0.get_mut(index).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let index = self.index(key)?;
        let last = self.0.len() - 1;
        let removed = if index <= last / 2 {
            (0..index).rev().for_each(|before| self.0.swap(before, before + 1));
            self.0.pop_front()
        } else {
            (index..last).for_each(|after| self.0.swap(after, after + 1));
            self.0.pop_back()
        };
        removed.map(|(_, value)| value)
    }

    pub(super) fn pop_first(&mut self) -> Option<(K, V)> {
        self.0.pop_front()
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = V> {
        self.0.into_iter().map(|(_, value)| value)
    }

    /// In the order of the keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn index(&self, key: K) -> Option<usize> {
        let (mut from, mut to) = (0, self.0.len());
        while from < to {
            // The first is what is mostly looked for.
            let middle = if from == 0 && self.0.front()?.0 == key { 0 } else { usize::midpoint(from, to) };
            match self.0.get(middle)?.0.cmp(&key) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_whatever_leaves() {
        for leaves in 1..=7 {
            let mut sorted = Sorted::default();
            (1..=7).for_each(|key| sorted.push(key, key * 10));
            assert_eq!(sorted.remove(leaves), Some(leaves * 10));
            assert_eq!((sorted.remove(leaves), sorted.get(leaves), sorted.len()), (None, None, 6));
            for key in (1..=7).filter(|key| *key != leaves) {
                assert_eq!(sorted.pop_first(), Some((key, key * 10)));
            }
        }
    }
}
