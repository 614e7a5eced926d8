//! Figures of Linux + nginx on the same QEMU, where somebody has measured them: rows of Markdown tables.

use std::{fs, path::Path};

/// The figures of one target.
pub struct Baseline {
    rows: Vec<Vec<String>>,
}

impl Baseline {
    /// Reads a results file.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(path)?))
    }

    fn parse(text: &str) -> Self {
        let cells = |line: &str| -> Vec<String> {
            line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect()
        };
        Baseline { rows: text.lines().filter(|line| line.starts_with('|')).map(cells).collect() }
    }

    /// Instructions per request of a target in a case: the third column of the rows that begin with both.
    pub fn instructions(&self, target: &str, case: &str) -> Option<u64> {
        let row = self.rows.iter().find(|row| row.len() > 2 && row[0] == target && row[1] == case)?;
        row[2].replace(',', "").parse().ok()
    }

    /// A column of the table that has one row for each target, by the column's heading.
    pub fn of_target(&self, target: &str, heading: &str) -> Option<f64> {
        let head = self.rows.iter().position(|row| row.iter().any(|cell| cell == heading))?;
        let column = self.rows[head].iter().position(|cell| cell == heading)?;
        let row = self.rows[head..].iter().find(|row| row[0] == target)?;
        row.get(column)?.replace(',', "").parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_target_and_case() {
        let text = "## Boot\n\n| target | first answer s | image bytes |\n|---|---|---|\n| linux | 4.0 | 19,403,916 |\n\n\
            | target | case | insns |\n|---|---|---|\n| linux | http c1 | 48,462 |\n";
        let baseline = Baseline::parse(text);
        assert_eq!(baseline.instructions("linux", "http c1"), Some(48_462));
        assert_eq!(baseline.instructions("linux", "http c2"), None);
        assert_eq!(baseline.of_target("linux", "image bytes"), Some(19_403_916.0));
        assert_eq!(baseline.of_target("other", "image bytes"), None);
    }
}
