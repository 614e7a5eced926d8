//! Header and trailer fields, within limits.

use crate::boxes::{Budget, Charge};
use alloc::{format, sync::Arc, vec::Vec};
use core::net::{IpAddr, Ipv6Addr};
use message::fields::{content_length, first, is_forwarding, is_settable, is_token, is_value, may_trail, push, valid};
use smallvec::SmallVec;

/// The most that one `fields` may hold: bytes of names and values, and [`ENTRY`] more for each.
pub const MAX_FIELDS: usize = 128 << 10;

/// What an entry costs beside its bytes.
const ENTRY: usize = 64;

/// Copies share what they hold until one of them changes.
#[derive(Debug, Clone)]
pub struct Fields {
    data: Arc<Data>,
    pub immutable: bool,
}

/// The lines `name: value\r\n`, as channels carry them. No name has a colon in it, and no value a line's end.
#[derive(Debug)]
struct Data {
    lines: Vec<u8>,
    entries: usize,
    /// covers what `lines` can hold, and a list of the entries for the box
    charge: Charge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldsError {
    Syntax,
    Forbidden,
    Immutable,
    /// More than [`MAX_FIELDS`], or than the box's memory limit leaves.
    TooLarge,
}

impl Fields {
    pub fn new(budget: &Arc<Budget>) -> Self {
        let data = Data { lines: Vec::new(), entries: 0, charge: Charge::none(budget) };
        Fields { data: Arc::new(data), immutable: false }
    }

    /// From lines `name: value\r\n`, as channels carry them. What comes of it cannot be changed.
    pub fn from_lines(budget: &Arc<Budget>, lines: &[u8]) -> Result<Self, FieldsError> {
        Self::of_those(budget, lines, |_| true)
    }

    /// From the lines of a request that came from the address, under the scheme. What they say of that themselves, which any
    /// client can write, gives way to what is known (RFC 7239, section 4). Requests of other boxes come from no address.
    pub fn of_request(budget: &Arc<Budget>, lines: &[u8], remote: Ipv6Addr, scheme: &str) -> Result<Self, FieldsError> {
        if remote.is_unspecified() {
            return Self::from_lines(budget, lines);
        }
        let mut fields = Self::of_those(budget, lines, |name| !is_forwarding(name))?;
        let remote = IpAddr::V6(remote).to_canonical();
        let node = node(remote);
        let address = if remote.is_ipv6() { &node[2..node.len() - 2] } else { &node[..] };
        let data = fields.change()?;
        data.push("forwarded", &[b"for=", &node[..], b";proto=", scheme.as_bytes()].concat())?;
        data.push("x-forwarded-for", address)?;
        data.push("x-forwarded-proto", scheme.as_bytes())?;
        Ok(fields)
    }

    /// From the lines of a trailer section, of which those are left out that may not be there.
    pub fn from_trailers(budget: &Arc<Budget>, lines: &[u8]) -> Result<Self, FieldsError> {
        Self::of_those(budget, lines, may_trail)
    }

