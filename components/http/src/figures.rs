//! What the box says of itself: of each host what was asked for and how that was answered.

use crate::exchange::Exchange;
use message::target::host_of;
use wit::figures::{Figure, Pace, Report};

/// The most hosts that are counted by themselves. They are those that rules, arrows and certificates name, so that no client makes one
/// up; all others are one.
const MOST: usize = 32;
const OTHER: &str = "other";

/// The longest name (RFC 1035, section 2.3.4), and with a port.
const NAME: usize = 253;
const AUTHORITY: usize = NAME + 6;

const VERSIONS: [&str; 2] = ["1", "2"];

/// The place of a host.
pub type Place = u8;

#[derive(Debug)]
pub struct Figures {
    pub pace: Pace,
    /// what is not one of the others, and then those
    hosts: Vec<Host>,
    /// what was asked for last, as it was said
    recent: (String, Place),
}

#[derive(Debug, Clone, Default)]
struct Host {
    /// in lower case; a name of a certificate may begin with `*.`
    name: Box<str>,
    /// by HTTP/1 and 2, and by the first digit of the status
    answered: [[u64; 5]; 2],
    /// bytes of answers' bodies
    bytes: u64,
    /// refused since somebody asked too often
    limited: u64,
}

impl Default for Figures {
    fn default() -> Self {
        let other = Host { name: OTHER.into(), ..Host::default() };
        Figures { pace: Pace::default(), hosts: vec![other], recent: (String::new(), 0) }
    }
}

impl Host {
    fn is(&self, host: &str) -> bool {
        match self.name.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            None => self.name.eq_ignore_ascii_case(host),
        }
    }

    /// What there is no room for by itself.
    fn add(&mut self, host: &Host) {
        let more = host.answered.as_flattened();
        self.answered.as_flattened_mut().iter_mut().zip(more).for_each(|(count, more)| *count += more);
        self.bytes += host.bytes;
        self.limited += host.limited;
    }

    fn figures(&self) -> Vec<Figure> {
        let mut all = Vec::new();
        for (version, classes) in VERSIONS.iter().zip(&self.answered) {
            for (class, count) in (1..).zip(classes).filter(|(_, count)| **count > 0) {
                all.push(Figure::counter("requests", *count).of("http", *version).of("status", format!("{class}xx")));
            }
        }
        if !all.is_empty() {
            all.push(Figure::counter("body-bytes", self.bytes));
        }
        if self.limited > 0 {
            all.push(Figure::counter("limited-requests", self.limited));
        }
        all.into_iter().map(|figure| figure.of("host", &*self.name)).collect()
    }
}

impl Figures {
    /// There is a host of that name.
    pub fn know(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        let is_new =
            !name.is_empty() && name.len() <= NAME && !self.hosts.iter().skip(1).any(|host| *host.name == *name);
        if is_new && self.hosts.len() <= MOST {
            self.hosts.push(Host { name: name.into(), ..Host::default() });
            self.recent = (String::new(), 0);
        }
    }

    /// The place of the host of a request.
    #[inline]
    pub fn place(&mut self, authority: &str) -> Place {
        if self.hosts.len() == 1 || self.recent.0 == authority { self.recent.1 } else { self.find(authority) }
    }

    #[cold]
    fn find(&mut self, authority: &str) -> Place {
        let host = host_of(authority).trim_end_matches('.');
        let named = self.hosts.iter().enumerate().skip(1).filter(|(_, known)| known.is(host));
        // one of that very name comes before one that begins with a star
        let place = named.min_by_key(|(_, known)| known.name.starts_with('*')).map_or(0, |(place, _)| place as Place);
        if authority.len() <= AUTHORITY {
            self.recent.0.clear();
            self.recent.0.push_str(authority);
            self.recent.1 = place;
        }
        place
    }

    /// An answer is on its way as a whole.
    #[inline]
    pub fn answered(&mut self, exchange: &Exchange, now: u64) {
        let Some(host) = self.hosts.get_mut(usize::from(exchange.host)) else { return };
        let class = usize::from(exchange.record.status / 100).clamp(1, 5) - 1;
        host.answered[usize::from(exchange.is_stream_of_2)][class] += 1;
        host.bytes += exchange.record.body_bytes;
        self.pace.changed(now);
    }

    /// A request was refused since there were too many.
    #[cold]
    pub fn limited(&mut self, place: Place) {
        if let Some(host) = self.hosts.get_mut(usize::from(place)) {
            host.limited += 1;
        }
    }

