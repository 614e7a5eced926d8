//! What goes over an arrow in a second.

use super::{Arrow, Description};
use wasm_host::arrows::measure::quantile;

/// Between two descriptions. Times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// requests, or connections
    pub calls: Option<u64>,
    pub errors: u64,
    pub sent: u64,
    pub received: u64,
    pub p50: Option<u64>,
    pub p99: Option<u64>,
}

impl Rates {
    /// `nanos` have passed since `before`.
    pub fn of(before: &Description, arrow: &Arrow, nanos: u64) -> Self {
        let was = before.find(arrow);
        let rate = |of: &dyn Fn(&Arrow) -> u64| {
            // an arrow of another box begins at 0
            let grown = of(arrow).checked_sub(was.map_or(0, of)).unwrap_or(of(arrow));
            (u128::from(grown) * 1_000_000_000 / u128::from(nanos.max(1))) as u64
        };
        let counted = arrow.requests.or(arrow.connections).is_some();
        let buckets = grown(arrow, was);
        Rates {
            calls: counted.then(|| rate(&|arrow| arrow.requests.or(arrow.connections).unwrap_or(0))),
            errors: rate(&|arrow| arrow.errors),
            sent: rate(&|arrow| arrow.sent.bytes),
            received: rate(&|arrow| arrow.received.bytes),
            p50: quantile(&buckets, 500),
            p99: quantile(&buckets, 990),
        }
    }
}

/// What has come into the buckets.
fn grown(arrow: &Arrow, was: Option<&Arrow>) -> Vec<(u64, u64)> {
    let buckets = |arrow: &Arrow| arrow.latency.as_ref().map(|latency| latency.buckets.clone()).unwrap_or_default();
    let before = was.map(buckets).unwrap_or_default();
    let count = |end| before.iter().find(|(other, _)| *other == end).map_or(0, |(_, count)| *count);
    buckets(arrow).into_iter().map(|(end, now)| (end, now.checked_sub(count(end)).unwrap_or(now))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(requests: u64, errors: u64, buckets: &str) -> Description {
        let way = r#"{"batches":1,"records":1,"bytes":5000,"full":0}"#;
        let text = format!(
            r#"{{"system":"s","target":"t","uptime":0,"memory":{{"total":0,"frames":0}},"boxes":[],"arrows":[
            {{"from":"a","to":"b","interface":"i","requests":{requests},"under_way":0,"connections":null,
            "errors":{errors},"sent":{way},"received":{way},"latency":{{"buckets":{buckets}}}}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_what_is_new_counts() {
        let (before, now) = (description(10, 3, "[[2048,10]]"), description(30, 4, "[[2048,10],[1048576,20]]"));
        let rates = Rates::of(&before, &now.arrows[0], 2_000_000_000);
        assert_eq!((rates.calls, rates.errors, rates.sent), (Some(10), 0, 0));
        assert!(rates.p50.unwrap() > 800_000, "{rates:?}");
        let again = Rates::of(&now, &before.arrows[0], 1_000_000_000);
        assert_eq!((again.calls, again.errors), (Some(10), 3), "it began again at 0");
        let nothing = Rates::of(&now, &now.arrows[0], 1_000_000_000);
        assert_eq!((nothing.calls, nothing.p99), (Some(0), None));
    }
}
