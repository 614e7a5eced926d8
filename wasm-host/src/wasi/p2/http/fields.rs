//! `fields`.

use super::types;
use crate::{
    boxes::State,
    wasi::http::{self, Fields, FieldsError, MAX_FIELDS},
};
use alloc::{string::String, vec::Vec};
use wasmtime::{Result, bail, component::Resource};

/// This version has no word for fields that are too large, so that ends the instance.
fn of_error(error: FieldsError) -> Result<types::HeaderError> {
    Ok(match error {
        FieldsError::Syntax => types::HeaderError::InvalidSyntax,
        FieldsError::Forbidden => types::HeaderError::Forbidden,
        FieldsError::Immutable => types::HeaderError::Immutable,
        FieldsError::TooLarge => {
            bail!("made HTTP fields of more than {MAX_FIELDS} bytes, or than its memory allows")
        }
    })
}

http::fields!(of_error, entries, {});
