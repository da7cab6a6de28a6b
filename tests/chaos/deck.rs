//! A deck of cards that is shuffled by a seed whenever it is empty. Pure.
//!
//! Every kind comes up as often as the deck says, in an order that nobody chose.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

#[derive(Debug)]
pub(crate) struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    pub(crate) fn of(all: &[T]) -> Self {
        Self { all: all.to_vec(), left: Vec::new() }
    }

    /// The next card; none if there are none at all.
    pub(crate) fn draw(&mut self, random: &mut StdRng) -> Option<T> {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            self.left.shuffle(random);
        }
        self.left.pop()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn drawn(seed: u64) -> Vec<u8> {
        let (mut deck, mut random) = (Deck::of(&[1, 1, 2, 3]), StdRng::seed_from_u64(seed));
        (0..8).filter_map(|_| deck.draw(&mut random)).collect()
    }

    #[test]
    fn every_card_comes_up_before_one_comes_again() {
        for half in drawn(1).chunks(4) {
            let mut half = half.to_vec();
            half.sort_unstable();
            assert_eq!(half, [1, 1, 2, 3]);
        }
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(drawn(7), drawn(7));
        assert!((0..20).any(|seed| drawn(seed) != drawn(7)));
    }
}
