//! `fields`.

use super::types;
use crate::{
    boxes::State,
    wasi::http::{self, Fields, FieldsError},
};
use alloc::{string::String, vec::Vec};
use wasmtime::{Result, component::Resource};

fn of_error(error: FieldsError) -> Result<types::HeaderError> {
    Ok(match error {
        FieldsError::Syntax => types::HeaderError::InvalidSyntax,
        FieldsError::Forbidden => types::HeaderError::Forbidden,
        FieldsError::Immutable => types::HeaderError::Immutable,
        FieldsError::TooLarge => types::HeaderError::SizeExceeded,
    })
}

http::fields!(of_error, copy_all, {
    fn get_and_delete(&mut self, fields: Resource<Fields>, name: String) -> Result<Checked<Vec<Vec<u8>>>> {
        let fields = self.wasi.get(&fields)?;
        let values = fields.get(&name).map(<[u8]>::to_vec).collect();
        checked(fields.delete(&name).map(|()| values))
    }
});
