//! IPv6 packets with extension headers, and in fragments (RFC 8200 section 4): made plain, since smoltcp reads the
//! hop-by-hop options only.

use crate::memory;
use std::collections::VecDeque;

const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;
/// where the upper protocol of a plain frame begins
const PLAIN: usize = ETHERNET_HEADER + IPV6_HEADER;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const OPTIONS: u8 = 60;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Datagrams of which fragments are kept; of more, the oldest is dropped.
const DATAGRAMS: usize = 4;
/// Bytes of the largest datagram that is put together: RFC 8200 section 5 asks for 1,500.
const LARGEST: usize = 8 << 10;
/// RFC 8200 section 4.5.
const PATIENCE: u64 = 60_000_000_000;

/// What the sender is to be told: the code and pointer of an ICMPv6 message "parameter problem" (RFC 4443 section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    pub code: u8,
    pub pointer: u32,
}

impl Problem {
    const FIELD: u8 = 0;
    const NEXT_HEADER: u8 = 1;
    pub const OPTION: u8 = 2;
    /// RFC 7112 section 5.
    const CUT: u8 = 3;

    /// `at` is a place in the frame.
    fn at(code: u8, at: usize) -> Self {
        Problem { code, pointer: (at - ETHERNET_HEADER) as u32 }
    }
}

/// What has become of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A frame of the same packet without extension headers. `fragmented`: it had one for fragments.
    Plain {
        frame: Vec<u8>,
        fragmented: bool,
    },
    Dropped(Option<Problem>),
}

/// Whether this is the number of an extension header.
pub fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | OPTIONS)
}

/// Fragments of datagrams that are not yet complete.
#[derive(Debug, Default)]
pub struct Extensions(VecDeque<Partial>);

#[derive(Debug)]
struct Partial {
    /// addresses and identification
    key: [u8; 36],
    expires: u64,
    /// what the first fragment says that follows
    protocol: Option<u8>,
    data: Vec<u8>,
    /// bytes of `data` that are there, as begin and end, of which none overlap
    there: Vec<(usize, usize)>,
    total: Option<usize>,
}

/// A fragment header in a frame.
struct Fragment {
    protocol: u8,
    key: [u8; 36],
    /// where the header and its data are
    header: usize,
    end: usize,
    offset: usize,
    more: bool,
}

enum Walk {
    /// The upper protocol, and where it begins and ends.
    Upper(u8, usize, usize, bool),
    Fragment(Fragment),
}

const SILENT: Outcome = Outcome::Dropped(None);

impl Extensions {
    /// Takes a frame of an IPv6 packet, whatever its bytes.
    pub fn take(&mut self, now: u64, frame: &[u8]) -> Outcome {
        match walk(frame) {
            Ok(Walk::Upper(protocol, start, end, fragmented)) => {
                Outcome::Plain { frame: plain(frame, protocol, &frame[start..end]), fragmented }
            }
            Ok(Walk::Fragment(fragment)) => self.fragment(now, frame, &fragment).unwrap_or(SILENT),
            Err(problem) => Outcome::Dropped(problem),
        }
    }

    fn fragment(&mut self, now: u64, frame: &[u8], fragment: &Fragment) -> Option<Outcome> {
        let Fragment { header, end, offset, more, .. } = *fragment;
        let data = &frame[header + 8..end];
        let problem = |at| Some(Outcome::Dropped(Some(Problem::at(Problem::FIELD, at))));
        if more && !data.len().is_multiple_of(8) {
            return problem(ETHERNET_HEADER + 4);
        }
        if offset + data.len() > usize::from(u16::MAX) {
            return problem(header + 2);
        }
        if offset == 0 && !has_all_headers(frame, fragment.protocol, data) {
            return Some(Outcome::Dropped(Some(Problem { code: Problem::CUT, pointer: 0 })));
        }
        self.0.retain(|partial| partial.expires > now);
        let place = match self.0.iter().position(|partial| partial.key == fragment.key) {
            Some(place) => place,
            None => self.begin(now, fragment)?,
        };
        let partial = &mut self.0[place];
        if !partial.add(fragment, data) {
            self.0.remove(place);
            return None;
        }
        let (Some(protocol), true) = (partial.protocol, partial.is_complete()) else { return None };
        let whole = plain(frame, protocol, &self.0.remove(place)?.data);
        // Of what is in it, fragments are the one thing that nobody sends.
        match walk(&whole) {
            Ok(Walk::Upper(protocol, start, end, _)) => {
                Some(Outcome::Plain { frame: plain(&whole, protocol, &whole[start..end]), fragmented: true })
            }
            _ => None,
        }
    }

