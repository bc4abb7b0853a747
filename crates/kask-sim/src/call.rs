//! What a simulated task does and what it gives: the only place that knows, used by runners and model alike.
//!
//! A call travels as ten bytes in the argument payload or the item payload. Its value is a hash of everything that
//! must reach the runner unharmed: function, arguments, item, position, and the inputs' values, hole by hole.

use crate::rng::mix;
use kask_graph::{Slot, Slots};
use kask_types::{BlobId, Payload};
use kask_wire::ComputeTask;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Gives its value.
    Plain,
    /// Raises whenever it runs.
    Raises,
    /// Raises so many times, then gives its value.
    RaisesFirst(u8),
    /// Kills its worker whenever it runs.
    Kills,
    /// Kills so many workers, then gives its value.
    KillsFirst(u8),
    /// Asks so many times to be run elsewhere.
    Reschedules(u8),
    /// Leaves its runner half-way, and may come back.
    Secedes,
}

/// A behaviour, and something that makes the call's value its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Any number.
    pub salt: u64,
    /// What happens.
    pub behaviour: Behaviour,
}

/// One hole of a call, filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filled<T> {
    /// With one input.
    One(T),
    /// With a list of inputs.
    List(Vec<T>),
}

impl Call {
    /// As it travels.
    pub fn encode(self) -> Vec<u8> {
        let (kind, count) = match self.behaviour {
            Behaviour::Plain => (0, 0),
            Behaviour::Raises => (1, 0),
            Behaviour::RaisesFirst(n) => (2, n),
            Behaviour::Kills => (3, 0),
            Behaviour::KillsFirst(n) => (4, n),
            Behaviour::Reschedules(n) => (5, n),
            Behaviour::Secedes => (6, 0),
        };
        let mut bytes = self.salt.to_le_bytes().to_vec();
        bytes.extend([kind, count]);
        bytes
    }

    /// Reads what [`Call::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Call> {
        let (salt, rest) = bytes.split_first_chunk::<8>()?;
        let behaviour = match *rest {
            [0, 0] => Behaviour::Plain,
            [1, 0] => Behaviour::Raises,
            [2, n] => Behaviour::RaisesFirst(n),
            [3, 0] => Behaviour::Kills,
            [4, n] => Behaviour::KillsFirst(n),
            [5, n] => Behaviour::Reschedules(n),
            [6, 0] => Behaviour::Secedes,
            _ => return None,
        };
        Some(Call { salt: u64::from_le_bytes(*salt), behaviour })
    }
}

/// The bytes of a payload that has no buffers.
pub(crate) fn bytes_of(payload: &Payload) -> &[u8] {
    match payload {
        Payload::Bytes { head, buffers } if buffers.is_empty() => &head.0,
        Payload::Bytes { .. } | Payload::Local(_) => panic!("the simulator sends plain bytes only"),
    }
}

/// What a task does: its item says, or else its arguments.
pub(crate) fn call_of(task: &ComputeTask) -> Call {
    let bytes = bytes_of(task.item.as_ref().unwrap_or(&task.args));
    Call::decode(bytes).expect("a call arrives as it was sent")
}

/// Distributes inputs over the holes.
pub(crate) fn fill<T: Clone>(slots: &Slots, inputs: &[T]) -> Vec<Filled<T>> {
    match slots {
        Slots::Each => inputs.iter().cloned().map(Filled::One).collect(),
        Slots::OneList => vec![Filled::List(inputs.to_vec())],
        Slots::Mixed(slots) => {
            let mut left = inputs;
            let mut holes = Vec::new();
            for slot in slots.iter() {
                let count = match slot {
                    Slot::One => 1,
                    Slot::List(count) => *count as usize,
                };
                let (taken, rest) = left.split_at(count);
                holes.push(match slot {
                    Slot::One => Filled::One(taken[0].clone()),
                    Slot::List(_) => Filled::List(taken.to_vec()),
                });
                left = rest;
            }
            assert!(left.is_empty(), "every input fills a hole");
            holes
        }
    }
}

/// The value of a call.
pub(crate) fn value_of(
    function: Option<BlobId>,
    args: &[u8],
    item: Option<&[u8]>,
    position: Option<&[u32]>,
    holes: &[Filled<u64>],
) -> u64 {
    let mut hash = Hash(0);
    hash.add(function.map_or(1, |id| mix(id.0 as u64) ^ (id.0 >> 64) as u64));
    hash.bytes(args);
    hash.bytes(item.unwrap_or(b"none"));
    hash.add(position.map_or(u64::MAX, |position| position.len() as u64));
    position.unwrap_or_default().iter().for_each(|&i| hash.add(u64::from(i)));
    for hole in holes {
        match hole {
            Filled::One(value) => {
                hash.add(1);
                hash.add(*value);
            }
            Filled::List(values) => {
                hash.add(2 + values.len() as u64);
                values.iter().for_each(|&value| hash.add(value));
            }
        }
    }
    hash.0
}

/// What a task reads of a value: a part of it, or all.
pub(crate) fn part_of(value: u64, part: Option<u32>) -> u64 {
    part.map_or(value, |part| mix(value ^ mix(u64::from(part) + 1)))
}

struct Hash(u64);

impl Hash {
    fn add(&mut self, word: u64) {
        self.0 = mix(self.0.wrapping_mul(0x0000_0100_0000_01b3) ^ word.wrapping_add(0x9e37_79b9_7f4a_7c15));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        bytes.iter().for_each(|&byte| self.add(u64::from(byte)));
    }
}

/// Size of a value: anything, but always the same for the same value.
pub(crate) fn nbytes_of(value: u64) -> u64 {
    8 + mix(value) % 5000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_travel_and_every_part_matters() {
        for behaviour in [Behaviour::Plain, Behaviour::RaisesFirst(3), Behaviour::Kills, Behaviour::Secedes] {
            let call = Call { salt: 77, behaviour };
            assert_eq!(Call::decode(&call.encode()), Some(call));
        }
        let base = value_of(None, b"a", None, None, &[Filled::One(1), Filled::One(2)]);
        assert_ne!(base, value_of(None, b"a", None, None, &[Filled::One(2), Filled::One(1)]));
        assert_ne!(base, value_of(None, b"a", None, None, &[Filled::List(vec![1, 2])]));
        assert_ne!(base, value_of(None, b"a", None, Some(&[]), &[Filled::One(1), Filled::One(2)]));
        assert_ne!(base, value_of(Some(BlobId(3)), b"a", None, None, &[Filled::One(1), Filled::One(2)]));
    }

    #[test]
    fn holes_are_filled_in_order() {
        let slots = Slots::Mixed([Slot::List(2), Slot::One].into());
        assert_eq!(fill(&slots, &[1, 2, 3]), [Filled::List(vec![1, 2]), Filled::One(3)]);
    }
}
