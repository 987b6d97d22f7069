//! Sets of whole numbers, as ascending ranges.

use super::syntax::Order;

/// Inclusive.
pub type Range = (i128, i128);

/// Disjoint ranges in ascending order, with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(pub Vec<Range>);

impl Ranges {
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut sorted: Vec<Range> = ranges.into_iter().filter(|(from, to)| from <= to).collect();
        sorted.sort_unstable();
        let mut merged: Vec<Range> = Vec::new();
        for (from, to) in sorted {
            match merged.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Ranges(merged)
    }

    /// The numbers `n` in the range for which `n * factor order number` holds; `factor` is positive.
    #[must_use]
    pub fn of(factor: i128, order: Order, number: i128, (least, most): Range) -> Self {
        let floor = number.div_euclid(factor);
        let exact = number.rem_euclid(factor) == 0;
        let below = if exact { floor - 1 } else { floor };
        let equal = (floor, if exact { floor } else { floor - 1 });
        let all = Ranges(vec![(least, most)]);
        let only = |range| Ranges::new([range]).and(&all);
        match order {
            Order::Equal => only(equal),
            Order::NotEqual => all.without(&Ranges::new([equal])),
            Order::Less => only((least, below)),
            Order::LessOrEqual => only((least, floor)),
            Order::Greater => only((floor + 1, most)),
            Order::GreaterOrEqual => only((below + 1, most)),
        }
    }

    #[must_use]
    pub fn and(&self, other: &Ranges) -> Self {
        let pairs = self.0.iter().flat_map(|one| other.0.iter().map(move |two| (one, two)));
        Ranges::new(pairs.map(|(one, two)| (one.0.max(two.0), one.1.min(two.1))))
    }

    #[must_use]
    pub fn or(&self, other: &Ranges) -> Self {
        Ranges::new(self.0.iter().chain(&other.0).copied())
    }

    /// The numbers that the other set does not have.
    #[must_use]
    pub fn without(&self, other: &Ranges) -> Self {
        let mut left = Vec::new();
        for &(from, to) in &self.0 {
            let mut from = from;
            for &(first, last) in &other.0 {
                if first <= to && last >= from {
                    left.push((from, first - 1));
                    from = last + 1;
                }
            }
            left.push((from, to));
        }
        Ranges::new(left)
    }

    #[must_use]
    pub fn contains(&self, number: i128) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORDERS: [Order; 6] = [
        Order::Equal,
        Order::NotEqual,
        Order::Less,
        Order::LessOrEqual,
        Order::Greater,
        Order::GreaterOrEqual,
    ];

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(Ranges::new([(5, 6), (1, 2), (3, 3), (9, 8)]).0, [(1, 3), (5, 6)]);
        assert_eq!(
            Ranges::new([(0, 9)]).without(&Ranges::new([(0, 0), (4, 5)])).0,
            [(1, 3), (6, 9)]
        );
    }

    fn ranges() -> impl Strategy<Value = Ranges> {
        prop::collection::vec((-9..9_i128, -9..9_i128), 0..5).prop_map(Ranges::new)
    }

    proptest! {
        #[test]
        fn sets_have_the_numbers_that_they_should(one in ranges(), two in ranges()) {
            for n in -12..12 {
                let (in_one, in_two) = (one.contains(n), two.contains(n));
                prop_assert_eq!(one.and(&two).contains(n), in_one && in_two);
                prop_assert_eq!(one.or(&two).contains(n), in_one || in_two);
                prop_assert_eq!(one.without(&two).contains(n), in_one && !in_two);
            }
        }

        #[test]
        fn a_comparison_is_a_set(factor in 1..7_i128, number in -40..40_i128) {
            for order in ORDERS {
                let set = Ranges::of(factor, order, number, (-5, 9));
                for n in -8..12 {
                    let holds = (-5..=9).contains(&n) && order.holds((n * factor).cmp(&number));
                    prop_assert_eq!(set.contains(n), holds, "{} {:?} {} {}", n, order, factor, number);
                }
            }
        }
    }
}
