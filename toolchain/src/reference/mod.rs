//! The reference of `system.toml`, made of the tables of settings that its readers go by: as text, as a page, and as a schema
//! for editors.

mod page;
mod schema;
mod text;

#[cfg(test)]
mod tests;

pub use page::page;
pub use schema::schema;
pub use text::text;

use crate::system::keys::{BOX, GRANTS, KEYS, SYSTEM, TARGETS, VOLUME};
use wasm_host::slots::size;
use wit::setting::{Setting, Value};

/// The settings of one kind of table.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// By which it is asked for.
    pub names: &'static [&'static str],
    pub place: Place,
    pub settings: &'static [Setting],
}

/// Which tables have these settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `[system]`
    System,
    /// `[volume.NAME]`
    Volume,
    /// `[box.NAME]`
    Box,
    /// An arrow, of any interface.
    Target,
    /// An arrow of one of the interfaces that the section is named by.
    Arrow,
    /// `config` of a box with the component that the section is named by.
    Config,
}

/// The system's components that have settings, and those.
pub const COMPONENTS: &[(&[&str], &[Setting])] = &[
    (&["net"], net::SETTINGS),
    (&["http"], http::SETTINGS),
    (&["site"], site::settings::SETTINGS),
    (&["control"], control::SETTINGS),
    (&["tls"], tls::SETTINGS),
    (&["keys"], keys::SETTINGS),
    (&["fetch"], fetch::SETTINGS),
    (&["acme"], acme::SETTINGS),
    // which has none: what is said all the same is refused
    (&["store"], &[]),
];

/// Interfaces of the system's components that look at what arrows say, and that.
const WORDS: &[(&[&str], &[Setting])] = &[(KEYS, keys::GRANT)];

/// All that can be said, in the order of the reference.
pub fn sections() -> impl Iterator<Item = Section> {
    let section = |place| move |&(names, settings): &(_, _)| Section { names, place, settings };
    let fixed = [
        Section { names: &["system"], place: Place::System, settings: SYSTEM },
        Section { names: &["volume"], place: Place::Volume, settings: VOLUME },
        Section { names: &["box"], place: Place::Box, settings: BOX },
        Section { names: &["arrows"], place: Place::Target, settings: TARGETS },
    ];
    let configs = COMPONENTS.iter().filter(|(_, settings)| !settings.is_empty()).map(section(Place::Config));
    fixed.into_iter().chain(GRANTS.iter().chain(WORDS).map(section(Place::Arrow))).chain(configs)
}

/// The settings of a component of the system.
pub fn of_component(name: &str) -> Option<&'static [Setting]> {
    COMPONENTS.iter().find(|(names, _)| names.contains(&name)).map(|(_, settings)| *settings)
}

impl Section {
    /// As a declaration has it.
    fn heading(&self) -> String {
        let first = self.names[0];
        match self.place {
            Place::System => "[system]".into(),
            Place::Volume => "[volume.NAME]".into(),
            Place::Box => "[box.NAME]".into(),
            Place::Target => "arrows.\"INTERFACE\" = { … }".into(),
            Place::Arrow => format!("arrows.\"{first}\" = {{ … }}"),
            Place::Config => format!("[box.NAME.config] with component = \"{first}\""),
        }
    }

    /// What is to be known of all its settings.
    fn says(&self) -> String {
        match self.place {
            Place::System => "The system as a whole.".into(),
            Place::Volume => "A part of a disk, for the arrow of a box. A node makes it when it is named first, and keeps it until \
                              `pearwood volume delete` says otherwise."
                .into(),
            Place::Box => "One box: its component, its limits, its settings, its arrows.".into(),
            Place::Target => {
                "Whose the interface is: one of these. Arrows of some interfaces have grants as well, which are below; those \
                 of an interface of your own have what its `attach` declares."
                    .into()
            }
            Place::Arrow => match self.names {
                [_] => "Grants, beside whose the interface is.".into(),
                [_, others @ ..] => {
                    format!("Grants, beside whose the interface is. The same for `{}`.", others.join("`, `"))
                }
                [] => String::new(),
            },
            Place::Config => format!("The settings of the box `{}`.", self.names[0]),
        }
    }
}

/// What a value has to be.
fn meant(value: &Value) -> String {
    match *value {
        Value::Text(what) => what.into(),
        Value::OneOf(words) => words.iter().map(|word| format!("`{}`", literal(word))).collect::<Vec<_>>().join(", "),
        Value::Number(least, most) => format!("number from {least} to {most}"),
        Value::Size(0, u64::MAX) => "size".into(),
        Value::Size(least, most) => format!("size from {} to {}", size(least), size(most)),
        Value::Time => "time".into(),
        Value::Truth => "`true` or `false`".into(),
        Value::Some(what) => format!("{what}, or an array of them"),
        Value::Array(what) => format!("array: {what}"),
        Value::Table => "table".into(),
        Value::Tables => "array of tables".into(),
        Value::Names(what) => format!("table: names, and for each of them: {what}"),
    }
}

/// A word of [`Value::OneOf`] as TOML.
fn literal(word: &str) -> String {
    match word {
        "true" | "false" => word.into(),
        word if word.parse::<u32>().is_ok() => word.into(),
        word => format!("\"{word}\""),
    }
}

/// What is said of a setting beside what it means.
fn notes(setting: &Setting) -> String {
    let mut notes = meant(&setting.value);
    if setting.is_required {
        notes += "; required";
    }
    if let Some(key) = setting.needs {
        notes += &format!("; needs `{key}`");
    }
    notes
}

/// How sizes and times are written.
const UNITS: &str = "A size is a number of bytes or, as text, has the unit KiB, MiB or GiB: `\"64 KiB\"`. A time is a number of \
    seconds or, as text, has the unit ms, s, min or h: `\"500 ms\"`.";
