//! `fields`.

use super::types;
use crate::{
    boxes::State,
    wasi::http::{Fields, FieldsError, MAX_FIELDS},
};
use alloc::{string::String, vec::Vec};
use wasmtime::{Result, bail, component::Resource};

/// This version has no word for fields that are too large, so that ends the instance.
fn checked(result: core::result::Result<(), FieldsError>) -> Result<core::result::Result<(), types::HeaderError>> {
    Ok(match result {
        Ok(()) => Ok(()),
        Err(FieldsError::Syntax) => Err(types::HeaderError::InvalidSyntax),
        Err(FieldsError::Forbidden) => Err(types::HeaderError::Forbidden),
        Err(FieldsError::Immutable) => Err(types::HeaderError::Immutable),
        Err(FieldsError::TooLarge) => {
            bail!("made HTTP fields of more than {MAX_FIELDS} bytes, or than its memory allows")
        }
    })
}

impl types::HostFields for State {
    fn new(&mut self) -> Result<Resource<Fields>> {
        let fields = Fields::new(&self.wasi.budget);
        self.wasi.push(fields)
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<core::result::Result<Resource<Fields>, types::HeaderError>> {
        let mut fields = Fields::new(&self.wasi.budget);
        match checked(entries.iter().try_for_each(|(name, value)| fields.append(name, value)))? {
            Ok(()) => Ok(Ok(self.wasi.push(fields)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> Result<Vec<Vec<u8>>> {
        Ok(self.wasi.get(&fields)?.get(&name).map(<[u8]>::to_vec).collect())
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> Result<bool> {
        Ok(self.wasi.get(&fields)?.get(&name).next().is_some())
    }

    fn set(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> Result<core::result::Result<(), types::HeaderError>> {
        checked(self.wasi.get(&fields)?.set(&name, &values))
    }

    fn delete(
        &mut self,
        fields: Resource<Fields>,
        name: String,
    ) -> Result<core::result::Result<(), types::HeaderError>> {
        checked(self.wasi.get(&fields)?.delete(&name))
    }

    fn append(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        value: Vec<u8>,
    ) -> Result<core::result::Result<(), types::HeaderError>> {
        checked(self.wasi.get(&fields)?.append(&name, &value))
    }

    fn entries(&mut self, fields: Resource<Fields>) -> Result<Vec<(String, Vec<u8>)>> {
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
