//! Keys: what names a task's result, equal for equal work in any process, on any machine.
//!
//! On the wire and in tables a key is 128 bits. What a person reads (`inc-<32 hex digits>`,
//! `('x-<32 hex digits>', 0, 3)`, or the string the user chose) is a [`TaskName`], kept per family of tasks
//! and printed on demand.

use crate::ids::{LayerToken, hex128};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

hex128! {
    /// The 128-bit identity of a task's result.
    Key
}

/// The first 128 bits of BLAKE3.
pub fn hash128(content: &[u8]) -> u128 {
    let hash = blake3::hash(content);
    let (head, _) = hash.as_bytes().split_at(16);
    u128::from_le_bytes(head.try_into().expect("16 of BLAKE3's 32 bytes"))
}

impl Key {
    /// The key that a printed name stands for.
    ///
    /// `prefix-<32 hex digits>` names the key with those digits; any other name is hashed.
    ///
    /// ```
    /// # use kask_types::Key;
    /// let key = Key(0xabc);
    /// assert_eq!(Key::from_name(&format!("inc-{key}")), key);
    /// assert_eq!(Key::from_name("my-key"), Key::from_name("my-key"));
    /// ```
    pub fn from_name(name: &str) -> Key {
        if let Some((_, digits)) = name.rsplit_once('-')
            && digits.len() == 32
            && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Key(u128::from_str_radix(digits, 16).expect("32 hex digits fit 128 bits"));
        }
        Key(hash128(name.as_bytes()))
    }

    /// The key of block `index` (in C order) of a layer whose tasks form a grid.
    ///
    /// ```
    /// # use kask_types::{Key, LayerToken};
    /// assert_ne!(Key::block(LayerToken(7), 0), Key::block(LayerToken(7), 1));
    /// ```
    pub fn block(layer: LayerToken, index: u32) -> Key {
        // Two rounds of the 64-bit SplitMix finaliser, crossed, so that each index moves all 128 bits.
        let low = splitmix(layer.0 as u64 ^ splitmix(u64::from(index).wrapping_add(1)));
        let high = splitmix((layer.0 >> 64) as u64 ^ splitmix(low ^ (u64::from(index) << 32)));
        Key(u128::from(high) << 64 | u128::from(low))
    }
}

fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How a task's key is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskName {
    /// `prefix-<hex of the key>`.
    Hashed {
        /// The family's name, as a rule the function's.
        prefix: Arc<str>,
        /// The key whose digits are printed.
        key: Key,
    },
    /// `('prefix-<hex of the layer>', i, j, ...)`.
    Block {
        /// The family's name.
        prefix: Arc<str>,
        /// The layer whose digits are printed.
        layer: LayerToken,
        /// Position in the layer's grid.
        index: SmallVec<[u32; 4]>,
    },
    /// The name that the user chose.
    Custom(Arc<str>),
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskName::Hashed { prefix, key } => write!(f, "{prefix}-{key}"),
            TaskName::Block { prefix, layer, index } => {
                write!(f, "('{prefix}-{layer}'")?;
                for i in index {
                    write!(f, ", {i}")?;
                }
                write!(f, ")")
            }
            TaskName::Custom(name) => write!(f, "{name}"),
        }
    }
}
