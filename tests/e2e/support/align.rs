//! Two orders of the same events, one of which may lack some.

/// What theirs have that ours do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absent {
    /// That ours should have.
    pub missing: usize,
    /// That may have been hidden from ours (see `maybe_unseen`).
    pub hidden: usize,
}

/// Finds ours among theirs, each of which may have been hidden or not, in the same order and so that as few as can be are missing;
/// `None` if there is one of ours that they do not have.
pub fn align<T: PartialEq>(ours: &[T], theirs: &[(T, bool)]) -> Option<Absent> {
    // So many of theirs are absent in all; before each of ours, at most so many.
    let most = theirs.len().checked_sub(ours.len())?;
    let skipped = |absent: Absent, hidden: bool| Absent {
        missing: absent.missing + usize::from(!hidden),
        hidden: absent.hidden + usize::from(hidden),
    };
    // By the number that are absent so far: the best way that leads there, if there is one.
    let mut best: Vec<Option<Absent>> = vec![Some(Absent::default())];
    best.resize(most + 1, None);
    for at in 0..=ours.len() {
        for absent in 0..most {
            let via_skip = best[absent].map(|before| skipped(before, theirs[at + absent].1));
            let now = best[absent + 1];
            best[absent + 1] = [now, via_skip].into_iter().flatten().min_by_key(|way| way.missing);
        }
        if let Some(our) = ours.get(at) {
            for (absent, way) in best.iter_mut().enumerate() {
                *way = way.filter(|_| theirs[at + absent].0 == *our);
            }
        }
    }
    best[most]
}

#[test]
fn prefers_those_that_may_be_hidden() {
    let theirs = [(1, false), (2, true), (1, true), (2, false), (1, false)];
    assert_eq!(align(&[1, 2, 1], &theirs), Some(Absent { missing: 0, hidden: 2 }));
    assert_eq!(align(&[1, 1], &theirs), Some(Absent { missing: 1, hidden: 2 }));
    assert_eq!(align(&[], &theirs), Some(Absent { missing: 3, hidden: 2 }));
    assert_eq!(align(&[1, 2, 1, 2, 1], &theirs), Some(Absent::default()));
    assert_eq!(align(&[2, 2, 2], &theirs), None);
    assert_eq!(align(&[1, 2, 1, 2, 1, 2], &theirs), None);
}
