//! What has been measured, in Prometheus' text format (version 0.0.4).

use serde_json::Value;
use std::fmt::Write;

const SECOND: f64 = 1e9;

struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: String,
}

/// Of the node's description. None: it is not of the form that it should be.
pub fn metrics(description: &str) -> Option<String> {
    let node: Value = serde_json::from_str(description).ok()?;
    let boxes = node["boxes"].as_array()?;
    let mut families = Vec::new();
    let mut family = |name, kind, help, samples: String| families.push(Family { name, kind, help, samples });

    let uptime = node["uptime"].as_f64()? / SECOND;
    family("pearwood_node_uptime_seconds", "gauge", "Time since the node's boot.", format!("{{}} {uptime}\n"));
    for (field, name, help) in [
        ("total", "pearwood_node_memory_bytes", "RAM that the node may use."),
        ("frames", "pearwood_node_memory_used_bytes", "RAM in use."),
        ("heap", "pearwood_node_heap_bytes", "Native heap in use."),
    ] {
        family(name, "gauge", help, format!("{{}} {}\n", node["memory"][field].as_u64()?));
    }
    let system = label(node["system"].as_str()?);
    family("pearwood_system_info", "gauge", "The system that runs.", format!("{{name=\"{system}\"}} 1\n"));

    let of_boxes = |value: &dyn Fn(&Value) -> Option<f64>| -> Option<String> {
        let mut text = String::new();
        for one in boxes {
            let _ = writeln!(text, "{{box=\"{}\"}} {}", label(one["name"].as_str()?), value(one)?);
        }
        Some(text)
    };
    let number = |field: &'static str| move |one: &Value| one[field].as_f64();
    family("pearwood_box_memory_bytes", "gauge", "Linear memory and tables of a box.", of_boxes(&number("memory"))?);
    family("pearwood_box_memory_limit_bytes", "gauge", "The most that it may have.", of_boxes(&number("limit"))?);
    let cpu = |one: &Value| one["cpu"].as_f64().map(|nanos| nanos / SECOND);
    family("pearwood_box_cpu_seconds_total", "counter", "CPU time of a box.", of_boxes(&cpu)?);
    family("pearwood_box_turns_total", "counter", "How often it was given the CPU.", of_boxes(&number("turns"))?);
    family("pearwood_box_restarts_total", "counter", "How often it was started again.", of_boxes(&number("restarts"))?);
    let up = |one: &Value| Some(f64::from(matches!(one["phase"].as_str()?, "running" | "stand-in")));
    family("pearwood_box_up", "gauge", "Whether it runs.", of_boxes(&up)?);

    for (field, name, help) in [
        ("batches", "pearwood_arrow_batches_total", "Batches that a box has sent over an arrow."),
        ("records", "pearwood_arrow_records_total", "Records that a box has sent over an arrow."),
        ("bytes", "pearwood_arrow_bytes_total", "Bytes that a box has sent over an arrow."),
    ] {
        let mut text = String::new();
        for one in boxes {
            for arrow in one["sent"].as_array()? {
                let [from, to] = [one["name"].as_str()?, arrow["to"].as_str()?].map(label);
                let interface = label(arrow["interface"].as_str()?);
                let count = arrow[field].as_u64()?;
                let _ = writeln!(text, "{{from=\"{from}\",to=\"{to}\",interface=\"{interface}\"}} {count}");
            }
        }
        family(name, "counter", help, text);
    }

    let mut text = String::new();
    for Family { name, kind, help, samples } in families {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for sample in samples.lines() {
            let _ = writeln!(text, "{name}{}", sample.strip_prefix("{}").unwrap_or(sample));
        }
    }
    Some(text)
}

/// A label's value, escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels() {
        let description = r#"{"system":"web\"site","uptime":1500000000,"memory":{"total":9,"frames":4,"heap":1},
            "boxes":[{"name":"net","phase":"running","restarts":2,"cpu":250000000,"turns":7,"memory":65536,"limit":131072,
            "sent":[{"interface":"pearwood:net/tcp-service","to":"http","batches":1,"records":2,"bytes":3}]}]}"#;
        let text = metrics(description).unwrap();
        for line in [
            "# TYPE pearwood_box_memory_bytes gauge",
            "pearwood_box_memory_bytes{box=\"net\"} 65536",
            "pearwood_box_cpu_seconds_total{box=\"net\"} 0.25",
            "pearwood_node_uptime_seconds 1.5",
            "pearwood_system_info{name=\"web\\\"site\"} 1",
            "pearwood_arrow_records_total{from=\"net\",to=\"http\",interface=\"pearwood:net/tcp-service\"} 2",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert_eq!(metrics("{}"), None);
    }
}
