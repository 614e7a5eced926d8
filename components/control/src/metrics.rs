//! What has been measured, in Prometheus' text format (version 0.0.4).

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

const SECOND: f64 = 1e9;

/// Bounds of durations, as powers of two of nanoseconds: from 8 µs to 69 s. The node's buckets end there, too.
const POWERS: std::ops::RangeInclusive<u32> = 13..=36;

/// A metric, with its samples as they are added.
struct Family {
    name: String,
    text: String,
}

impl Family {
    fn new(name: &str, kind: &str, help: &str) -> Self {
        Family { name: name.into(), text: format!("# HELP {name} {help}\n# TYPE {name} {kind}\n") }
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{name}=\"{}\"", escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

/// Of the node's description. None: it is not of the form that it should be.
pub fn metrics(description: &str) -> Option<String> {
    let node: Value = serde_json::from_str(description).ok()?;
    let mut text = of_node(&node)?;
    of_boxes(node["boxes"].as_array()?, &mut text)?;
    of_arrows(node["arrows"].as_array()?, &mut text)?;
    // what a node of before does not say
    of_figures(node["figures"].as_object().into_iter().flatten(), &mut text)?;
    Some(text)
}

fn of_node(node: &Value) -> Option<String> {
    let mut text = String::new();
    let mut one = |name, help, labels: &[(&str, &str)], value: f64| {
        let mut family = Family::new(name, "gauge", help);
        family.sample("", labels, value);
        text += &family.text;
    };
    let uptime = node["uptime"].as_f64()? / SECOND;
    one("pearwood_node_uptime_seconds", "Time since the node's boot.", &[], uptime);
    let memory = |field: &str| node["memory"][field].as_f64();
    one("pearwood_node_memory_bytes", "RAM that the node may use.", &[], memory("total")?);
    one("pearwood_node_memory_used_bytes", "RAM in use.", &[], memory("frames")?);
    one("pearwood_node_heap_bytes", "Native heap in use.", &[], memory("heap")?);
    one("pearwood_system_info", "The system that runs.", &[("name", node["system"].as_str()?)], 1.0);
    Some(text)
}

fn of_boxes(boxes: &[Value], text: &mut String) -> Option<()> {
    type Get = fn(&Value) -> Option<f64>;
    let families: [(&str, &str, &str, Get); 6] = [
        ("pearwood_box_memory_bytes", "gauge", "Linear memory and tables of a box.", |one| one["memory"].as_f64()),
        ("pearwood_box_memory_limit_bytes", "gauge", "The most that it may have.", |one| one["limit"].as_f64()),
        ("pearwood_box_cpu_seconds_total", "counter", "CPU time of a box.", |one| {
            one["cpu"].as_f64().map(|nanos| nanos / SECOND)
        }),
        ("pearwood_box_turns_total", "counter", "How often it was given the CPU.", |one| one["turns"].as_f64()),
        ("pearwood_box_restarts_total", "counter", "How often it was started again.", |one| one["restarts"].as_f64()),
        ("pearwood_box_up", "gauge", "Whether it runs.", |one| {
            Some(f64::from(matches!(one["phase"].as_str()?, "running" | "stand-in")))
        }),
    ];
    for (name, kind, help, get) in families {
        let mut family = Family::new(name, kind, help);
        for one in boxes {
            family.sample("", &[("box", one["name"].as_str()?)], get(one)?);
        }
        *text += &family.text;
    }
    Some(())
}

/// `from` is the box that uses, `to` the one that is used; `direction` is `sent` from the first or `received` by it.
fn of_arrows(arrows: &[Value], text: &mut String) -> Option<()> {
    let labels = |arrow| -> Option<Vec<(&str, &str)>> {
        let arrow: &Value = arrow;
        let label = |name: &'static str| Some((name, arrow[name].as_str()?));
        Some(vec![label("from")?, label("to")?, label("interface")?])
    };
    for (field, name, kind, help) in [
        ("requests", "pearwood_arrow_requests_total", "counter", "Requests, lookups and calls over an arrow."),
        ("under_way", "pearwood_arrow_requests_under_way", "gauge", "Those without an end yet, up to 256."),
        ("connections", "pearwood_arrow_connections_total", "counter", "Connections opened over an arrow."),
        ("errors", "pearwood_arrow_errors_total", "counter", "What failed: statuses from 500, no answer, refused."),
    ] {
        let mut family = Family::new(name, kind, help);
        for arrow in arrows {
            if !arrow[field].is_null() {
                family.sample("", &labels(arrow)?, arrow[field].as_u64()?);
            }
        }
        *text += &family.text;
    }
    for (field, name, help) in [
        ("bytes", "pearwood_arrow_bytes_total", "Bytes over an arrow."),
        ("records", "pearwood_arrow_records_total", "Records over an arrow."),
        ("batches", "pearwood_arrow_batches_total", "Batches over an arrow."),
        ("full", "pearwood_arrow_full_total", "Batches that had to wait for room."),
    ] {
        let mut family = Family::new(name, "counter", help);
        for arrow in arrows {
            for direction in ["sent", "received"] {
                let mut labels = labels(arrow)?;
                labels.push(("direction", direction));
                family.sample("", &labels, arrow[direction][field].as_u64()?);
            }
        }
        *text += &family.text;
    }
    let help = "From a request to the end of its answer.";
    let mut family = Family::new("pearwood_arrow_request_duration_seconds", "histogram", help);
    for arrow in arrows {
        let latency = &arrow["latency"];
        if latency.is_null() {
            continue;
        }
        let labels = labels(arrow)?;
        let buckets = latency["buckets"].as_array()?;
        let buckets: Option<Vec<_>> = buckets.iter().map(|it| Some((it[0].as_u64()?, it[1].as_u64()?))).collect();
        let buckets = buckets?;
        let until = |end: u64| buckets.iter().filter(|bucket| bucket.0 <= end).map(|bucket| bucket.1).sum::<u64>();
        for power in POWERS {
            let bound = ((1_u64 << power) as f64 / SECOND).to_string();
            let mut labels = labels.clone();
            labels.push(("le", &bound));
            family.sample("_bucket", &labels, until(1 << power));
        }
        let mut infinite = labels.clone();
        infinite.push(("le", "+Inf"));
        family.sample("_bucket", &infinite, until(u64::MAX));
        family.sample("_sum", &labels, latency["sum"].as_f64()? / SECOND);
        family.sample("_count", &labels, until(u64::MAX));
    }
    *text += &family.text;
    Some(())
}

/// What boxes report of themselves: `pearwood_figure_` and the name, with what its kind is called by convention. The labels are its own,
/// and `box`; of a text, `text` is what it says.
fn of_figures<'a>(boxes: impl Iterator<Item = (&'a String, &'a Value)>, text: &mut String) -> Option<()> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for (of, figures) in boxes {
        for figure in figures.as_array()? {
            let (ending, kind) = match figure["kind"].as_str()? {
                "counter" => ("_total", "counter"),
                "moment" => ("_timestamp_seconds", "gauge"),
                "text" => ("_info", "gauge"),
                _ => ("", "gauge"),
            };
            let said = figure["name"].as_str()?;
            let name = format!("pearwood_figure_{}{ending}", metric_name(said)?);
            let labels = figure["labels"].as_object()?.iter();
            let labels: Option<Vec<_>> =
                labels.map(|(name, value)| Some((metric_name(name)?, value.as_str()?))).collect();
            let labels = labels?;
            let mut labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            labels.insert(0, ("box", of));
            let value = match &figure["value"] {
                Value::String(text) => {
                    labels.push(("text", text));
                    "1".to_string()
                }
                value => value.as_number()?.to_string(),
            };
            let help = || format!("What boxes report as {said}.");
            families.entry(name).or_insert_with_key(|name| Family::new(name, kind, &help())).sample("", &labels, value);
        }
    }
    families.values().for_each(|family| *text += &family.text);
    Some(())
}

/// A name as `pearwood:box/figures` has it, with what Prometheus has in place of hyphens.
fn metric_name(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_one = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(fits);
    is_one.then(|| name.replace('-', "_"))
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
