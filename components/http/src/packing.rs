//! Compression of what handlers give: for which answers it is, and how (gzip, RFC 1952).
//!
//! Other codings are left to handlers, whose own are passed on: an encoder for brotli is larger than the whole box, and one in Rust for zstd
//! that has been in use for long was not to be found. Every client that takes one of them takes gzip.

use crate::config::Compress;
use core::fmt;
use message::coding::Coding;
use message::fields::{elements, first, lists, push};
use message::request::Says;
use message::status::{has_body, is_final};
use std::{cell::Cell, rc::Rc};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

/// How the body of a response may be sent to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Offer {
    /// as it is
    #[default]
    None,
    /// as it is; another client may get it packed, and caches are told so
    Plain,
    /// packed
    Packed,
}

impl Offer {
    /// What may be done for a request. `is_11`: of HTTP/1.1 or later. `has_secret`: who asks is known by what comes with it.
    pub fn of(setting: Compress, says: &Says<'_>, is_11: bool, has_secret: bool) -> Self {
        let may = match setting {
            Compress::None => return Offer::None,
            Compress::Public => !has_secret,
            Compress::All => true,
        };
        // The end of a packed body is known only when it has come, and clients of HTTP/1.0 know of no chunks.
        let takes = is_11 && !says.no_transform && says.accepts.prefers(Coding::Gzip);
        if may && takes { Offer::Packed } else { Offer::Plain }
    }
}

/// Bodies that are shorter are sent as they are: they fit in a packet.
const LEAST: u64 = 1 << 10;

/// What becomes of the header lines of a response.
pub struct Plan {
    pub lines: Vec<u8>,
    /// The body is to be packed.
    pub packs: bool,
    /// how long the handler says that it is
    pub length: Option<u64>,
}

/// `None`: the response is to be sent as it is. Only of some of its lines it is checked whether they are valid.
pub fn plan(status: u16, to_head: bool, lines: &[u8], offer: Offer) -> Option<Plan> {
    // A part of a representation is a part of it as it is (RFC 9110, section 15.3.7).
    if offer == Offer::None || !is_final(status) || matches!(status, 204..=206 | 304) {
        return None;
    }
    // Most responses are none to pack: that is found out before anything is written.
    let (mut is_text, mut length, mut rest) = (false, None, lines);
    while let Some((name, value, after)) = first(rest) {
        rest = after;
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            12 if is("content-type") && !is_worth_it(value) => return None,
            12 if is("content-type") => is_text = true,
            16 if is("content-encoding") => return None,
            13 if is("content-range") => return None,
            13 if is("cache-control") && lists(value, "no-transform") => return None,
            // Whoever says so has chosen already.
            4 if is("vary") && (lists(value, "accept-encoding") || lists(value, "*")) => return None,
            14 if is("content-length") => {
                length = message::fields::content_length(value);
                if length.is_none_or(|length| length < LEAST) {
                    return None;
                }
            }
            _ => {}
        }
    }
    // lines that are none are not for this to judge
    if !is_text || !rest.is_empty() {
        return None;
    }
    let packs = offer == Offer::Packed && has_body(status, to_head);
    let mut out = Vec::with_capacity(lines.len() + 64);
    let mut rest = lines;
    while let Some((name, value, after)) = first(rest) {
        let line = &rest[..rest.len() - after.len()];
        rest = after;
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            14 if packs && is("content-length") => continue,
            // It is another representation, of which parts cannot be asked for, and whose bytes differ each time
            // (RFC 9110, section 8.8.3).
            4 if packs && is("etag") && value.starts_with(b"\"") => {
                push(&mut out, name, &[b"W/", value].concat());
                continue;
            }
            13 if packs && is("accept-ranges") => continue,
            6 if packs && is("digest") => continue,
            11 if packs && (is("content-md5") || is("repr-digest")) => continue,
            14 if packs && is("content-digest") => continue,
            _ => {}
        }
        out.extend_from_slice(line);
    }
    if packs {
        out.extend_from_slice(b"content-encoding: gzip\r\n");
    }
    out.extend_from_slice(b"vary: accept-encoding\r\n");
    Some(Plan { lines: out, packs, length })
}

