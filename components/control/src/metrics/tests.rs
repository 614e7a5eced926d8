//! A small parser of the format holds the text to its rules.

use super::metrics;
use std::collections::{BTreeMap, BTreeSet};

const DESCRIPTION: &str = r#"{"system":"web\"si\\te\n","uptime":1500000000,"memory":{"total":9,"frames":4,"heap":1},
    "boxes":[{"name":"net","phase":"running","restarts":2,"cpu":250000000,"turns":7,"memory":65536,"limit":131072}],
    "arrows":[
    {"from":"http","to":"site","interface":"pearwood:http/handler","requests":7,"under_way":1,"connections":null,
    "errors":2,"sent":{"batches":1,"records":2,"bytes":3,"full":0},"received":{"batches":4,"records":5,"bytes":6,"full":1},
    "latency":{"count":6,"sum":3000000,"p50":1,"p99":2,"buckets":[[1280,1],[8192,1],[10240,3],[274877906944,1]]}},
    {"from":"http","to":"net","interface":"pearwood:net/tcp","requests":null,"under_way":null,"connections":12,
    "errors":0,"sent":{"batches":1,"records":2,"bytes":3,"full":0},"received":{"batches":4,"records":5,"bytes":6,"full":0},
    "latency":null}],"figures":{
    "http":[{"name":"requests","labels":{"host":"a\"b\n\\","status":"2xx"},"kind":"counter","value":18446744073709551615},
    {"name":"connections","labels":{},"kind":"gauge","value":-3}],
    "tls":[{"name":"requests","labels":{"host":"c"},"kind":"counter","value":1},
    {"name":"certificate-expires","labels":{"issued-by":"x"},"kind":"moment","value":1800000000},
    {"name":"state","labels":{"key":"k"},"kind":"text","value":"all \"well\"\nso far"}]}}"#;

type Labels = BTreeMap<String, String>;

/// One sample: a name, labels, a value.
fn sample(line: &str) -> (String, Labels, f64) {
    let (name, rest) = line.split_at(line.find(['{', ' ']).expect("an end of the name"));
    let mut labels = Labels::new();
    let mut rest = rest;
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").expect("a label");
            assert!(label.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'), "{line}");
            let (mut value, mut letters) = (String::new(), after.char_indices());
            let end = loop {
                match letters.next().expect("an end of the value") {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match letters.next().expect("an escape").1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        other => panic!("escape {other} in {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.into(), value).is_none(), "{label} twice in {line}");
            rest = &after[end + 1..];
            match rest.split_at(1) {
                (",", more) => rest = more,
                ("}", more) => break rest = more,
                other => panic!("{other:?} in {line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("a space before the value");
    (name.into(), labels, value.parse().expect("a value"))
}

/// All samples, if the text keeps the rules.
fn parse(text: &str) -> Vec<(String, Labels, f64)> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut families, mut seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut current = (String::new(), String::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("words");
            assert!(families.insert(name.to_string()), "{name} comes twice");
            assert!(words.ends_with('.') && !words.contains('\\'));
            current = (name.into(), String::new());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(name, current.0, "HELP and TYPE belong together");
            assert!(["counter", "gauge", "histogram"].contains(&kind));
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            current.1 = kind.into();
        } else {
            let (name, labels, value) = sample(line);
            let suffix = name.strip_prefix(&current.0).unwrap_or_else(|| panic!("{line} is of no family"));
            match current.1.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix)),
                _ => assert_eq!(suffix, ""),
            }
            assert!(seen.insert((name.clone(), labels.clone())), "{line} comes twice");
            samples.push((name, labels, value));
        }
    }
    samples
}

#[test]
fn the_format_is_prometheus() {
    let samples = parse(&metrics(DESCRIPTION).unwrap());
    let value = |name: &str, labels: &[(&str, &str)]| {
        let has = |of: &Labels| labels.iter().all(|(name, value)| of.get(*name).is_some_and(|it| it == value));
        let found: Vec<f64> = samples.iter().filter(|it| it.0 == name && has(&it.1)).map(|it| it.2).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0]
    };
    assert_eq!(value("pearwood_box_memory_bytes", &[("box", "net")]), 65536.0);
    assert_eq!(value("pearwood_box_cpu_seconds_total", &[("box", "net")]), 0.25);
    assert_eq!(value("pearwood_node_uptime_seconds", &[]), 1.5);
    assert_eq!(value("pearwood_system_info", &[("name", "web\"si\\te\n")]), 1.0);
    let site = [("from", "http"), ("to", "site"), ("interface", "pearwood:http/handler")];
    assert_eq!(value("pearwood_arrow_requests_total", &site), 7.0);
    assert_eq!(value("pearwood_arrow_errors_total", &site), 2.0);
    assert_eq!(value("pearwood_arrow_connections_total", &[("to", "net")]), 12.0);
    assert_eq!(value("pearwood_arrow_bytes_total", &[("to", "site"), ("direction", "received")]), 6.0);
    assert!(!samples.iter().any(|it| it.0 == "pearwood_arrow_requests_total" && it.1["to"] == "net"));

    let figure = |name, labels: &[(&str, &str)]| value(&format!("pearwood_figure_{name}"), labels);
    assert_eq!(figure("requests_total", &[("box", "http"), ("host", "a\"b\n\\"), ("status", "2xx")]), u64::MAX as f64);
    assert_eq!(figure("requests_total", &[("box", "tls"), ("host", "c")]), 1.0);
    assert_eq!(figure("connections", &[("box", "http")]), -3.0);
    assert_eq!(figure("certificate_expires_timestamp_seconds", &[("issued_by", "x")]), 1.8e9);
    assert_eq!(figure("state_info", &[("key", "k"), ("text", "all \"well\"\nso far")]), 1.0);

    let duration = "pearwood_arrow_request_duration_seconds";
    let bound = |le| value(&format!("{duration}_bucket"), &[("to", "site"), ("le", le)]);
    assert_eq!((bound("0.000008192"), bound("0.000016384"), bound("+Inf")), (2.0, 5.0, 6.0));
    assert_eq!(value(&format!("{duration}_count"), &site), bound("+Inf"));
    assert_eq!(value(&format!("{duration}_sum"), &site), 0.003);
    let buckets: Vec<_> = samples.iter().filter(|it| it.0.ends_with("_bucket")).collect();
    let bounds: Vec<f64> = buckets.iter().map(|it| it.1["le"].parse().unwrap()).collect();
    assert!(bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY), "{bounds:?}");
    assert!(buckets.is_sorted_by_key(|it| it.2), "cumulative");
}

#[test]
fn a_node_that_tells_no_figures_is_measured_all_the_same() {
    let (before, _) = DESCRIPTION.split_once(",\"figures\"").unwrap();
    assert!(!parse(&metrics(&format!("{before}}}")).unwrap()).is_empty());
}

#[test]
fn another_form_is_none() {
    for text in [
        "",
        "{}",
        "[1]",
        r#"{"boxes":[],"arrows":[]}"#,
        &DESCRIPTION.replace("\"errors\":2", "\"errors\":[]"),
        &DESCRIPTION.replace("\"name\":\"state\"", "\"name\":\"a b\""),
        &DESCRIPTION.replace("\"key\":\"k\"", "\"k}\":\"k\""),
    ] {
        assert_eq!(metrics(text), None);
    }
}
