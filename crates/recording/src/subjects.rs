//! The patients that an operation's rows are about: counted one by one up to a bound, sketched beyond it.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;

use chaperone_access::{RelationName, Subjects, TargetName};
use chaperone_trail::{Counting as How, SubjectCount};
use chaperone_wire::Reply;
use serde_json::json;

use crate::commit::CommitmentKey;
use crate::sketch::Sketch;

/// Different values that one operation keeps one by one.
pub(crate) const SUBJECTS_EXACT_MAX: usize = 1024;

/// What is known of an operation's patients.
pub(crate) enum Counting {
    /// No relation that it reads has a column that tells.
    None,
    /// There is such a column, and the result does not return it.
    OutOfReach,
    /// So far.
    Counted(Box<Counted>),
}

/// What has been seen so far.
pub(crate) struct Counted {
    at: Arc<[(u16, RelationName, Arc<str>)]>,
    /// Hashes of the values, each with its column. Keyed anew by each process, so that nobody chooses values that collide.
    seen: HashSet<u64, BuildHasherDefault<Plain>>,
    /// By column: in the order in which the values came.
    commitments: Vec<(usize, [u8; 32])>,
    last: Option<u64>,
    /// From the bound on, in the place of the two before.
    sketch: Option<Sketch>,
    /// Not everything could be read.
    missed: bool,
}

impl Counting {
    pub(crate) fn of(subjects: &Subjects) -> Self {
        match subjects {
            Subjects::None => Self::None,
            Subjects::OutOfReach => Self::OutOfReach,
            Subjects::At(at) => Self::Counted(Box::new(Counted {
                at: at.clone(),
                seen: HashSet::default(),
                commitments: Vec::new(),
                last: None,
                sketch: None,
                missed: false,
            })),
        }
    }

    /// How many, without their commitments.
    pub(crate) fn count(&self) -> Option<SubjectCount> {
        let (counted, counting) = match self {
            Self::None => return None,
            Self::OutOfReach => (0, How::OutOfReach),
            Self::Counted(counted) => counted.count(),
        };
        Some(SubjectCount { commitments: None, counted, counting })
    }

    /// The commitments, where all are there: a JSON array with an object a column.
    pub(crate) fn commitments(&self) -> Option<Vec<u8>> {
        match self {
            Self::None | Self::OutOfReach => None,
            Self::Counted(counted) => counted.plain(),
        }
    }
}

impl Counted {
    /// Look at a piece of the result.
    pub(crate) fn look(
        &mut self,
        reply: &impl Reply,
        key: &CommitmentKey,
        target: &TargetName,
        apart: &RandomState,
    ) {
        let all = reply.subjects(&mut |place, value| {
            // A result column that can be one of several: whichever it is, it is one value.
            if self.at.get(..place).and_then(<[_]>::last).map(index) == self.at.get(place).map(index) {
                return;
            }
            let hash = apart.hash_one((place, value));
            // Rows about one patient often follow each other.
            if self.last == Some(hash) {
                return;
            }
            self.last = Some(hash);
            if let Some(sketch) = &mut self.sketch {
                sketch.add(hash);
            } else if !self.seen.contains(&hash) {
                self.first(place, value, hash, key, target);
            }
        });
        self.missed |= !all;
    }

    /// A value that was not seen before.
    fn first(&mut self, place: usize, value: &[u8], hash: u64, key: &CommitmentKey, target: &TargetName) {
        if self.seen.len() >= SUBJECTS_EXACT_MAX {
            let mut sketch = Sketch::new();
            for hash in self.seen.drain().chain([hash]) {
                sketch.add(hash);
            }
            self.sketch = Some(sketch);
            self.seen = HashSet::default();
            self.commitments = Vec::new();
            return;
        }
        self.seen.insert(hash);
        let of = self.at.iter().enumerate().skip(place);
        for (also, one) in of.take_while(|(_, one)| Some(index(one)) == self.at.get(place).map(index)) {
            let (_, relation, column) = one;
            let commitment = key.patient(target.as_str(), &relation.to_string(), column, value);
            self.commitments.push((also, commitment));
        }
    }

    fn count(&self) -> (u64, How) {
        let (counted, counting) = match &self.sketch {
            Some(sketch) => (sketch.estimate(), How::Sketched),
            None => (self.seen.len() as u64, How::Exact),
        };
        (counted, if self.missed { How::NotCounted } else { counting })
    }

    fn plain(&self) -> Option<Vec<u8>> {
        if self.commitments.is_empty() || self.sketch.is_some() {
            return None;
        }
        let of = |(place, (_, relation, column)): (usize, &(u16, RelationName, Arc<str>))| {
            let mut commitments: Vec<String> = self
                .commitments
                .iter()
                .filter(|(of, _)| *of == place)
                .map(|(_, commitment)| hex::encode(commitment))
                .collect();
            // In the order of the values they would tell where each stood in the result.
            commitments.sort_unstable();
            json!({ "column": column.as_ref(), "commitments": commitments, "relation": relation.to_string() })
        };
        let all: Vec<_> = self.at.iter().enumerate().map(of).collect();
        Some(json!(all).to_string().into_bytes())
    }
}

