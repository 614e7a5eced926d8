//! What is asked, and what is answered.

use crate::time::read_time;
use serde::Deserialize;
use std::fmt;
use std::time::UNIX_EPOCH;

/// The most bytes of an answer.
pub const MOST: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    /// with `content-type: application/jose+json`
    Post,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// `https://`
    pub url: String,
    pub body: String,
}

/// An answer, as far as it is of use.
#[derive(Debug, Clone, Default)]
pub struct Response {
    pub status: u16,
    /// `replay-nonce`
    pub nonce: Option<String>,
    pub location: Option<String>,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
}

impl Response {
    /// For how many seconds the authority wants to be left alone (RFC 9110, section 10.2.3). `now`: seconds since 1970.
    pub(crate) fn wait(&self, now: u64) -> Option<u64> {
        let text = self.retry_after.as_deref()?.trim();
        let date = || httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok();
        text.parse().ok().or_else(|| date().map(|date| date.as_secs().saturating_sub(now)))
    }
}

/// Section 7.1.1
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    pub new_nonce: String,
    pub new_account: String,
    pub new_order: String,
    /// RFC 9773, section 4
    pub renewal_info: Option<String>,
    #[serde(default)]
    pub meta: Meta,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    pub terms_of_service: Option<String>,
    #[serde(default)]
    pub external_account_required: bool,
}

/// RFC 9773, section 4.2
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenewalInfo {
    pub suggested_window: Window,
    #[serde(rename = "explanationURL")]
    pub explanation_url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Window {
    start: String,
    end: String,
}

impl Window {
    /// From when until when, in seconds since 1970.
    pub fn times(&self) -> Option<(u64, u64)> {
        let (start, end) = (read_time(&self.start)?, read_time(&self.end)?);
        (start < end).then_some((start, end))
    }
}

/// Section 7.1.3
#[derive(Debug, Deserialize)]
pub struct Order {
    pub status: Status,
    #[serde(default)]
    pub authorizations: Vec<String>,
    pub finalize: String,
    pub certificate: Option<String>,
    pub error: Option<Problem>,
}

impl Order {
    /// That an order is for no more than what was asked for, and its URLs are some.
    pub fn check(&self, names: usize, url: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
        if self.authorizations.len() > names {
            return Err("the authority wants more authorizations than there are names".into());
        }
        self.authorizations.iter().chain([&self.finalize]).try_for_each(|one| url(one))
    }
}

/// Section 7.1.4
#[derive(Debug, Deserialize)]
pub struct Authorization {
    pub status: Status,
    pub identifier: Identifier,
    #[serde(default)]
    pub challenges: Vec<Challenge>,
}

#[derive(Debug, Deserialize)]
pub struct Identifier {
    pub value: String,
}

/// Section 8
#[derive(Debug, Deserialize)]
pub struct Challenge {
    #[serde(rename = "type")]
    pub kind: String,
    pub url: String,
    #[serde(default)]
    pub token: String,
    pub status: Option<Status>,
    pub error: Option<Problem>,
}

/// Section 7.1.6
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
    #[serde(other)]
    Other,
}

/// Section 6.7
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Problem {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub detail: String,
    /// that of the answer; 0 where it is part of one
    #[serde(skip)]
    pub status: u16,
}

impl Problem {
    /// Whether it is one of the authority's own, or of its moment, and none of what was asked.
    pub fn is_passing(&self) -> bool {
        let kinds = ["rateLimited", "serverInternal", "badNonce"];
        self.status >= 500 || self.status == 429 || kinds.iter().any(|kind| self.is(kind))
    }

    /// Whether it is this error of the RFC's.
    pub fn is(&self, name: &str) -> bool {
        self.kind.strip_prefix("urn:ietf:params:acme:error:") == Some(name)
    }
}

impl fmt::Display for Problem {
    /// No longer than a line of the log has room for, whatever the authority says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| text[..text.floor_char_boundary(300)].replace(|c: char| c.is_control(), " ");
        write!(f, "{} ({})", short(&self.detail), short(&self.kind))
    }
}
