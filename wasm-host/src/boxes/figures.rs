//! What a box reports of itself in figures (`pearwood:box/figures`): checked, and kept as the JSON that people are given.

use crate::budget::Charge;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The most figures of a box, labels of a figure, and bytes of all as JSON.
pub const MOST: usize = 512;
pub const MOST_LABELS: usize = 8;
pub const MOST_BYTES: usize = 32 << 10;

/// The longest name, and what is left of a text that is longer.
pub const NAME: usize = 48;
pub const TEXT: usize = 256;

/// What the kind of a figure says in the name that programs know it by.
const ENDINGS: [&str; 3] = ["-total", "-info", "-timestamp-seconds"];
/// Labels that are added where figures are shown.
const TAKEN: [&str; 2] = ["box", "text"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Value {
    Counter(u64),
    Gauge(i64),
    /// seconds since 1970
    Moment(u64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figure {
    pub name: String,
    /// a map, in the order of the names
    #[serde(serialize_with = "map")]
    pub labels: Vec<(String, String)>,
    #[serde(flatten)]
    pub value: Value,
}

fn map<S: Serializer>(labels: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(labels.len()))?;
    for (name, value) in labels {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// What a box has reported, paid for by its memory.
#[derive(Debug)]
pub struct Figures {
    json: String,
    _charge: Charge,
}

impl Figures {
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The first figures that take no more than so many bytes, without the brackets around them.
    pub fn first(&self, most: usize) -> &str {
        let all = self.json.get(1..self.json.len() - 1).unwrap_or_default();
        if all.len() <= most {
            return all;
        }
        // a figure's end, and the beginning of another, which no text has in it: its quotes are escaped
        let end = all.as_bytes()[..most].windows(3).rposition(|bytes| bytes == br#"},{"#);
        end.map_or("", |end| &all[..=end])
    }
}

/// Figures as they come, one after the other.
#[derive(Debug)]
pub struct Report {
    json: String,
    /// where in it the name and labels of each are
    keys: Vec<Range<usize>>,
    charge: Charge,
}

impl Report {
    /// `charge`: nothing yet, of the box's budget.
    pub fn new(charge: Charge) -> Self {
        Report { json: "[".into(), keys: Vec::new(), charge }
    }

    /// # Errors
    /// The figure is not as `pearwood:box/figures` wants it, or there is no memory for it; in words.
    pub fn add(&mut self, mut figure: Figure) -> Result<(), String> {
        let number = self.keys.len();
        let wrong = |why: String| Err(format!("figure {number} (`{}`): {why}", figure.name));
        if let Err(why) = check_name(&figure.name) {
            return wrong(why);
        }
        if let Some(ending) = ENDINGS.iter().find(|ending| figure.name.ends_with(*ending)) {
            return wrong(format!("its name ends in `{ending}`, which its kind says already"));
        }
        if figure.labels.len() > MOST_LABELS {
            return wrong(format!("more than {MOST_LABELS} labels"));
        }
        for (name, _) in &figure.labels {
            if let Err(why) = check_name(name) {
                return wrong(format!("label `{name}`: {why}"));
            }
            if TAKEN.contains(&name.as_str()) {
                return wrong(format!("label `{name}`: a figure is given that by the node"));
            }
        }
        figure.labels.sort();
        if figure.labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return wrong("a label twice".into());
        }
        let text = serde_json::to_string(&figure).map_err(|error| error.to_string())?;
        if number > 0 {
            self.json.push(',');
        }
        let start = self.json.len();
        // the bracket at the end comes to it
        if start + text.len() + 1 > MOST_BYTES {
            return Err(format!("figure {number} (`{}`): all before it take {MOST_BYTES} bytes", figure.name));
        }
        self.json.push_str(&text);
        // the last: a label may be named so
        let key = text.rfind(r#","kind":""#).unwrap_or(text.len());
        self.keys.push(start..start + key);
        let held = self.json.capacity() + self.keys.capacity() * 2 * size_of::<Range<usize>>();
        if self.charge.cover(held) { Ok(()) } else { Err("the box's memory has no room for its figures".into()) }
    }

    /// # Errors
    /// Two figures have one name and the same labels.
    pub fn finish(mut self) -> Result<Figures, String> {
        self.json.push(']');
        let mut keys: Vec<&str> = self.keys.iter().map(|key| &self.json[key.clone()]).collect();
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two figures are the same: {}}}", pair[0]));
        }
        self.json.shrink_to_fit();
        let Report { json, mut charge, .. } = self;
        // less than there was
        charge.resize(json.capacity());
        Ok(Figures { json, _charge: charge })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_one = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(fits) && !name.ends_with('-');
    if is_one && name.len() <= NAME {
        return Ok(());
    }
    Err(format!("names are of lower-case letters, digits and hyphens, at most {NAME}, and begin with a letter"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use alloc::{sync::Arc, vec};

    fn figure(name: &str, labels: &[(&str, &str)], value: Value) -> Figure {
        let labels = labels.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect();
        Figure { name: name.into(), labels, value }
    }

    fn report(budget: &Arc<Budget>, figures: &[Figure]) -> Result<Figures, String> {
        let mut report = Report::new(Charge::none(budget));
        figures.iter().try_for_each(|figure| report.add(figure.clone()))?;
        report.finish()
    }

    #[test]
    fn they_are_kept_as_json_and_paid_for() {
        let budget = Budget::new(1 << 20);
        let figures = [
            figure("requests", &[("status", "2xx"), ("host", "a\"b")], Value::Counter(7)),
            figure("requests", &[("host", "c"), ("status", "2xx")], Value::Counter(1)),
            figure("open", &[], Value::Gauge(-1)),
            figure("expires", &[], Value::Moment(9)),
            figure("state", &[], Value::Text("all\nis well".into())),
        ];
        let kept = report(&budget, &figures).unwrap();
        assert_eq!(
            kept.json(),
            r#"[{"name":"requests","labels":{"host":"a\"b","status":"2xx"},"kind":"counter","value":7},{"name":"requests","labels":{"host":"c","status":"2xx"},"kind":"counter","value":1},{"name":"open","labels":{},"kind":"gauge","value":-1},{"name":"expires","labels":{},"kind":"moment","value":9},{"name":"state","labels":{},"kind":"text","value":"all\nis well"}]"#
        );
        assert!(budget.used() >= kept.json().len() as u64 && budget.used() < 2 * kept.json().len() as u64);
        drop(kept);
        assert_eq!(budget.used(), 0);
        assert_eq!(report(&budget, &[]).unwrap().json(), "[]");
    }

    /// Texts cannot look like a kind: their quotes are escaped.
    #[test]
    fn a_label_may_be_named_kind() {
        let budget = Budget::new(1 << 20);
        let one = |kind, x| figure("a", &[("b", "1"), ("kind", kind), ("x", x)], Value::Text(r#"","kind":""#.into()));
        report(&budget, &[one("p", "1"), one("q", "1"), one("q", "2")]).unwrap();
        assert!(report(&budget, &[one("p", "1"), one("p", "1")]).unwrap_err().contains("the same"));
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_stays_charged() {
        let budget = Budget::new(1 << 20);
        let one = |name: &str, labels: &[(&str, &str)]| figure(name, labels, Value::Counter(1));
        let labels: Vec<(&str, &str)> = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|name| (name, "")).into();
        let long = "n".repeat(NAME + 1);
        for (figures, why) in [
            (vec![one("", &[])], "figure 0 (``)"),
            (vec![one("ok", &[]), one("Requests", &[])], "figure 1 (`Requests`)"),
            (vec![one("1st", &[])], "1st"),
            (vec![one("a_b", &[])], "a_b"),
            (vec![one(&long, &[])], "at most 48"),
            (vec![one("requests-total", &[])], "`-total`"),
            (vec![one("a", &[("box", "x")])], "`box`"),
            (vec![one("a", &[("text", "x")])], "`text`"),
            (vec![one("a", &[("x", "1"), ("x", "2")])], "twice"),
            (vec![one("a", &[("x\"}", "1")])], "label"),
            (vec![one("a", &labels)], "more than 8 labels"),
            (vec![one("a", &[("x", "1"), ("y", "1")]), one("b", &[]), one("a", &[("y", "1"), ("x", "1")])], "the same"),
            ((0..200).map(|n| one("a", &[("x", &format!("{n:0>256}"))])).collect(), "32768 bytes"),
        ] {
            let error = report(&budget, &figures).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
            assert_eq!(budget.used(), 0);
        }
        assert!(report(&Budget::new(10), &[one("a", &[])]).unwrap_err().contains("no room"));
    }
}
