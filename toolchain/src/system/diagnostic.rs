//! What is wrong with a declaration, said so that it can be put right.

use super::System;
use super::model::Source;
use alloc::{string::String, vec::Vec};
use core::fmt;

/// A place in the declaration's file. Lines and columns count from 1; columns and lengths count characters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    pub line: u32,
    pub column: u32,
    pub length: u32,
}

impl PartialEq for Place {
    /// Where something is declared makes no difference to what is declared.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The system must not run.
    Error,
    /// The system runs, though perhaps not as meant.
    Warning,
}

/// One fault of a declaration. Its `Display` is several lines for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub file: String,
    pub place: Place,
    /// The text of that line.
    pub excerpt: String,
    /// The box at fault, if it is one.
    pub box_name: Option<String>,
    /// The interface at fault, if it is one.
    pub interface: Option<String>,
    /// One sentence; names the box and the interface.
    pub message: String,
    /// More to know, a line each.
    pub notes: Vec<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(source: &Source, place: Place, message: String) -> Self {
        Diagnostic {
            severity: Severity::Error,
            file: source.file.clone(),
            place,
            excerpt: source.line(place.line).into(),
            box_name: None,
            interface: None,
            message,
            notes: Vec::new(),
            help: None,
        }
    }

    pub fn of_box(mut self, name: &str) -> Self {
        self.box_name = Some(name.into());
        self
    }

    pub(super) fn note(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Place { line, column, length } = self.place;
        writeln!(f, "{severity}: {}", self.message)?;
        let margin = 1 + line.checked_ilog10().unwrap_or(0) as usize;
        writeln!(f, "{:margin$}--> {}:{line}:{column}", "", self.file)?;
        // a very long line would bury the message
        let shown: String = self.excerpt.chars().take(160).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let marks = (length as usize).min(160usize.saturating_sub(column as usize));
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{line} | {}", shown.trim_end())?;
        if marks > 0 {
            writeln!(
                f,
                "{:margin$} | {:indent$}{:^<marks$}",
                "",
                "",
                "",
                indent = (column as usize).saturating_sub(1)
            )?;
        }
        for note in &self.notes {
            writeln!(f, "{:margin$} = {note}", "")?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{:margin$} = help: {help}", "")?;
        }
        Ok(())
    }
}

/// Diagnostics one after another, with a line that counts them.
pub struct Report<'a>(pub &'a [Diagnostic]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.0 {
            writeln!(f, "{diagnostic}")?;
        }
        let errors = self.0.iter().filter(|d| d.severity == Severity::Error).count();
        match errors {
            0 => Ok(()),
            1 => writeln!(f, "1 error"),
            n => writeln!(f, "{n} errors"),
        }
    }
}

impl System {
    pub fn diagnostic(&self, place: Place, message: String) -> Diagnostic {
        Diagnostic::new(&self.source, place, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_diagnostic_shows_its_line() {
        let text = "[system]\nname = \"é\" # x\n[box.a]\n";
        let source = Source::new("system.toml", text);
        let start = text.find("# x").unwrap();
        let diagnostic =
            Diagnostic::new(&source, source.place(start..start + 3), "wrong".into()).note("because".into());
        let diagnostic = Diagnostic { help: Some("write it right".into()), ..diagnostic };
        let expected = "error: wrong\n --> system.toml:2:12\n  |\n2 | name = \"é\" # x\n  |            ^^^\n  = because\n  = help: write it right\n";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn places_at_the_edges() {
        let place = |text: &str, span| {
            let place = Source::new("", text).place(span);
            (place.line, place.column, place.length)
        };
        assert_eq!(place("", 0..0), (1, 1, 1));
        assert_eq!(place("a\nb", 3..3), (2, 2, 1));
        assert_eq!(place("a\nb", 9..12), (2, 2, 1));
        assert_eq!(place("a = \"\"\"x\ny\"\"\"", 4..13), (1, 5, 4));
    }
}