    fn of_those(budget: &Arc<Budget>, lines: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Self, FieldsError> {
        let mut fields = Fields::new(budget);
        let data = Arc::get_mut(&mut fields.data).ok_or(FieldsError::Syntax)?;
        data.make_room(lines.len(), 0)?;
        for line in valid(lines) {
            let (name, value) = line.map_err(|_| FieldsError::Syntax)?;
            if wanted(name) {
                data.push(name, value)?;
            }
        }
        fields.immutable = true;
        Ok(fields)
    }

    /// As channels carry them.
    pub fn lines(&self) -> &[u8] {
        &self.data.lines
    }

    /// The entries of that name, whatever the case of its letters.
    pub fn get<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.entries().filter(move |entry| entry.0.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = self.lines();
        core::iter::from_fn(move || {
            let (name, value, after) = first(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    pub fn set<V: AsRef<[u8]>>(&mut self, name: &str, values: &[V]) -> Result<(), FieldsError> {
        self.may_change(name, values)?;
        let data = self.change()?;
        data.remove(name);
        values.iter().try_for_each(|value| data.push(name, value.as_ref()))
    }

    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), FieldsError> {
        self.may_change(name, core::slice::from_ref(&value))?;
        self.change()?.push(name, value)
    }

    pub fn delete(&mut self, name: &str) -> Result<(), FieldsError> {
        self.may_change::<&[u8]>(name, &[])?;
        self.change()?.remove(name);
        Ok(())
    }

    /// A copy that can be changed.
    pub fn changeable(&self) -> Self {
        Fields { data: self.data.clone(), immutable: false }
    }

    /// A copy that cannot.
    pub fn frozen(&self) -> Self {
        Fields { data: self.data.clone(), immutable: true }
    }

    /// What `content-length` says (RFC 9110, section 8.6). An error if it says no number, or two different ones.
    pub fn content_length(&self) -> Result<Option<u64>, FieldsError> {
        let mut length = None;
        for value in self.get("content-length") {
            let value = content_length(value).ok_or(FieldsError::Syntax)?;
            if length.replace(value).is_some_and(|before| before != value) {
                return Err(FieldsError::Syntax);
            }
        }
        Ok(length)
    }

    fn may_change<V: AsRef<[u8]>>(&self, name: &str, values: &[V]) -> Result<(), FieldsError> {
        if self.immutable {
            return Err(FieldsError::Immutable);
        }
        if !is_token(name) || !values.iter().all(|value| is_value(value.as_ref())) {
            return Err(FieldsError::Syntax);
        }
        if is_settable(name) { Ok(()) } else { Err(FieldsError::Forbidden) }
    }

    /// What is held, for nobody else.
    fn change(&mut self) -> Result<&mut Data, FieldsError> {
        if Arc::get_mut(&mut self.data).is_none() {
            let mut copy = Data { lines: Vec::new(), entries: 0, charge: Charge::none(self.data.charge.budget()) };
            copy.make_room(self.data.lines.len(), self.data.entries)?;
            copy.lines.extend_from_slice(&self.data.lines);
            copy.entries = self.data.entries;
            self.data = Arc::new(copy);
        }
        Arc::get_mut(&mut self.data).ok_or(FieldsError::TooLarge)
    }
}

/// `: ` and the line's end.
const BETWEEN: usize = 4;

/// An address as a node identifier (RFC 7239, section 6).
fn node(address: IpAddr) -> SmallVec<[u8; 64]> {
    let mut text = SmallVec::new();
    match address {
        // by hand, as each request has one
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    text.push(b'.');
                }
                let digits = [octet / 100, octet / 10 % 10, octet % 10];
                let leading = digits[..2].iter().take_while(|digit| **digit == 0).count();
                text.extend(digits[leading..].iter().map(|digit| b'0' + digit));
            }
        }
        IpAddr::V6(address) => text.extend_from_slice(format!("\"[{address}]\"").as_bytes()),
    }
    text
}

impl Data {
    fn push(&mut self, name: &str, value: &[u8]) -> Result<(), FieldsError> {
        let more = name.len().saturating_add(value.len()).saturating_add(BETWEEN);
        self.make_room(self.lines.len().saturating_add(more), self.entries + 1)?;
        push(&mut self.lines, name, value);
        self.entries += 1;
        Ok(())
    }

