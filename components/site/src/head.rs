//! Response heads: header lines, names in lower case.

use crate::{
    body::{Multipart, content_range},
    catalogue::{BOUNDARY, Catalogue},
    decide::ALLOWED,
    encoding::Encoding,
    preconditions::format_date,
    range::Span,
    settings::Settings,
};
use message::target;

/// Writes heads. Borrowed together, since nearly every head needs all of it.
pub struct Heads<'a> {
    pub catalogue: &'a Catalogue,
    pub settings: &'a Settings,
}

impl Heads<'_> {
    /// 200
    pub fn whole(&self, representation: u32, into: &mut Vec<u8>) {
        let size = self.catalogue.representation(representation).size;
        line(into, "content-length", &[size.to_string().as_bytes()]);
        self.unmeasured(representation, into);
    }

    /// 200 without a length
    pub fn unmeasured(&self, representation: u32, into: &mut Vec<u8>) {
        line(into, "content-type", &[self.media_type(representation).as_bytes()]);
        line(into, "accept-ranges", &[b"bytes"]);
        self.described(representation, into);
    }

    /// 206 with one part
    pub fn part(&self, representation: u32, span: Span, into: &mut Vec<u8>) {
        let it = self.catalogue.representation(representation);
        line(into, "content-type", &[self.media_type(representation).as_bytes()]);
        line(into, "content-length", &[span.len().to_string().as_bytes()]);
        line(into, "content-range", &[content_range(span, it.size).as_bytes()]);
        self.described(representation, into);
    }

    /// 206 with several parts
    pub fn parts(&self, representation: u32, parts: &Multipart, into: &mut Vec<u8>) {
        line(into, "content-type", &[b"multipart/byteranges; boundary=", &parts.boundary as &[u8; BOUNDARY]]);
        line(into, "content-length", &[parts.len().to_string().as_bytes()]);
        self.described(representation, into);
    }

    /// 304: what a cache may need to update its copy (RFC 9110, section 15.4.5)
    pub fn not_modified(&self, representation: u32, into: &mut Vec<u8>) {
        self.validators(representation, into);
        self.common(into);
    }

    /// 404 with the page that the site has for it
    pub fn not_found(&self, representation: u32, into: &mut Vec<u8>) {
        let it = self.catalogue.representation(representation);
        line(into, "content-type", &[self.media_type(representation).as_bytes()]);
        line(into, "content-length", &[it.size.to_string().as_bytes()]);
        line(into, "cache-control", &[b"no-cache"]);
        self.common(into);
    }

    /// 416
    pub fn unsatisfiable(&self, representation: u32, text: &str, into: &mut Vec<u8>) {
        let size = self.catalogue.representation(representation).size;
        line(into, "content-range", &[format!("bytes */{size}").as_bytes()]);
        self.text(text, into);
    }

    /// 301
    pub fn folder(&self, path: &str, query: &str, text: &str, into: &mut Vec<u8>) {
        into.extend_from_slice(b"location: /");
        target::encode_path(path, into);
        target::encode_query(query, into);
        into.extend_from_slice(b"\r\n");
        self.lasting_text(text, &self.settings.cache_control_other, into);
    }

    /// 204 for OPTIONS
    pub fn options(&self, into: &mut Vec<u8>) {
        line(into, "allow", &[ALLOWED.as_bytes()]);
        self.common(into);
    }

    /// 405
    pub fn not_allowed(&self, text: &str, into: &mut Vec<u8>) {
        line(into, "allow", &[ALLOWED.as_bytes()]);
        self.text(text, into);
    }

    /// A short answer in words that is not to be kept.
    pub fn text(&self, text: &str, into: &mut Vec<u8>) {
        self.lasting_text(text, "no-cache", into);
    }

    fn lasting_text(&self, text: &str, cache_control: &str, into: &mut Vec<u8>) {
        line(into, "content-type", &[b"text/plain; charset=utf-8"]);
        line(into, "content-length", &[text.len().to_string().as_bytes()]);
        line(into, "cache-control", &[cache_control.as_bytes()]);
        self.common(into);
    }

    fn media_type(&self, representation: u32) -> &str {
        self.catalogue.media_type(self.catalogue.representation(representation).resource, self.settings)
    }

    fn described(&self, representation: u32, into: &mut Vec<u8>) {
        let encoding = self.catalogue.representation(representation).encoding;
        if encoding != Encoding::Identity {
            line(into, "content-encoding", &[encoding.token().as_bytes()]);
        }
        self.validators(representation, into);
        self.common(into);
    }

    fn validators(&self, representation: u32, into: &mut Vec<u8>) {
        let it = self.catalogue.representation(representation);
        let resource = self.catalogue.resource(it.resource);
        line(into, "etag", &[&it.etag]);
        if let Some(date) = Some(it.modified).filter(|modified| *modified != 0).and_then(format_date) {
            line(into, "last-modified", &[date.as_bytes()]);
        }
        let html = self.media_type(representation).starts_with("text/html");
        line(into, "cache-control", &[self.settings.cache_control(&resource.path, html).as_bytes()]);
        if resource.varies() {
            line(into, "vary", &[b"accept-encoding"]);
        }
        self.settings.headers_of(&resource.path, into);
    }

    /// On every answer.
    fn common(&self, into: &mut Vec<u8>) {
        line(into, "x-content-type-options", &[b"nosniff"]);
        into.extend_from_slice(self.settings.headers.as_bytes());
    }
}

fn line(into: &mut Vec<u8>, name: &str, value: &[&[u8]]) {
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b": ");
    value.iter().for_each(|part| into.extend_from_slice(part));
    into.extend_from_slice(b"\r\n");
}