/// Which column of the result it is.
fn index((index, ..): &(u16, RelationName, Arc<str>)) -> u16 {
    *index
}

/// Hashes are hashed already.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use chaperone_wire::Part;

    use super::*;

    #[derive(Debug)]
    struct Piece(Vec<(usize, String)>, bool);

    impl Reply for Piece {
        fn part(&self) -> &Part {
            &Part::Head
        }

        fn size(&self) -> usize {
            0
        }

        fn subjects(&self, see: &mut dyn FnMut(usize, &[u8])) -> bool {
            for (place, value) in &self.0 {
                see(*place, value.as_bytes());
            }
            self.1
        }

        fn looked_through(&self) -> Option<&chaperone_wire::LookedThrough> {
            None
        }

        fn printed(&self) -> Option<(chaperone_wire::Printed, &str)> {
            None
        }

        fn about(&self) -> Option<&Arc<chaperone_access::Analysis>> {
            None
        }
    }

    fn counted(pieces: &[Piece]) -> Counting {
        let at = [
            (0, RelationName::new("clinic", "patients"), Arc::from("mrn")),
            (3, RelationName::new("clinic", "visits"), Arc::from("mrn")),
        ];
        let mut counting = Counting::of(&Subjects::At(Arc::from(at)));
        let (key, target, apart) =
            (CommitmentKey::new(1, &[7; 32]), "clinic".parse().unwrap(), RandomState::new());
        for piece in pieces {
            if let Counting::Counted(counted) = &mut counting {
                counted.look(piece, &key, &target, &apart);
            }
        }
        counting
    }

    fn values(place: usize, values: impl Iterator<Item = u32>) -> Piece {
        Piece(values.map(|value| (place, value.to_string())).collect(), true)
    }

    #[test]
    fn each_value_counts_once_and_can_be_confirmed_by_whoever_has_the_key() {
        let counting = counted(&[values(0, 1..=3), values(1, 3..=4), values(0, [2, 2, 1].into_iter())]);
        let count = counting.count().unwrap();
        assert_eq!((count.counted, count.counting), (5, How::Exact), "each column by itself");
        let plain: serde_json::Value = serde_json::from_slice(&counting.commitments().unwrap()).unwrap();
        let expected = CommitmentKey::new(1, &[7; 32]).patient("clinic", "clinic.visits", "mrn", b"4");
        assert_eq!(plain[1]["relation"], "clinic.visits");
        let commitments = plain[1]["commitments"].as_array().unwrap();
        assert!(commitments.contains(&json!(hex::encode(expected))));
        assert_eq!((plain[0]["commitments"].as_array().unwrap().len(), commitments.len()), (3, 2));
    }

    #[test]
    fn a_value_of_one_of_several_columns_counts_once_and_is_found_by_each() {
        let of = |relation: &str| (0, RelationName::new("clinic", relation), Arc::from("mrn"));
        let mut counting = Counting::of(&Subjects::At(Arc::from([of("patients"), of("visits")])));
        let (key, target) = (CommitmentKey::new(1, &[7; 32]), "clinic".parse().unwrap());
        let piece = Piece([0, 1, 0, 1].map(|place| (place, "4".to_owned())).into(), true);
        if let Counting::Counted(counted) = &mut counting {
            counted.look(&piece, &key, &target, &RandomState::new());
        }
        assert_eq!(counting.count().unwrap().counted, 1);
        let plain: serde_json::Value = serde_json::from_slice(&counting.commitments().unwrap()).unwrap();
        for (place, relation) in ["clinic.patients", "clinic.visits"].into_iter().enumerate() {
            let expected = CommitmentKey::new(1, &[7; 32]).patient("clinic", relation, "mrn", b"4");
            assert_eq!(plain[place]["commitments"], json!([hex::encode(expected)]), "{relation}");
        }
    }

    #[test]
    fn beyond_the_bound_it_is_an_estimate_and_keeps_no_commitment() {
        let bound = u32::try_from(SUBJECTS_EXACT_MAX).unwrap();
        let counting = counted(&[values(0, 0..bound)]);
        let count = counting.count().unwrap();
        assert_eq!((count.counted, count.counting), (u64::from(bound), How::Exact));
        let counting = counted(&[values(0, 0..bound + 1)]);
        let count = counting.count().unwrap();
        assert_eq!(count.counting, How::Sketched);
        assert!(count.counted.abs_diff(u64::from(bound)) < 100, "{}", count.counted);
        assert_eq!(counting.commitments(), None);
    }

    #[test]
    fn what_could_not_be_read_is_flagged() {
        let counting = counted(&[values(0, 1..=3), Piece(vec![], false)]);
        let count = counting.count().unwrap();
        assert_eq!((count.counted, count.counting), (3, How::NotCounted));
        assert!(counting.commitments().is_some(), "what was read is there all the same");
        assert!(Counting::of(&Subjects::None).count().is_none());
        assert_eq!(Counting::of(&Subjects::OutOfReach).count().unwrap().counting, How::OutOfReach);
    }
}
