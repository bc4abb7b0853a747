//! One schema for the parts of all splits.
//!
//! Partitions of one data set may differ a little: a column without any value has the type null in some libraries, and
//! dictionaries have keys as wide as they need. Anything else is an error that names the column. So are columns of one type of
//! Arrow whose makers call their types by different names ([`DTYPE`]).

use crate::error::KernelError;
use crate::table::describe;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// Under this name the metadata of a field has the type that its values had before they came to Arrow (`int64` and `Int64` of
/// pandas are one type of Arrow).
const DTYPE: &str = "kask.dtype";

/// The schema that all of them fit. The keys of dictionaries are still to be made wide enough.
pub(crate) fn reconcile(schemas: &[SchemaRef]) -> Result<Schema, KernelError> {
    let first = schemas.first().ok_or(KernelError::NoParts)?;
    let mut fields: Vec<Field> = first.fields().iter().map(|field| field.as_ref().clone()).collect();
    for (index, schema) in schemas.iter().enumerate().skip(1) {
        if Arc::ptr_eq(schema, first) {
            continue;
        }
        let same_names = schema.fields().len() == fields.len()
            && schema.fields().iter().zip(&fields).all(|(other, field)| other.name() == field.name());
        if !same_names {
            let (first, other) = (describe(first), describe(schema));
            return Err(KernelError::DifferentColumns { first, index, other });
        }
        for (field, other) in fields.iter_mut().zip(schema.fields()) {
            *field = common_field(field, other, index)?;
        }
    }
    Ok(Schema::new_with_metadata(fields, first.metadata().clone()))
}

fn common_field(field: &Field, other: &Field, index: usize) -> Result<Field, KernelError> {
    let nullable = field.is_nullable() || other.is_nullable();
    let same_name = field.metadata().get(DTYPE) == other.metadata().get(DTYPE);
    let known = match (field.data_type(), other.data_type()) {
        (DataType::Null, _) => other,
        (_, DataType::Null) => field,
        (DataType::Dictionary(_, values), DataType::Dictionary(_, others)) if values == others && same_name => field,
        (one, two) if one == two && same_name => field,
        _ => {
            let (name, first, other) = (field.name().clone(), type_name(field), type_name(other));
            return Err(KernelError::DifferentTypes { name, first, index, other });
        }
    };
    Ok(known.clone().with_nullable(nullable))
}

/// What users call the type.
fn type_name(field: &Field) -> String {
    field.metadata().get(DTYPE).cloned().unwrap_or_else(|| field.data_type().to_string())
}
