//! Records and handshakes that no honest client sends, by somebody who knows how they are built (RFC 8446, sections 4 and 5): of the
//! right structure, with content, lengths, order and pieces that are wrong here and there.

/// A pseudo-random sequence (SplitMix64): the same each time.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// The first, as an honest client has it, as a rule.
    fn rather<T: Copy>(&mut self, from: &[T]) -> T {
        if self.one_in(12) { self.pick(from) } else { from[0] }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn up_to(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        self.bytes(length)
    }
}

/// What a client sends over a connection, which is a `ClientHello` first as a rule.
pub fn connection(random: &mut Seeded) -> Vec<u8> {
    let mut messages = match random.below(12) {
        0 => message(random, &[0, 2, 4, 11, 14, 15, 16, 20, 24, 254]),
        _ => hello(random),
    };
    if random.one_in(8) {
        let more = if random.one_in(2) { hello(random) } else { message(random, &[1, 11, 15, 16, 20, 24]) };
        messages.extend(more);
    }
    let mut bytes = in_records(random, &messages);
    for _ in 0..random.below(4) {
        bytes.extend(after(random));
    }
    if random.one_in(16) {
        let at = random.below(bytes.len().max(1));
        bytes.truncate(at);
    }
    bytes.truncate(60_000);
    bytes
}

/// With its length in front, big endian, which seldom is another one.
fn prefixed(random: &mut Seeded, width: usize, body: &[u8]) -> Vec<u8> {
    let length = match random.below(1_500) {
        0 => body.len() + 1 + random.below(300),
        1 => random.below(body.len().max(1)),
        2 => u32::MAX as usize,
        _ => body.len(),
    };
    [&length.to_be_bytes()[8 - width..], body].concat()
}

/// Handshake messages in records, cut anywhere, with others in between.
fn in_records(random: &mut Seeded, mut messages: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let most = random.rather(&[16_384, 1, 5, 100, 16_385]);
    while !messages.is_empty() {
        let length = if most > 5_000 { most } else { 1 + random.below(most) };
        let (now, later) = messages.split_at(messages.len().min(length));
        bytes.extend(record(random, 22, now));
        messages = later;
        if random.one_in(24) {
            bytes.extend(after(random));
        }
    }
    bytes
}

fn record(random: &mut Seeded, kind: u8, body: &[u8]) -> Vec<u8> {
    let version = random.rather(&[[3, 1], [3, 3], [3, 0], [3, 4]]);
    let kind = if random.one_in(300) { random.next() as u8 } else { kind };
    [&[kind, version[0], version[1]][..], &prefixed(random, 2, body)].concat()
}

/// What comes between messages, or after them: of each kind, in the clear or as if it were encrypted.
fn after(random: &mut Seeded) -> Vec<u8> {
    match random.below(8) {
        0 => record(random, 20, &[1]),
        1 => {
            let body = random.up_to(3);
            record(random, 20, &body)
        }
        2 => {
            let alert = [random.pick(&[1, 2, 0]), random.pick(&[0, 10, 20, 40, 90, 255])];
            record(random, 21, &alert)
        }
        3 => {
            let body = random.up_to(4);
            record(random, 21, &body)
        }
        4 => record(random, 22, &[]),
        5 => {
            let kinds = [0, 1, 11, 15, 16, 20, 24];
            let body = message(random, &kinds);
            record(random, 22, &body)
        }
        _ => {
            let body = random.up_to(600);
            record(random, 23, &body)
        }
    }
}

/// Another handshake message: of a kind, with anything in it.
fn message(random: &mut Seeded, kinds: &[u8]) -> Vec<u8> {
    let kind = random.pick(kinds);
    let body = match kind {
        // a point for ECDHE in TLS 1.2
        16 => {
            let point = random.pick(&[32, 65, 1, 0]);
            let point = random.bytes(point);
            prefixed(random, 1, &point)
        }
        20 => {
            let length = random.pick(&[12, 32, 48, 0]);
            random.bytes(length)
        }
        24 => vec![random.below(3) as u8],
        _ => random.up_to(200),
    };
    [&[kind][..], &prefixed(random, 3, &body)].concat()
}

fn hello(random: &mut Seeded) -> Vec<u8> {
    let mut body = random.rather(&[[3, 3], [3, 1], [3, 0], [3, 4], [2, 0]]).to_vec();
    body.extend(random.bytes(32));
    let session = random.rather(&[32, 0, 1, 33]);
    let session = random.bytes(session);
    body.extend(prefixed(random, 1, &session));
    let known = [0x1301_u16, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xcca9, 0x0a0a, 0x00ff, 0x5600, 0xc02f, 0x002f];
    let mut suites: Vec<u8> = (0..random.below(8)).flat_map(|_| random.pick(&known).to_be_bytes()).collect();
    if !random.one_in(8) {
        suites.extend(known.iter().flat_map(|suite| suite.to_be_bytes()));
    }
    if random.one_in(50) {
        suites.pop();
    }
    body.extend(prefixed(random, 2, &suites));
    let compression: &[u8] = random.rather(&[&[0][..], &[], &[1], &[1, 0]]);
    body.extend(prefixed(random, 1, compression));
    if !random.one_in(20) {
        let extensions = extensions(random);
        body.extend(prefixed(random, 2, &extensions));
    }
    [&[1][..], &prefixed(random, 3, &body)].concat()
}