    /// `connections`: those of HTTP/1 and of HTTP/2.
    #[cold]
    pub fn all(&self, connections: [usize; 2]) -> Vec<Figure> {
        let Some((other, hosts)) = self.hosts.split_first() else { return Vec::new() };
        let mut other = other.clone();
        let open = (0..2).map(|at| Figure::gauge("connections", connections[at]).of("http", VERSIONS[at]));
        let mut report = Report::of(open.collect());
        report.keep_room(&Host { answered: [[1; 5]; 2], limited: 1, ..other.clone() }.figures());
        for host in hosts {
            if !report.add(host.figures()) {
                other.add(host);
            }
        }
        report.finish(other.figures())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_are_known_and_no_more() {
        let mut figures = Figures::default();
        assert_eq!(figures.place("a.example"), 0);
        for name in ["A.example", "a.example", "A.Example", "*.b.example", "", "x.b.example"] {
            figures.know(name);
        }
        assert_eq!(figures.hosts.len(), 4, "each once");
        let mut names = |authority| {
            let place = usize::from(figures.place(authority));
            figures.hosts[place].name.clone()
        };
        for (authority, name) in [
            ("a.example", "a.example"),
            ("A.Example.:8443", "a.example"),
            ("y.b.example", "*.b.example"),
            ("x.b.example", "x.b.example"),
            ("b.example", "other"),
            ("other", "other"),
            ("", "other"),
            (&"n".repeat(5_000), "other"),
        ] {
            assert_eq!((&*names(authority), &*names(authority)), (name, name), "{authority}");
        }
        for number in 0..100 {
            figures.know(&format!("{number}.example"));
        }
        assert_eq!((figures.hosts.len(), figures.place("99.example")), (MOST + 1, 0));
    }

    /// Hosts that there is no room for are told with those that nobody names.
    #[test]
    fn no_request_is_lost_where_a_report_has_no_room() {
        let mut figures = Figures::default();
        for number in 0..MOST {
            figures.know(&format!("{number:0>63}.{number:0>63}.{number:0>63}.example"));
        }
        let mut count = 0;
        for host in 0..=MOST as Place {
            for (status, is_stream_of_2) in
                [100, 200, 300, 400, 500].into_iter().flat_map(|it| [(it, false), (it, true)])
            {
                let mut exchange = Exchange::default();
                (exchange.host, exchange.is_stream_of_2, exchange.record.status) = (host, is_stream_of_2, status);
                figures.answered(&exchange, 1);
                count += 1;
            }
            figures.limited(host);
        }
        let all = figures.all([0, 0]);
        let sum = |name| {
            let counts = all.iter().filter(|figure| figure.name == name).map(|figure| match figure.value {
                wit::figures::Value::Counter(count) => count,
                _ => 0,
            });
            counts.sum::<u64>()
        };
        assert_eq!((sum("requests"), sum("limited-requests")), (count, MOST as u64 + 1));
        let label = |figure: &Figure| figure.labels.iter().find(|label| label.0 == "host").map(|label| label.1.clone());
        let hosts: std::collections::HashSet<String> = all.iter().filter_map(label).collect();
        assert!((5..MOST).contains(&hosts.len()) && hosts.contains(OTHER), "{}", hosts.len());
    }

    #[test]
    fn they_are_counted_by_host_version_and_class() {
        let mut figures = Figures::default();
        figures.pace.start();
        figures.know("a.example");
        let mut exchange = Exchange::default();
        exchange.host = figures.place("a.example");
        for (status, is_2) in [(200, false), (204, false), (404, true), (101, false), (999, false)] {
            (exchange.record.status, exchange.is_stream_of_2, exchange.record.body_bytes) = (status, is_2, 10);
            figures.answered(&exchange, 1);
        }
        figures.limited(exchange.host);
        let all = figures.all([3, 1]);
        let of = |name, http: &str, status: &str| {
            Figure::counter(name, 0).of("http", http).of("status", status).of("host", "a.example")
        };
        for (figure, count) in
            [(of("requests", "1", "2xx"), 2), (of("requests", "2", "4xx"), 1), (of("requests", "1", "1xx"), 1)]
        {
            let is_it = |other: &&Figure| (other.name, &other.labels) == (figure.name, &figure.labels);
            assert_eq!(
                all.iter().find(is_it).map(|it| &it.value),
                Some(&wit::figures::Value::Counter(count)),
                "{all:?}"
            );
        }
        assert!(all.contains(&Figure::counter("body-bytes", 50).of("host", "a.example")));
        assert!(all.contains(&Figure::counter("limited-requests", 1).of("host", "a.example")));
        assert!(all.contains(&Figure::gauge("connections", 3).of("http", "1")));
        assert!(!all.iter().any(|figure| figure.labels.iter().any(|label| label.1 == OTHER)), "nobody has asked there");
    }
}
