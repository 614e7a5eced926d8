//! `fields`.

use super::types;
use crate::{
    boxes::State,
    wasi::http::{Fields, FieldsError},
};
use alloc::{string::String, vec::Vec};
use wasmtime::{Result, component::Resource};

type Checked<T> = core::result::Result<T, types::HeaderError>;

fn of_error(error: FieldsError) -> types::HeaderError {
    match error {
        FieldsError::Syntax => types::HeaderError::InvalidSyntax,
        FieldsError::Forbidden => types::HeaderError::Forbidden,
        FieldsError::Immutable => types::HeaderError::Immutable,
        FieldsError::TooLarge => types::HeaderError::SizeExceeded,
    }
}

impl types::HostFields for State {
    fn new(&mut self) -> Result<Resource<Fields>> {
        let fields = Fields::new(&self.wasi.budget);
        self.wasi.push(fields)
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<Checked<Resource<Fields>>> {
        let mut fields = Fields::new(&self.wasi.budget);
        match entries.iter().try_for_each(|(name, value)| fields.append(name, value)) {
            Ok(()) => Ok(Ok(self.wasi.push(fields)?)),
            Err(error) => Ok(Err(of_error(error))),
        }
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> Result<Vec<Vec<u8>>> {
        Ok(self.wasi.get(&fields)?.get(&name).map(<[u8]>::to_vec).collect())
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> Result<bool> {
        Ok(self.wasi.get(&fields)?.get(&name).next().is_some())
    }

    fn set(&mut self, fields: Resource<Fields>, name: String, values: Vec<Vec<u8>>) -> Result<Checked<()>> {
        Ok(self.wasi.get(&fields)?.set(&name, &values).map_err(of_error))
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> Result<Checked<()>> {
        Ok(self.wasi.get(&fields)?.delete(&name).map_err(of_error))
    }

    fn append(&mut self, fields: Resource<Fields>, name: String, value: Vec<u8>) -> Result<Checked<()>> {
        Ok(self.wasi.get(&fields)?.append(&name, &value).map_err(of_error))
    }

    fn get_and_delete(&mut self, fields: Resource<Fields>, name: String) -> Result<Checked<Vec<Vec<u8>>>> {
        let fields = self.wasi.get(&fields)?;
        let values = fields.get(&name).map(<[u8]>::to_vec).collect();
        Ok(fields.delete(&name).map(|()| values).map_err(of_error))
    }

    fn copy_all(&mut self, fields: Resource<Fields>) -> Result<Vec<(String, Vec<u8>)>> {
        let fields = self.wasi.get(&fields)?;
        Ok(fields.entries().map(|(name, value)| (name.into(), value.into())).collect())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> Result<Resource<Fields>> {
        let copy = self.wasi.get(&fields)?.changeable();
        self.wasi.push(copy)
    }

    fn drop(&mut self, fields: Resource<Fields>) -> Result<()> {
        self.wasi.take(fields).map(drop)
    }
}
