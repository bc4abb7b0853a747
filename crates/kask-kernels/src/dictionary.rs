//! Dictionaries of several arrays made one.
//!
//! The united dictionary has the first one's values in their order, then what the next ones add. So it is the first when all
//! are equal (the categories of a table keep their order), and it depends on the order of the arrays alone.

use crate::compact::compact;
use crate::error::KernelError;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, DictionaryArray, PrimitiveArray, new_empty_array};
use arrow_buffer::{Buffer, MutableBuffer, NullBuffer, ScalarBuffer};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, DataType};
use arrow_select::interleave::interleave;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What several dictionaries became.
pub(crate) struct United {
    /// The values of all.
    pub(crate) values: ArrayRef,
    /// The type of keys into them.
    pub(crate) key_type: DataType,
    /// For each dictionary, the new key of each old one; `None` when keys stay as they are.
    pub(crate) maps: Vec<Option<Arc<[u32]>>>,
}

/// Unites dictionaries, each with the type of its keys. There must be at least one, and all of one value type.
pub(crate) fn unite(dictionaries: &[(ArrayRef, DataType)]) -> Result<United, KernelError> {
    let key_type = widest(dictionaries.iter().map(|(_, key_type)| key_type));
    let (first, _) = &dictionaries[0];
    if dictionaries.iter().all(|(values, _)| is_same(values, first)) {
        let key_type = wide_enough(key_type, first.len());
        return Ok(United { values: first.clone(), key_type, maps: vec![None; dictionaries.len()] });
    }
    let arrays: Vec<&dyn Array> = dictionaries.iter().map(|(values, _)| values.as_ref()).collect();
    let (chosen, maps) = first_appearances(&arrays)?;
    let values = match chosen.is_empty() {
        true => new_empty_array(first.data_type()),
        false => compact(&interleave(&arrays, &chosen)?)?,
    };
    let maps = maps.into_iter().map(|map| (!is_identity(&map)).then(|| map.into())).collect();
    Ok(United { key_type: wide_enough(key_type, values.len()), values, maps })
}

/// Equal because they are the same memory; a comparison of values is what uniting does.
fn is_same(a: &ArrayRef, b: &ArrayRef) -> bool {
    Arc::ptr_eq(a, b) || a.to_data().ptr_eq(&b.to_data())
}

fn is_identity(map: &[u32]) -> bool {
    map.iter().enumerate().all(|(old, &new)| old == new as usize)
}

/// Where each distinct value appears first, and for each array the number of each of its values.
type Appearances = (Vec<(usize, usize)>, Vec<Vec<u32>>);

fn first_appearances(arrays: &[&dyn Array]) -> Result<Appearances, KernelError> {
    let converter = RowConverter::new(vec![SortField::new(arrays[0].data_type().clone())])?;
    let rows = arrays
        .iter()
        .map(|array| converter.convert_columns(&[arrow_array::make_array(array.to_data())]))
        .collect::<Result<Vec<_>, ArrowError>>()?;
    let mut known: FxHashMap<&[u8], u32> = FxHashMap::default();
    let mut chosen = Vec::new();
    let mut maps = Vec::with_capacity(arrays.len());
    for (index, rows) in rows.iter().enumerate() {
        let mut map = Vec::with_capacity(rows.num_rows());
        for place in 0..rows.num_rows() {
            let key = *known.entry(rows.row(place).data()).or_insert_with(|| {
                chosen.push((index, place));
                chosen.len() as u32 - 1
            });
            map.push(key);
        }
        maps.push(map);
    }
    Ok((chosen, maps))
}

/// Bytes of keys of this type, and whether they are signed.
fn key_width(key_type: &DataType) -> (usize, bool) {
    (key_type.primitive_width().unwrap_or(8), key_type.is_signed_integer())
}

fn widest<'a>(types: impl Iterator<Item = &'a DataType>) -> DataType {
    types.max_by_key(|key_type| key_width(key_type)).expect("there is at least one dictionary").clone()
}

/// `key_type`, or the smallest signed type that can count the values.
fn wide_enough(key_type: DataType, values: usize) -> DataType {
    let (width, signed) = key_width(&key_type);
    let bits = width * 8 - usize::from(signed);
    if bits >= 63 || values <= 1 << bits {
        return key_type;
    }
    match values {
        0..=0x80 => DataType::Int8,
        0x81..=0x8000 => DataType::Int16,
        0x8001..=0x8000_0000 => DataType::Int32,
        _ => DataType::Int64,
    }
}

/// Appends keys of `old_width` bytes as keys of `new_width`; through `map` where there is one.
///
/// Keys that the map does not have become 0: those of nulls may be anything.
pub(crate) fn copy_keys(
    keys: &[u8],
    old_width: usize,
    map: Option<&[u32]>,
    new_width: usize,
    target: &mut MutableBuffer,
) {
    if map.is_none() && old_width == new_width {
        target.extend_from_slice(keys);
        return;
    }
    let start = target.len();
    target.resize(start + keys.len() / old_width * new_width, 0);
    let new_keys = target.as_slice_mut()[start..].chunks_exact_mut(new_width);
    for (key, new_key) in keys.chunks_exact(old_width).zip(new_keys) {
        let mut word = [0; 8];
        word[..old_width].copy_from_slice(key);
        let old = u64::from_le_bytes(word);
        let new = match map {
            Some(map) => usize::try_from(old).ok().and_then(|old| map.get(old)).map_or(0, |&new| u64::from(new)),
            None => old,
        };
        new_key.copy_from_slice(&new.to_le_bytes()[..new_width]);
    }
}

/// A dictionary array of these keys.
pub(crate) fn dictionary_array(
    key_type: &DataType,
    keys: Buffer,
    len: usize,
    nulls: Option<NullBuffer>,
    values: ArrayRef,
) -> Result<ArrayRef, KernelError> {
    fn build<K: ArrowDictionaryKeyType>(
        keys: Buffer,
        len: usize,
        nulls: Option<NullBuffer>,
        values: ArrayRef,
    ) -> Result<ArrayRef, KernelError> {
        let keys = PrimitiveArray::<K>::new(ScalarBuffer::new(keys, 0, len), nulls);
        Ok(Arc::new(DictionaryArray::<K>::try_new(keys, values)?))
    }
    match key_type {
        DataType::Int8 => build::<Int8Type>(keys, len, nulls, values),
        DataType::Int16 => build::<Int16Type>(keys, len, nulls, values),
        DataType::Int32 => build::<Int32Type>(keys, len, nulls, values),
        DataType::Int64 => build::<Int64Type>(keys, len, nulls, values),
        DataType::UInt8 => build::<UInt8Type>(keys, len, nulls, values),
        DataType::UInt16 => build::<UInt16Type>(keys, len, nulls, values),
        DataType::UInt32 => build::<UInt32Type>(keys, len, nulls, values),
        DataType::UInt64 => build::<UInt64Type>(keys, len, nulls, values),
        other => Err(ArrowError::InvalidArgumentError(format!("{other} cannot be the keys of a dictionary")).into()),
    }
}
