//! Reading TOML tables: entries in the order of the file, types checked, unknown keys refused.

use super::Reader;
use crate::system::suggest;
use alloc::{format, vec::Vec};
use core::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A key and where it is.
#[derive(Clone)]
pub(super) struct Key<'t> {
    pub text: &'t str,
    pub span: Range<usize>,
}

/// The entries of a table that have not been taken yet.
pub(super) struct Table<'t, 'i>(Vec<(Key<'t>, &'t Value<'i>)>);

impl<'t, 'i> Table<'t, 'i> {
    pub fn new(table: &'t DeTable<'i>) -> Self {
        let mut entries: Vec<_> =
            table.iter().map(|(key, value)| (Key { text: key.get_ref(), span: key.span() }, value)).collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        Table(entries)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn take(&mut self, key: &str) -> Option<(Key<'t>, &'t Value<'i>)> {
        let position = self.0.iter().position(|(found, _)| found.text == key)?;
        Some(self.0.remove(position))
    }

    /// All that is left.
    pub fn take_all(&mut self) -> Vec<(Key<'t>, &'t Value<'i>)> {
        core::mem::take(&mut self.0)
    }

    pub fn into_entries(self) -> Vec<(Key<'t>, &'t Value<'i>)> {
        self.0
    }
}

/// What a value is, for messages.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
        _ => None,
    }
}

impl Reader {
    /// Notes that a value is of the wrong type.
    pub fn wrong_type<T>(&mut self, value: &Value<'_>, what: &str, expected: &str) -> Option<T> {
        self.fault(value.span(), format!("{what} is {}, not {}", expected, kind(value.get_ref())));
        None
    }

    pub fn table<'t, 'i>(&mut self, value: &'t Value<'i>, what: &str) -> Option<Table<'t, 'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Table::new(table)),
            _ => self.wrong_type(value, what, "a table"),
        }
    }

    pub fn string<'t>(&mut self, value: &'t Value<'_>, what: &str) -> Option<&'t str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(value, what, "a string"),
        }
    }

    /// An integer within a range.
    pub fn number(&mut self, value: &Value<'_>, what: &str, range: core::ops::RangeInclusive<u32>) -> Option<u32> {
        let (min, max) = (range.start(), range.end());
        match value.get_ref() {
            DeValue::Integer(written) => {
                let number = integer(value.get_ref()).and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n));
                if number.is_none() {
                    self.fault(value.span(), format!("{what} is from {min} to {max}, not {written}"));
                }
                number
            }
            _ => self.wrong_type(value, what, &format!("a number from {min} to {max}")),
        }
    }

    pub fn boolean(&mut self, value: &Value<'_>, what: &str) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => self.wrong_type(value, what, "true or false"),
        }
    }

    /// A value, or an array of values, as a list.
    pub fn one_or_more<'t, 'i>(&mut self, value: &'t Value<'i>, what: &str) -> Vec<&'t Value<'i>> {
        match value.get_ref() {
            DeValue::Array(array) if array.is_empty() => {
                self.fault(value.span(), format!("{what} is an empty array"));
                Vec::new()
            }
            DeValue::Array(array) => array.iter().collect(),
            _ => alloc::vec![value],
        }
    }

    /// Takes keys out of a table that mean nothing there, and notes them. So none is read that is not known.
    pub fn unknown_keys(&mut self, table: &mut Table<'_, '_>, what: &str, known: &[&str]) {
        for (key, _) in table.0.extract_if(.., |(key, _)| !known.contains(&key.text)) {
            let help = suggest::help(key.text, known.iter().copied());
            self.fault(key.span, format!("{what} has no key `{}`", key.text)).help = help;
        }
    }
}
