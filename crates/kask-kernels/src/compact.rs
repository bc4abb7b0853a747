//! Arrays that hold no more bytes than their values need.
//!
//! Views point into buffers that they share with the arrays they were taken from. Written as they are, every part of a
//! split would carry the strings of the whole table.

use crate::error::KernelError;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, make_array};
use arrow_data::ArrayData;
use arrow_schema::DataType;
use std::sync::Arc;

/// The array with views, also nested ones, that point to their own values alone.
pub(crate) fn compact(array: &ArrayRef) -> Result<ArrayRef, KernelError> {
    if !has_views(array.data_type()) {
        return Ok(array.clone());
    }
    match array.data_type() {
        DataType::Utf8View => Ok(Arc::new(array.as_string_view().gc())),
        DataType::BinaryView => Ok(Arc::new(array.as_binary_view().gc())),
        _ => {
            let data = array.to_data();
            let children = data.child_data().iter().map(compact_data).collect::<Result<Vec<_>, _>>()?;
            Ok(make_array(data.into_builder().child_data(children).build()?))
        }
    }
}

fn compact_data(data: &ArrayData) -> Result<ArrayData, KernelError> {
    Ok(compact(&make_array(data.clone()))?.to_data())
}

fn has_views(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => has_views(values),
        DataType::List(field)
        | DataType::ListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::LargeList(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _)
        | DataType::RunEndEncoded(_, field) => has_views(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_views(field.data_type())),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| has_views(field.data_type())),
        _ => false,
    }
}