    fn begin(&mut self, now: u64, fragment: &Fragment) -> Option<usize> {
        if !memory::there_is(LARGEST) {
            return None;
        }
        if self.0.len() >= DATAGRAMS {
            self.0.pop_front();
        }
        self.0.push_back(Partial {
            key: fragment.key,
            expires: now.saturating_add(PATIENCE),
            protocol: None,
            data: Vec::new(),
            there: Vec::new(),
            total: None,
        });
        Some(self.0.len() - 1)
    }
}

impl Partial {
    /// False if this cannot become a datagram, be it that a fragment overlaps another (RFC 5722).
    fn add(&mut self, fragment: &Fragment, data: &[u8]) -> bool {
        let (begin, end) = (fragment.offset, fragment.offset + data.len());
        let again = self.there.contains(&(begin, end)) && self.data[begin..end] == *data;
        let overlaps = self.there.iter().any(|there| begin < there.1 && there.0 < end);
        let total = if fragment.more { self.total } else { Some(end) };
        let last = self.there.iter().map(|there| there.1).max().unwrap_or(0).max(end);
        let contradicts =
            self.total.is_some_and(|known| Some(known) != total) || total.is_some_and(|total| last > total);
        if again && !contradicts {
            return true;
        }
        if overlaps || contradicts || end > LARGEST || data.is_empty() && fragment.more {
            return false;
        }
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[begin..end].copy_from_slice(data);
        self.there.push((begin, end));
        self.total = total;
        if begin == 0 {
            self.protocol = Some(fragment.protocol);
        }
        true
    }

    fn is_complete(&self) -> bool {
        self.total == Some(self.there.iter().map(|there| there.1 - there.0).sum())
    }
}

/// Whether the first fragment of a datagram has all of its headers, the upper protocol's too (RFC 8200 section 4.5): what
/// looks at that fragment alone must know what it is.
fn has_all_headers(frame: &[u8], protocol: u8, data: &[u8]) -> bool {
    match walk(&plain(frame, protocol, data)) {
        Ok(Walk::Upper(protocol, start, end, _)) => end - start >= least(protocol),
        // What is wrong with them is seen when the datagram is complete.
        Ok(Walk::Fragment(_)) | Err(Some(_)) => true,
        Err(None) => false,
    }
}

/// Bytes of an upper protocol's header.
fn least(protocol: u8) -> usize {
    match protocol {
        TCP => 20,
        UDP => 8,
        ICMPV6 => 4,
        _ => 0,
    }
}

/// Whether a packet is one that no error is ever sent about (RFC 4443 section 2.4 (e)): an error itself, or a redirect. As
/// far as its headers can be read.
pub fn is_error(frame: &[u8]) -> bool {
    const REDIRECT: u8 = 137;
    let kind = |start: usize| frame.get(start).is_some_and(|kind| *kind < 128 || *kind == REDIRECT);
    let (mut protocol, mut start) = (frame.get(ETHERNET_HEADER + 6).copied(), PLAIN);
    while let Some(header) = protocol.filter(|protocol| is_extension(*protocol)) {
        // In a later fragment there is no telling.
        let later = header == FRAGMENT
            && frame.get(start + 2..start + 4).is_none_or(|place| place[0] != 0 || place[1] & !7 != 0);
        if later {
            return false;
        }
        let units = if header == FRAGMENT { 0 } else { frame.get(start + 1).map_or(0, |units| usize::from(*units)) };
        protocol = frame.get(start).copied();
        start += (units + 1) * 8;
    }
    protocol == Some(ICMPV6) && kind(start)
}