/// Whether a body of a media type gets much smaller: text, in whatever form.
fn is_worth_it(media_type: &[u8]) -> bool {
    const APPLICATIONS: [&str; 12] = [
        "javascript",
        "json",
        "ld+json",
        "ndjson",
        "rtf",
        "sql",
        "wasm",
        "x-javascript",
        "x-ndjson",
        "xml",
        "x-yaml",
        "yaml",
    ];
    let bare = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let Some(Ok(text)) = elements(bare).next().map(core::str::from_utf8) else { return false };
    let Some((kind, sub)) = text.split_once('/') else { return false };
    let ends = |suffix: &str| {
        sub.len() > suffix.len()
            && sub.is_char_boundary(sub.len() - suffix.len())
            && sub[sub.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
    };
    if ["+json", "+xml", "+yaml"].into_iter().any(ends) {
        return true;
    }
    let is_kind = |known: &str| kind.eq_ignore_ascii_case(known);
    is_kind("text")
        || (is_kind("application") && APPLICATIONS.iter().any(|known| sub.eq_ignore_ascii_case(known)))
        || (is_kind("font") && ["ttf", "otf"].iter().any(|known| sub.eq_ignore_ascii_case(known)))
}

/// What is looked back on for repetitions: 16 KiB. Half of what the format can do takes a quarter less memory.
const WINDOW_BITS: i32 = 14;
/// ... and is put together before codes are made for it: 4,096 letters or repetitions
const MEMORY_LEVEL: i32 = 6;
/// 16 more say: as gzip.
const GZIP: i32 = 16;
const LEVEL: i32 = 3;

/// The memory that one body takes while it is packed. A test measures it.
pub const BYTES: usize = 240 << 10;

/// The packers that there may be at once.
#[derive(Debug)]
pub struct Packers {
    most: usize,
    /// as many as there are, those in use and the spare one
    count: Rc<Cell<usize>>,
    /// Most bodies come whole, so that one after the other can have the same.
    spare: Option<Machine>,
}

/// Packs one body.
#[derive(Debug)]
pub struct Packer {
    machine: Machine,
    /// bytes that the handler has still to give, if it has said how many
    pub left: Option<u64>,
    /// Some of what came may not have been written.
    pub is_behind: bool,
}

struct Machine {
    deflate: Deflate,
    count: Rc<Cell<usize>>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in, {} out", self.deflate.total_in(), self.deflate.total_out())
    }
}

impl Packers {
    /// As many as have room in so many bytes.
    pub fn new(bytes: usize) -> Self {
        Packers { most: bytes / BYTES, count: Rc::default(), spare: None }
    }

    /// Bytes of memory that they have.
    pub fn bytes(&self) -> usize {
        self.count.get() * BYTES
    }

    /// ... and of that the spare one.
    pub fn spare_bytes(&self) -> usize {
        if self.spare.is_some() { BYTES } else { 0 }
    }

    /// Does without a spare one. How much memory that frees.
    pub fn drop_spare(&mut self) -> usize {
        let bytes = self.spare_bytes();
        self.spare = None;
        bytes
    }

    /// Whether there is one for another body.
    pub fn has_room(&self) -> bool {
        self.spare.is_some() || self.count.get() < self.most
    }

    /// One for a body of `length`, if that is known.
    pub fn take(&mut self, length: Option<u64>) -> Box<Packer> {
        let machine = self.spare.take().unwrap_or_else(|| {
            self.count.set(self.count.get() + 1);
            let config = DeflateConfig {
                level: LEVEL,
                window_bits: GZIP + WINDOW_BITS,
                mem_level: MEMORY_LEVEL,
                ..DeflateConfig::default()
            };
            Machine { deflate: Deflate::new_with_config(config), count: Rc::clone(&self.count) }
        });
        Box::new(Packer { machine, left: length, is_behind: false })
    }

    /// One whose body is at its end.
    pub fn give_back(&mut self, packer: Packer) {
        let mut machine = packer.machine;
        machine.deflate.reset();
        self.spare = Some(machine);
    }
}

/// What is written at once.
const PORTION: usize = 4 << 10;

impl Packer {
    /// Packs some of the body. What is written so far may say less.
    pub fn add(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.write(data, DeflateFlush::NoFlush, out);
    }

