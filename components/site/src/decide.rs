//! What to answer: from a request's head to a decision. Nothing is sent here, and no file is read.

use crate::{
    catalogue::Catalogue,
    encoding,
    fields::{Fields, Name},
    preconditions::{self, Outcome, Validators},
    range::{self, Span, Wanted},
    settings::Settings,
    target::Target,
};
use message::rules::canonical;
use std::borrow::Cow;
use wit::http::Head;

/// The methods of a file, as `allow` lists them.
pub const ALLOWED: &str = "GET, HEAD, OPTIONS";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// 200 with a whole representation
    Whole(u32),
    /// 200 for HEAD without a length: GET would have a part only (RFC 9110, section 8.6)
    Unmeasured(u32),
    /// 206 with parts of a representation
    Parts(u32, Vec<Span>),
    /// 304
    NotModified(u32),
    /// 412
    PreconditionFailed,
    /// 416
    Unsatisfiable(u32),
    /// 301 to the resource's folder, or to its clean URL, with the query of the request
    Folder { path: String, query: &'a str },
    /// 204, for OPTIONS
    Options,
    /// 400
    BadTarget,
    /// 404
    NotFound,
    /// 405
    NotAllowed,
    /// 501
    NotImplemented,
}

/// Decides on a request. For HEAD the decision is the one for GET, but for ranges, which only GET has (RFC 9110,
/// section 14.2).
#[inline]
pub fn decide<'a>(head: &Head<'a>, catalogue: &Catalogue, settings: &Settings) -> Decision<'a> {
    let get = head.method == "GET";
    if !get && head.method != "HEAD" {
        return other_method(head);
    }
    let resource = match find(head.target, catalogue, settings) {
        Ok(resource) => resource,
        Err(decision) => return decision,
    };
    let fields = Fields::scan(head.headers);
    if fields.none() {
        return Decision::Whole(catalogue.resource(resource).identity());
    }
    select(resource, &fields, get, catalogue)
}

#[cold]
#[inline(never)]
fn other_method<'a>(head: &Head<'a>) -> Decision<'a> {
    match head.method {
        "OPTIONS" if head.target == "*" || head.target.starts_with('/') => Decision::Options,
        "OPTIONS" => Decision::BadTarget,
        "POST" | "PUT" | "DELETE" | "PATCH" | "CONNECT" | "TRACE" => Decision::NotAllowed,
        _ => Decision::NotImplemented,
    }
}

#[inline]
fn find<'a>(target: &'a str, catalogue: &Catalogue, settings: &Settings) -> Result<u32, Decision<'a>> {
    let target = Target::parse(target).map_err(|_| Decision::BadTarget)?;
    let path = target.decoded().map_err(|_| Decision::BadTarget)?;
    if let Some(path) = path.as_deref()
        && let Some(resource) = catalogue.find(path)
    {
        return match settings.clean(path) {
            // one page has one URL: what is said of that, by rules before this box as well, is said of the page
            Some(clean) if catalogue.find(clean) == Some(resource) => {
                Err(Decision::Folder { path: clean.into(), query: target.query })
            }
            _ => Ok(resource),
        };
    }
    missing(target, path, catalogue, settings)
}

#[cold]
#[inline(never)]
fn missing<'a>(
    target: Target<'a>,
    path: Option<Cow<'a, str>>,
    catalogue: &Catalogue,
    settings: &Settings,
) -> Result<u32, Decision<'a>> {
    if let Some(path) = path {
        let folder = path.into_owned() + "/";
        if catalogue.find(&folder).is_some() {
            return Err(Decision::Folder { path: folder, query: target.query });
        }
    }
    let path = format!("/{}", target.path);
    let fallback = settings.fallback(&canonical(&path)[1..]).and_then(|file| catalogue.find(file));
    fallback.ok_or(Decision::NotFound)
}

/// The representation that a client wants of a resource that exists, and how much of it.
#[inline(never)]
fn select<'a>(resource: u32, fields: &Fields<'_>, get: bool, catalogue: &Catalogue) -> Decision<'a> {
    let resource = catalogue.resource(resource);
    let mut chosen = resource.identity();
    if resource.varies() {
        let encoding = encoding::negotiate(fields, |encoding| resource.variant(encoding).is_some());
        chosen = resource.variant(encoding).unwrap_or(chosen);
    }
    let representation = catalogue.representation(chosen);
    let current = Validators { etag: &representation.etag, modified: representation.modified };
    match preconditions::evaluate(fields, &current) {
        Outcome::Failed => return Decision::PreconditionFailed,
        Outcome::NotModified => return Decision::NotModified(chosen),
        Outcome::Proceed => {}
    }
    if !fields.has(Name::Range) || !preconditions::range_applies(fields, &current) {
        return Decision::Whole(chosen);
    }
    match range::wanted(fields, representation.size) {
        Wanted::Whole => Decision::Whole(chosen),
        _ if !get => Decision::Unmeasured(chosen),
        Wanted::Spans(spans) => Decision::Parts(chosen, spans),
        Wanted::Unsatisfiable => Decision::Unsatisfiable(chosen),
    }
}
