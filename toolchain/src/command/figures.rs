//! `pearwood figures`

use super::table::{table, time};
use anyhow::{Result, bail};
use clap::Args;
use pearwood::remote::{At, Description, Figure, FigureValue};
use std::process::ExitCode;

#[derive(Args)]
pub struct Figures {
    /// Of this box only
    name: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Figures {
    pub fn run(self) -> Result<ExitCode> {
        let node = self.at.connect()?.describe()?;
        if let Some(name) = self.name.as_ref().filter(|name| !node.boxes.iter().any(|one| one.name == **name)) {
            let names: Vec<&str> = node.boxes.iter().map(|one| one.name.as_str()).collect();
            bail!("there is no box `{name}`; there are {}", names.join(", "));
        }
        let rows = rows(&node, self.name.as_deref());
        if rows.is_empty() {
            println!("{} reports nothing of itself", self.name.as_deref().unwrap_or("no box"));
        } else {
            print!("{}", table(["BOX", "FIGURE", "OF", "VALUE"], &rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rows(node: &Description, name: Option<&str>) -> Vec<[String; 4]> {
    let seconds = node.wall_clock.map(|nanos| nanos / 1_000_000_000);
    let boxes = node.figures.iter().filter(|(of, _)| name.is_none_or(|name| name == *of));
    let row = |of: &String, figure: &Figure| {
        let labels: Vec<String> = figure.labels.iter().map(|(name, value)| format!("{name}={}", line(value))).collect();
        let value = match &figure.value {
            FigureValue::Counter(count) => count.to_string(),
            FigureValue::Gauge(number) => number.to_string(),
            FigureValue::Moment(moment) => when(*moment, seconds),
            FigureValue::Text(text) => line(text),
        };
        [of.clone(), figure.name.clone(), labels.join(" "), value]
    };
    boxes.flat_map(|(of, figures)| figures.iter().map(move |figure| row(of, figure))).collect()
}

/// What a box says, without what would change the terminal.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A moment, seen from a node's clock.
fn when(moment: u64, now: Option<u64>) -> String {
    let span = |seconds: u64| time(seconds.saturating_mul(1_000_000_000));
    match now {
        // a year and a day of so many seconds is nobody's
        Some(now) if moment > now.saturating_add(100 * 365 * 86_400) => "never".into(),
        Some(now) if moment >= now => format!("in {}", span(moment - now)),
        Some(now) => format!("{} ago", span(now - moment)),
        None => format!("{moment} s after 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_a_table_for_people() {
        let text = r#"{"system":"s","target":"t","uptime":1,"wall_clock":1000000000000,"memory":{"total":1,"frames":1},"boxes":[],
            "arrows":[],"figures":{"http":[{"name":"requests","labels":{"host":"a","status":"2xx"},"kind":"counter","value":7}],
            "tls":[{"name":"certificate-expires","labels":{"names":"a\u001b"},"kind":"moment","value":87400},
            {"name":"state","labels":{},"kind":"text","value":"a\nb"},{"name":"open","labels":{},"kind":"gauge","value":-1}]}}"#;
        let node: Description = serde_json::from_str(text).unwrap();
        let all: Vec<String> = rows(&node, None).iter().map(|row| row.join("|")).collect();
        assert_eq!(
            all,
            [
                "http|requests|host=a status=2xx|7",
                "tls|certificate-expires|names=a |in 1 d 0 h",
                "tls|state||a b",
                "tls|open||-1"
            ]
        );
        assert_eq!(rows(&node, Some("http")).len(), 1);
        assert_eq!((when(1, Some(61)), when(1, None)), ("1 min 00 s ago".into(), "1 s after 1970".into()));
        assert_eq!(when(253_402_300_799, Some(61)), "never");
    }
}