    /// Writes all that is needed to read what has come.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.write(&[], DeflateFlush::SyncFlush, out);
    }

    /// Writes the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.write(&[], DeflateFlush::Finish, out);
    }

    fn write(&mut self, mut data: &[u8], flush: DeflateFlush, out: &mut Vec<u8>) {
        let deflate = &mut self.machine.deflate;
        loop {
            let (start, before) = (out.len(), (deflate.total_in(), deflate.total_out()));
            out.resize(start + PORTION, 0);
            let status = deflate.compress(data, &mut out[start..], flush);
            let [used, written] = [deflate.total_in() - before.0, deflate.total_out() - before.1].map(|it| it as usize);
            out.truncate(start + written);
            data = &data[used..];
            // An error says that there was nothing left to do.
            if status != Ok(Status::Ok) || (data.is_empty() && written < PORTION) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // what is there of it, if it has no end yet
        let _ = flate2::read::GzDecoder::new(bytes).read_to_end(&mut out);
        out
    }

    #[test]
    fn what_is_packed_can_be_unpacked() {
        let text: Vec<u8> =
            (0..200_000_u32).flat_map(|number| format!("{} ", number.wrapping_mul(number)).into_bytes()).collect();
        let noise: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut packers = Packers::new(BYTES);
        for body in [&text[..300_000], &noise, b"a", b"", &text[..PORTION]] {
            for step in [1, 7_000, 65_536] {
                let mut packer = packers.take(None);
                assert!(!packers.has_room());
                let mut out = Vec::new();
                for part in body.chunks(if body.len() > 100_000 { step.max(1_000) } else { step }) {
                    packer.add(part, &mut out);
                }
                packer.finish(&mut out);
                assert!(unpacked(&out) == body, "{} bytes by {step}", body.len());
                assert!(out.len() < body.len() + body.len() / 500 + 40, "{} of {}", out.len(), body.len());
                packers.give_back(*packer);
            }
        }
        drop(packers.take(None));
        assert_eq!(packers.bytes(), 0);
    }

    #[test]
    fn after_a_flush_all_is_there() {
        let mut packers = Packers::new(BYTES);
        let mut packer = packers.take(None);
        let mut out = Vec::new();
        for number in 0..5_000 {
            packer.add(format!("event {number}\n").as_bytes(), &mut out);
            packer.flush(&mut out);
            packer.flush(&mut out);
            if number % 1_000 == 7 {
                assert!(unpacked(&out).ends_with(format!("event {number}\n").as_bytes()));
            }
        }
    }

    fn planned(status: u16, lines: &str, offer: Offer) -> Option<(String, bool)> {
        let plan = plan(status, false, lines.as_bytes(), offer)?;
        Some((String::from_utf8(plan.lines).unwrap(), plan.packs))
    }

    #[test]
    fn lines_of_what_is_packed() {
        let lines = "Content-Type: text/html; charset=utf-8\r\ncontent-length: 1024\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\nx: y\r\n";
        let packed = "Content-Type: text/html; charset=utf-8\r\nETag: W/\"a\"\r\nx: y\r\ncontent-encoding: gzip\r\nvary: accept-encoding\r\n";
        assert_eq!(planned(200, lines, Offer::Packed), Some((packed.into(), true)));
        let plain = format!("{lines}vary: accept-encoding\r\n");
        assert_eq!(planned(200, lines, Offer::Plain), Some((plain.clone(), false)));
        assert_eq!(planned(200, lines, Offer::None), None);
        let to_head = plan(200, true, lines.as_bytes(), Offer::Packed).unwrap();
        assert_eq!((to_head.lines, to_head.packs), (plain.into_bytes(), false));
        let weak = "content-type: application/problem+json\r\netag: W/\"a\"\r\nVary: Cookie\r\n";
        let packed = format!("{weak}content-encoding: gzip\r\nvary: accept-encoding\r\n");
        assert_eq!(planned(404, weak, Offer::Packed), Some((packed, true)));
    }

    #[test]
    fn what_is_not_packed() {
        let text = "content-type: text/plain\r\n";
        for (status, lines) in [
            (206, text.to_owned()),
            (204, text.to_owned()),
            (304, text.to_owned()),
            (103, text.to_owned()),
            (101, text.to_owned()),
            (200, String::new()),
            (200, "content-type: image/png\r\n".into()),
            (200, "content-type: application/zip\r\n".into()),
            (200, "content-type: text\r\n".into()),
            (200, "content-type: \u{e9}+xml\r\n".into()),
            (200, format!("{text}content-encoding: br\r\n")),
            (200, format!("{text}cache-control: public, No-Transform\r\n")),
            (200, format!("{text}vary: a, Accept-Encoding\r\n")),
            (200, format!("{text}Vary: *\r\n")),
            (200, format!("{text}content-length: 1023\r\n")),
            (200, format!("{text}content-length: x\r\n")),
            (200, format!("{text}content-range: bytes */5\r\n")),
            (200, format!("{text}no line")),
            (200, format!("{text}\r\n{text}")),
        ] {
            assert_eq!(planned(status, &lines, Offer::Packed), None, "{status} {lines:?}");
        }
        for kind in ["TEXT/css", "image/svg+xml", "application/json", "text/event-stream", "font/ttf;x", "a/b+json"] {
            assert!(planned(200, &format!("content-type: {kind}\r\n"), Offer::Packed).is_some(), "{kind}");
        }
    }
}