/// A frame with this in place of all that follows the IPv6 header.
fn plain(frame: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut plain = [&frame[..PLAIN], payload].concat();
    plain[ETHERNET_HEADER + 4..ETHERNET_HEADER + 6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    plain[ETHERNET_HEADER + 6] = protocol;
    plain
}

/// Goes from header to header.
fn walk(frame: &[u8]) -> Result<Walk, Option<Problem>> {
    let header = frame.get(ETHERNET_HEADER..PLAIN).ok_or(None)?;
    let end = PLAIN + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let packet = frame.get(..end).ok_or(None)?;
    let multicast = header[24] == 0xff;
    let mut fragmented = false;
    // where the number of the next header is
    let (mut named, mut start) = (ETHERNET_HEADER + 6, PLAIN);
    loop {
        let protocol = packet[named];
        if protocol == HOP_BY_HOP && start != PLAIN {
            return Err(Some(Problem::at(Problem::NEXT_HEADER, named)));
        }
        if !is_extension(protocol) {
            return Ok(Walk::Upper(protocol, start, end, fragmented));
        }
        let header = packet.get(start..).and_then(|rest| rest.first_chunk::<8>()).ok_or(None)?;
        let length = if protocol == FRAGMENT { 8 } else { (usize::from(header[1]) + 1) * 8 };
        let whole = packet.get(start..start + length).ok_or(None)?;
        match protocol {
            HOP_BY_HOP | OPTIONS => options(whole, start, multicast)?,
            // RFC 8200 section 4.4: none of its types means anything to a host, as long as there is somewhere left to go.
            ROUTING if header[3] != 0 => return Err(Some(Problem::at(Problem::FIELD, start + 2))),
            FRAGMENT => {
                let place = u16::from_be_bytes([header[2], header[3]]);
                let (offset, more) = (usize::from(place & !7), place & 1 != 0);
                // RFC 6946: the only one of its datagram is no fragment.
                if offset != 0 || more {
                    let mut key = [0; 36];
                    key[..32].copy_from_slice(&packet[ETHERNET_HEADER + 8..PLAIN]);
                    key[32..].copy_from_slice(&header[4..]);
                    let protocol = header[0];
                    return Ok(Walk::Fragment(Fragment { protocol, key, header: start, end, offset, more }));
                }
                fragmented = true;
            }
            _ => {}
        }
        (named, start) = (start, start + length);
    }
}

/// Looks at options of which none means anything here: the upper bits of their types say what that means (RFC 8200
/// section 4.2).
fn options(header: &[u8], start: usize, multicast: bool) -> Result<(), Option<Problem>> {
    const PAD: u8 = 0;
    let mut at = 2;
    while let Some(&kind) = header.get(at) {
        if kind == PAD {
            at += 1;
            continue;
        }
        let length = header.get(at + 1).ok_or(None)?;
        let problem = Problem::at(Problem::OPTION, start + at);
        match kind >> 6 {
            0 => {}
            2 => return Err(Some(problem)),
            3 if !multicast => return Err(Some(problem)),
            _ => return Err(None),
        }
        at += 2 + usize::from(*length);
    }
    if at == header.len() { Ok(()) } else { Err(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; PLAIN];
        (frame[12], frame[13], frame[14]) = (0x86, 0xdd, 0x60);
        plain(&frame, first, payload)
    }

    fn piece(offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
        let [high, low] = (offset | u16::from(more)).to_be_bytes();
        frame(FRAGMENT, &[&[17, 0, high, low, 0, 0, 0, 9][..], data].concat())
    }

    #[test]
    fn headers_are_gone_through_in_any_order_and_options_say_what_to_do() {
        let take = |first, payload: &[u8]| Extensions::default().take(0, &frame(first, payload));
        let padded = [17, 0, 1, 4, 0, 0, 0, 0];
        let options = [OPTIONS, 0, 5, 2, 0, 0, 1, 0];
        let routing = [17, 0, 4, 0, 0, 0, 0, 0];
        let data = Outcome::Plain { frame: frame(17, b"data"), fragmented: false };
        assert_eq!(take(OPTIONS, &[&padded[..], b"data"].concat()), data);
        assert_eq!(take(HOP_BY_HOP, &[&options[..], &padded, b"data"].concat()), data);
        assert_eq!(take(ROUTING, &[&routing[..], b"data"].concat()), data);
        assert_eq!(
            take(FRAGMENT, &[17, 0, 0, 0, 0, 0, 0, 9, 1, 2]),
            Outcome::Plain { frame: frame(17, &[1, 2]), fragmented: true }
        );
        let problem = |code, pointer| Outcome::Dropped(Some(Problem { code, pointer }));
        assert_eq!(take(ROUTING, &[17, 0, 0, 1, 0, 0, 0, 0]), problem(0, 42));
        assert_eq!(take(OPTIONS, &[HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]), problem(1, 40));
        for (kind, outcome) in [(0x3e, data), (0x7e, SILENT), (0xbe, problem(2, 42)), (0xfe, problem(2, 42))] {
            assert_eq!(take(OPTIONS, &[&[17, 0, kind, 4, 0, 0, 0, 0][..], b"data"].concat()), outcome, "{kind:x}");
        }
        // What is cut off, or goes beyond its header.
        for payload in [&[17][..], &[17, 1, 1, 4, 0, 0, 0, 0], &[17, 0, 1, 5, 0, 0, 0, 0], &[17, 0, 0, 0, 0, 0, 0, 1]] {
            assert_eq!(take(OPTIONS, payload), SILENT, "{payload:?}");
        }
    }

    #[test]
    fn fragments_in_any_order_become_a_datagram() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 0, 1]] {
            let pieces = [piece(0, true, &[1; 16]), piece(16, true, &[2; 8]), piece(24, false, b"end")];
            let mut extensions = Extensions::default();
            let outcomes: Vec<Outcome> = order.iter().map(|n| extensions.take(0, &pieces[*n])).collect();
            let whole = frame(17, &[&[1; 16][..], &[2; 8], b"end"].concat());
            let complete = order != [0, 0, 1];
            assert_eq!(outcomes[2] == Outcome::Plain { frame: whole, fragmented: true }, complete, "{order:?}");
            assert_eq!(outcomes[..2], [SILENT, SILENT]);
            assert_eq!(extensions.0.len(), usize::from(!complete));
        }
    }

    #[test]
    fn fragments_that_overlap_contradict_or_come_late_become_nothing() {
        for (second, third) in [
            (piece(8, true, &[2; 16]), piece(24, false, b"end")),
            (piece(16, false, b"end"), piece(16, false, b"longer end")),
            (piece(0, true, &[9; 16]), piece(16, false, b"end")),
        ] {
            let mut extensions = Extensions::default();
            let took = [piece(0, true, &[1; 16]), second, third].map(|piece| extensions.take(0, &piece));
            assert!(!took[..2].iter().any(|outcome| matches!(outcome, Outcome::Plain { fragmented: false, .. })));
            let whole = frame(17, &[&[1; 16][..], b"end"].concat());
            let good = Outcome::Plain { frame: whole, fragmented: true };
            assert!(took[2] != good, "{took:?}");
        }
        let mut extensions = Extensions::default();
        extensions.take(0, &piece(0, true, &[1; 16]));
        assert_eq!(extensions.take(PATIENCE, &piece(16, false, b"end")), SILENT);
        assert_eq!(
            extensions.take(0, &piece(0, true, &[1; 15])),
            Outcome::Dropped(Some(Problem { code: 0, pointer: 4 }))
        );
        let beyond = Outcome::Dropped(Some(Problem { code: 0, pointer: 42 }));
        assert_eq!(extensions.take(0, &piece(0xfff8, false, &[1; 16])), beyond);
        assert_eq!(extensions.take(0, &piece(LARGEST as u16, false, b"x")), SILENT);
    }

    #[test]
    fn the_first_fragment_has_all_headers() {
        let first = |protocol, data: &[u8]| {
            let mut fragment = piece(0, true, data);
            fragment[PLAIN] = protocol;
            Extensions::default().take(0, &fragment)
        };
        let cut = Outcome::Dropped(Some(Problem { code: 3, pointer: 0 }));
        let options = [6, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(first(TCP, &[0; 16]), cut);
        assert_eq!(first(TCP, &[0; 24]), SILENT);
        assert_eq!(first(UDP, &[0; 8]), SILENT);
        assert_eq!(first(OPTIONS, &options), cut, "nothing but options");
        assert_eq!(first(OPTIONS, &[6, 1, 1, 4, 0, 0, 0, 0]), cut, "half of the options");
        assert_eq!(first(OPTIONS, &[&options[..], &[0; 16]].concat()), cut);
        assert_eq!(first(OPTIONS, &[&options[..], &[0; 24]].concat()), SILENT);
    }

    #[test]
    fn errors_are_known_behind_any_headers() {
        let options = |next| [next, 0, 1, 4, 0, 0, 0, 0];
        let atomic = |next| [next, 0, 0, 1, 0, 0, 0, 9];
        for (kind, expected) in [(1, true), (4, true), (127, true), (137, true), (128, false), (135, false)] {
            let message = [kind, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(is_error(&frame(ICMPV6, &message)), expected, "{kind}");
            assert_eq!(is_error(&frame(OPTIONS, &[options(ICMPV6), message].concat())), expected, "{kind}");
            assert_eq!(is_error(&frame(FRAGMENT, &[atomic(OPTIONS), options(ICMPV6), message].concat())), expected);
        }
        assert!(!is_error(&frame(UDP, &[1; 8])));
        // without the first byte of the message
        for cut in 0..PLAIN + 9 {
            assert!(!is_error(&frame(OPTIONS, &[options(ICMPV6), [1; 8]].concat())[..cut]), "{cut}");
        }
    }

    #[test]
    fn there_is_a_bound_on_what_is_kept() {
        let mut extensions = Extensions::default();
        for n in 0..1000u32 {
            let mut fragment = piece(4096, true, &[1; 1024]);
            fragment[PLAIN + 4..PLAIN + 8].copy_from_slice(&n.to_be_bytes());
            assert_eq!(extensions.take(0, &fragment), SILENT);
        }
        assert_eq!(extensions.0.len(), DATAGRAMS);
    }
}