    /// Room for so many bytes of lines, of so many entries, paid for.
    fn make_room(&mut self, length: usize, entries: usize) -> Result<(), FieldsError> {
        let weight = length.saturating_add(entries * (ENTRY - BETWEEN));
        if weight > MAX_FIELDS || !self.charge.cover(weight) {
            return Err(FieldsError::TooLarge);
        }
        let capacity = self.lines.capacity();
        if length > capacity {
            // some more than is needed, if that can be paid
            let ample = length.max(capacity + capacity / 2);
            let room = if self.charge.cover(ample) { ample } else { length };
            let reserved = self.lines.try_reserve_exact(room - self.lines.len());
            reserved.map_err(|_| FieldsError::TooLarge)?;
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        let (mut at, mut kept) = (0, 0);
        while let Some((known, _, after)) = first(&self.lines[at..]) {
            let end = self.lines.len() - after.len();
            if known.eq_ignore_ascii_case(name) {
                self.entries -= 1;
            } else {
                self.lines.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        self.lines.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    fn budget() -> Arc<Budget> {
        Budget::new(1 << 20)
    }

    #[test]
    fn lines_come_back_as_written() {
        let lines = b"Accept: */*\r\nx-a:  b c\r\nX-A: \r\n";
        let fields = Fields::from_lines(&budget(), lines).unwrap();
        assert_eq!(fields.get("x-a").collect::<Vec<_>>(), [&b"b c"[..], b""]);
        assert_eq!(fields.lines(), b"Accept: */*\r\nx-a: b c\r\nX-A: \r\n");
        assert_eq!(fields.clone().append("a", b"b"), Err(FieldsError::Immutable));
        for bad in [&b"a"[..], b"a: b", b": b\r\n", b"a b: c\r\n", b"a: \x01\r\n", b"\xff: a\r\n"] {
            assert!(Fields::from_lines(&budget(), bad).is_err(), "{bad:?}");
        }
    }

    /// W3
    #[test]
    fn a_client_cannot_forge_where_it_is() {
        let lines = b"X-Forwarded-For: 9.9.9.9\r\na: b\r\nForwarded: for=9.9.9.9\r\nX-Forwarded-Proto: https\r\n\
            x-forwarded-Host: evil\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 9.9.9.9\r\nX-Forward: 1\r\n";
        let of = |address: &str| Fields::of_request(&budget(), lines, address.parse().unwrap(), "http").unwrap();
        let own = |node: &str, address: &str| {
            format!(
                "a: b\r\nX-Forward: 1\r\nforwarded: for={node};proto=http\r\nx-forwarded-for: {address}\r\n\
                 x-forwarded-proto: http\r\n"
            )
        };
        assert_eq!(of("::ffff:1.2.3.4").lines(), own("1.2.3.4", "1.2.3.4").as_bytes());
        assert_eq!(of("2001:db8::1").lines(), own("\"[2001:db8::1]\"", "2001:db8::1").as_bytes());
        assert_eq!(of("::").lines(), lines, "a box's own request");
    }

    #[test]
    fn changes_are_the_copys_own() {
        let budget = budget();
        let mut one = Fields::new(&budget);
        one.append("A", b"1").unwrap();
        let mut other = one.changeable();
        other.set("a", &[b"2".to_vec(), b"3".to_vec()]).unwrap();
        one.append("b", b"").unwrap();
        assert_eq!((one.lines(), other.lines()), (&b"A: 1\r\nb: \r\n"[..], &b"a: 2\r\na: 3\r\n"[..]));
        other.delete("A").unwrap();
        assert_eq!(other.entries().count(), 0);
        drop((one, other));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_no_box_may_set() {
        let mut fields = Fields::new(&budget());
        assert_eq!(fields.append("Connection", b"close"), Err(FieldsError::Forbidden));
        assert_eq!(fields.append("a\r\nb", b"x"), Err(FieldsError::Syntax));
        assert_eq!(fields.append("a", b"x\r\nb: c"), Err(FieldsError::Syntax));
        assert_eq!(fields.set::<&[u8]>("", &[]), Err(FieldsError::Syntax));
        assert_eq!(fields.delete("host"), Err(FieldsError::Forbidden));
    }

    #[test]
    fn sizes_are_limited_and_charged() {
        let mut fields = Fields::new(&budget());
        assert_eq!(fields.append("a", &vec![b'x'; MAX_FIELDS]), Err(FieldsError::TooLarge));
        let many = (0..).take_while(|_| fields.append("a", b"").is_ok()).count();
        assert_eq!(many, MAX_FIELDS / (ENTRY + 1));
        let small = Budget::new(1_000);
        let mut fields = Fields::new(&small);
        assert_eq!(fields.append("a", &[b'x'; 1_000]), Err(FieldsError::TooLarge));
        fields.append("a", &[b'x'; 600]).unwrap();
        assert_eq!(fields.changeable().append("b", b""), Err(FieldsError::TooLarge));
        drop(fields);
        assert_eq!(small.used(), 0);
    }

    #[test]
    fn content_lengths() {
        let length = |values: &[&str]| {
            let mut fields = Fields::new(&budget());
            values.iter().for_each(|value| fields.append("Content-Length", value.as_bytes()).unwrap());
            fields.content_length()
        };
        assert_eq!((length(&[]), length(&["7"]), length(&["7", "7"])), (Ok(None), Ok(Some(7)), Ok(Some(7))));
        for bad in [&["7", "8"][..], &["+7"], &[""], &["7, 7"], &["99999999999999999999"]] {
            assert_eq!(length(bad), Err(FieldsError::Syntax), "{bad:?}");
        }
    }
}