fn extensions(random: &mut Seeded) -> Vec<u8> {
    // as an honest client has them, each of which may be missing, come twice or out of order
    let mut kinds = vec![0_u16, 10, 13, 43, 51, 16, 45, 23, 5];
    for _ in 0..random.rather(&[0, 1, 2]) {
        let other = [0, 10, 13, 43, 51, 16, 45, 42, 44, 41, 35, 1, 11, 18, 21, 28, 49, 50, 0xff01, 0x0a0a, 0xfe0d];
        let kind = random.pick(&other);
        kinds.insert(random.below(kinds.len() + 1), kind);
    }
    if random.one_in(6) {
        kinds.remove(random.below(kinds.len()));
    }
    if random.one_in(12) {
        kinds.push(41);
    }
    let mut all = Vec::new();
    for kind in kinds {
        let body = if random.one_in(150) { random.up_to(40) } else { extension(random, kind) };
        all.extend(kind.to_be_bytes());
        all.extend(prefixed(random, 2, &body));
    }
    all
}

fn list(random: &mut Seeded, width: usize, of: &[u16]) -> Vec<u8> {
    let body: Vec<u8> = (0..random.below(of.len() + 2)).flat_map(|_| random.pick(of).to_be_bytes()).collect();
    prefixed(random, width, &body)
}

fn extension(random: &mut Seeded, kind: u16) -> Vec<u8> {
    match kind {
        // names
        0 => {
            let long = "a".repeat(300);
            let names =
                ["localhost", "localhost", "LOCALHOST.", "", "192.0.2.1", "a..b", "*.x", "h\u{fc}", "a b", &long];
            let mut body = Vec::new();
            for _ in 0..1 + usize::from(random.one_in(10)) {
                body.push(u8::from(random.one_in(20)));
                let name = random.rather(&names);
                body.extend(prefixed(random, 2, name.as_bytes()));
            }
            prefixed(random, 2, &body)
        }
        // groups
        10 if !random.one_in(12) => vec![0, 4, 0, 0x1d, 0, 0x17],
        10 => list(random, 2, &[0x001d, 0x0017, 0x0018, 0x11ec, 0x0a0a, 0x0100]),
        // signatures
        13 | 50 => {
            if random.one_in(8) {
                list(random, 2, &[0x0807, 0x0403, 0x0804, 0x0401, 0x0201, 0x0a0a])
            } else {
                [&[0, 4][..], &[4, 3, 8, 7]].concat()
            }
        }
        // versions
        43 => match random.below(12) {
            0 => list(random, 1, &[0x0304, 0x0303, 0x0302, 0x0a0a, 0x7f1c]),
            1 => vec![2, 3, 3],
            _ => vec![4, 3, 4, 3, 3],
        },
        // key shares
        51 => {
            let mut body = Vec::new();
            for _ in 0..random.rather(&[1, 0, 2, 5]) {
                let (group, length) = random.rather(&[
                    (0x001d_u16, 32),
                    (0x0017, 65),
                    (0x11ec, 1_216),
                    (0x0a0a, 1),
                    (0x001d, 31),
                    (0x0017, 0),
                ]);
                let mut share = match random.below(20) {
                    // zero, and points of small order
                    0 => vec![0; length],
                    1 => [&vec![1; length.min(1)][..], &vec![0; length.saturating_sub(1)]].concat(),
                    _ => random.bytes(length),
                };
                if length == 65 {
                    share[0] = random.pick(&[4, 4, 2, 0]);
                }
                body.extend(group.to_be_bytes());
                body.extend(prefixed(random, 2, &share));
            }
            prefixed(random, 2, &body)
        }
        // protocols
        16 => {
            let mut body = Vec::new();
            let long = "x".repeat(255);
            for _ in 0..random.pick(&[1, 2]) * random.rather(&[1, 0, 20]) {
                let protocol = random.rather(&["h2", "http/1.1", "acme-tls/1", "", "h3", &long]);
                body.extend(prefixed(random, 1, protocol.as_bytes()));
            }
            prefixed(random, 2, &body)
        }
        45 => random.rather(&[&[1_u8, 1][..], &[1, 0], &[0], &[2, 0, 1], &[1, 9]]).to_vec(),
        // earlier sessions, and their binders
        41 => {
            let (mut identities, mut binders) = (Vec::new(), Vec::new());
            for _ in 0..random.pick(&[1, 1, 2, 0, 20]) {
                let identity = random.up_to(200);
                identities.extend(prefixed(random, 2, &identity));
                identities.extend(random.bytes(4));
            }
            for _ in 0..random.pick(&[1, 1, 2, 0, 20]) {
                let length = random.pick(&[32, 48, 31, 0, 255]);
                let binder = random.bytes(length);
                binders.extend(prefixed(random, 1, &binder));
            }
            [prefixed(random, 2, &identities), prefixed(random, 2, &binders)].concat()
        }
        5 => random.rather(&[&[1_u8, 0, 0, 0, 0][..], &[], &[2, 0, 0], &[1, 0, 9, 0, 0]]).to_vec(),
        // tickets of TLS 1.2
        35 => random.up_to(500),
        11 => vec![1, random.below(3) as u8],
        1 => vec![random.below(6) as u8],
        44 => {
            let cookie = random.up_to(300);
            prefixed(random, 2, &cookie)
        }
        0xff01 => random.pick(&[&[0_u8][..], &[0], &[], &[1, 7], &[12]]).to_vec(),
        21 => vec![0; random.below(1_000)],
        23 | 42 | 49 | 18 => {
            if random.one_in(8) {
                random.up_to(4)
            } else {
                Vec::new()
            }
        }
        _ => random.up_to(64),
    }
}
