//! The reference for a terminal.

use super::{Section, UNITS, notes, sections};
use core::fmt::Write;

/// Bytes of a line.
const WIDTH: usize = 100;

/// The sections of that name: of a table (`system`, `box`, `arrows`), of an interface, or of a component of the system. Without
/// a name, all.
///
/// # Errors
/// There is no such section.
pub fn text(name: Option<&str>) -> Result<String, String> {
    let chosen: Vec<Section> =
        sections().filter(|section| name.is_none_or(|name| section.names.contains(&name))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = sections().flat_map(|section| section.names).copied().collect();
        let name = name.unwrap_or_default();
        return Err(format!("system.toml has no section `{name}`; there are {}", names.join(", ")));
    }
    let mut text = String::new();
    for section in chosen {
        _ = writeln!(text, "{}\n", section.heading());
        wrap(&mut text, 2, &section.says());
        for setting in section.settings {
            let value = setting.default.or(setting.example.filter(|example| !example.contains('\n')));
            let is_default = setting.default.is_some();
            _ = match value {
                Some(value) if is_default => writeln!(text, "\n  {} = {value}", setting.key),
                Some(value) => writeln!(text, "\n  {}    such as {value}", setting.key),
                None => writeln!(text, "\n  {}", setting.key),
            };
            wrap(&mut text, 6, &format!("({}) {}", notes(setting), setting.says));
            for line in setting.example.filter(|example| example.contains('\n')).iter().flat_map(|all| all.lines()) {
                _ = writeln!(text, "      {line}");
            }
        }
        text.push('\n');
    }
    wrap(&mut text, 0, &format!("A value after `=` is what holds unless told. {UNITS}"));
    Ok(text)
}

/// Adds lines of whole words.
fn wrap(text: &mut String, indent: usize, words: &str) {
    let mut line = String::new();
    for word in words.split(' ') {
        if !line.is_empty() && indent + line.len() + 1 + word.len() > WIDTH {
            _ = writeln!(text, "{:indent$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    _ = writeln!(text, "{:indent$}{line}", "");
}
