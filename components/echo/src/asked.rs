//! What a request asks for.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Echo,
    Headers,
    Status(u16),
    /// that many bytes
    Bytes(u64),
    /// after that many milliseconds
    Slow(u64),
    Garbage,
    Misdeed(Misdeed),
    /// It is none of the above, and why.
    Mistake(&'static str),
}

/// What ends the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misdeed {
    Trap,
    Loop,
    Eat,
    /// To send this peer bytes that are no batch.
    BadBatch(u32),
}

impl Asked {
    pub fn of(target: &str, peer: u32) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut segments = path.rsplit('/');
        let last = segments.next().unwrap_or_default();
        match last {
            "headers" => Asked::Headers,
            "bytes" => number(query, "n").map_or(Asked::Mistake("bytes?n= needs a number"), Asked::Bytes),
            "slow" => number(query, "ms").map_or(Asked::Mistake("slow?ms= needs a number"), Asked::Slow),
            "trap" => Asked::Misdeed(Misdeed::Trap),
            "loop" => Asked::Misdeed(Misdeed::Loop),
            "eat" => Asked::Misdeed(Misdeed::Eat),
            "garbage" if query == "batch" => Asked::Misdeed(Misdeed::BadBatch(peer)),
            "garbage" => Asked::Garbage,
            _ if segments.next() == Some("status") => match last.parse() {
                Ok(status @ 200..=599) => Asked::Status(status),
                _ => Asked::Mistake("status/ needs a number from 200 to 599"),
            },
            _ => Asked::Echo,
        }
    }
}

fn number(query: &str, name: &str) -> Option<u64> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_end_of_the_path() {
        for (target, asked) in [
            ("/", Asked::Echo),
            ("/echo/", Asked::Echo),
            ("/echo/headers?x", Asked::Headers),
            ("/status/404", Asked::Status(404)),
            ("/a/b/status/599", Asked::Status(599)),
            ("/bytes?a=b&n=70000", Asked::Bytes(70_000)),
            ("/slow?ms=5", Asked::Slow(5)),
            ("/x/trap", Asked::Misdeed(Misdeed::Trap)),
            ("/garbage", Asked::Garbage),
            ("/garbage?batch", Asked::Misdeed(Misdeed::BadBatch(3))),
        ] {
            assert_eq!(Asked::of(target, 3), asked, "{target}");
        }
        for target in ["/status/100", "/status/600", "/status/", "/bytes", "/bytes?n=-1", "/slow?ms=", "/slow?n=1"] {
            assert!(matches!(Asked::of(target, 3), Asked::Mistake(_)), "{target}");
        }
    }
}
