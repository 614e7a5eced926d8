//! The table that `pearwood doctor` prints.

use super::{Check, Group, State};

pub fn table(checks: &[Box<dyn Check>]) -> String {
    let rows: Vec<[String; 4]> = checks.iter().map(|check| row(check.as_ref())).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut table = String::new();
    for [name, group, state, remedy] in rows {
        let [a, b, c] = widths;
        let line = format!("{name:a$}  {group:b$}  {state:c$}  {remedy}");
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

fn row(check: &dyn Check) -> [String; 4] {
    let group = match check.group() {
        Group::Build => "to build",
        Group::Run => "to run",
        Group::Test => "to test",
    };
    let (state, remedy) = match check.state() {
        State::Ready(version) => (version, String::new()),
        State::Missing => ("missing".into(), check.remedy()),
        State::Wrong(why) => (why, check.remedy()),
    };
    [check.name(), group.into(), state, remedy]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(State);

    impl Check for Thing {
        fn name(&self) -> String {
            "thing".into()
        }
        fn group(&self) -> Group {
            Group::Run
        }
        fn state(&self) -> State {
            self.0.clone()
        }
        fn remedy(&self) -> String {
            "fetch it".into()
        }
    }

    #[test]
    fn a_line_for_each() {
        let things: [Box<dyn Check>; 2] =
            [Box::new(Thing(State::Ready("1.2".into()))), Box::new(Thing(State::Missing))];
        assert_eq!(table(&things), "thing  to run  1.2\nthing  to run  missing  fetch it\n");
    }
}
