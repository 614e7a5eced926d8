//! What the box's rules say. Which requests they are for, says [`message::rules`].

use crate::config::Compress;
use crate::password::PasswordHash;
use message::{
    fields::{is_settable, is_token},
    rules::{Pattern, canonical},
    settings::{Network, duration, field_value, number},
    target::host_of,
};
use std::collections::BTreeMap;
use wit::http::Scheme;

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Says {
    /// which requests the rule is for
    pub scheme: Option<Scheme>,
    pub redirect: Option<Pattern>,
    pub status: Option<u16>,
    pub allow: Vec<Network>,
    pub users: BTreeMap<String, PasswordHash>,
    pub realm: Option<String>,
    pub rate: Option<Rate>,
    pub burst: Option<u32>,
    pub compress: Option<Compress>,
    /// by name, in lower case
    pub headers: BTreeMap<String, String>,
}

/// A request each so many nanoseconds, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub interval: u64,
    pub burst: u32,
}

impl Rate {
    /// What may be taken beyond now, in nanoseconds, before a request is one too many.
    pub fn at_once(self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst.saturating_sub(1)))
    }
}

impl Says {
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name.split_once('.').unwrap_or((name, "")) {
            ("scheme", "") => {
                self.scheme = match value {
                    "http" => Some(Scheme::Http),
                    "https" => Some(Scheme::Https),
                    _ => return Err("http or https is meant".into()),
                }
            }
            ("redirect", "") => self.redirect = Some(redirect(value)?),
            ("status", "") => {
                let status = value.parse().ok().filter(|status| matches!(status, 301..=303 | 307 | 308));
                self.status = Some(status.ok_or("301, 302, 303, 307 or 308 is meant")?);
            }
            ("allow", _) => self.allow.push(Network::read(value)?),
            ("users", name)
                if name.is_empty() || name.contains([':', '"', '\\']) || name.contains(char::is_control) =>
            {
                return Err("users are names with hashed passwords, and a name has no colon".into());
            }
            ("users", name) => drop(self.users.insert(name.into(), PasswordHash::read(value)?)),
            ("realm", "") if value.contains(['"', '\\']) => return Err("a realm has no quotes".into()),
            ("realm", "") => self.realm = Some(field_value(value)?),
            ("rate", "") => self.rate = Some(rate(value)?),
            ("burst", "") => self.burst = Some(number(value, 1, 1 << 20)? as u32),
            ("compress", "") => self.compress = Some(Compress::read(value)?),
            ("headers", name) => {
                let name = header_name(name)?;
                self.headers.insert(name, field_value(value)?);
            }
            _ => {
                return Err(
                    "a rule has of `path`, `host` and `scheme` some, and of redirect, status, allow, users, realm, rate, \
                     burst, compress and headers some"
                        .into(),
                );
            }
        }
        Ok(())
    }

    /// What a rule and one behind it have both, so that it never counts of the latter where it fits too.
    pub fn shared(&self, later: &Says) -> Option<String> {
        if self.scheme.is_some() && self.scheme != later.scheme {
            return None;
        }
        let both = [
            ("redirect", self.redirect.is_some() && later.redirect.is_some()),
            ("allow", !self.allow.is_empty() && !later.allow.is_empty()),
            ("users", !self.users.is_empty() && !later.users.is_empty()),
            ("rate", self.rate.is_some() && later.rate.is_some()),
            ("compress", self.compress.is_some() && later.compress.is_some()),
        ];
        let header = || later.headers.keys().find(|name| self.headers.contains_key(*name));
        let found = both.into_iter().find_map(|(name, has)| has.then(|| name.into()));
        found.or_else(|| Some(format!("headers.{}", header()?)))
    }

    /// What is wrong with a rule as a whole: of which setting, and why.
    pub fn check(&self, host: Option<&Pattern>, path: Option<&Pattern>) -> Result<(), (&'static str, &'static str)> {
        if let Some(to) = &self.redirect {
            if to.has_star() && path.is_some_and(|path| !path.has_star()) {
                return Err((".redirect", "it has a *, and the path has none"));
            }
            if self.leads_to_itself(&to.filled("x"), host, path) {
                return Err((".redirect", "it leads to itself: what it leads to fits this rule too"));
            }
        }
        match self {
            Says { redirect: None, status: Some(_), .. } => Err((".status", "there is no redirect")),
            Says { rate: None, burst: Some(_), .. } => Err((".burst", "there is no rate")),
            Says { realm: Some(_), users, .. } if users.is_empty() => Err((".realm", "there are no users")),
            Says { redirect: None, rate: None, compress: None, users, allow, headers, .. }
                if users.is_empty() && allow.is_empty() && headers.is_empty() =>
            {
                Err(("", "the rule says nothing"))
            }
            _ => Ok(()),
        }
    }

    /// Whether what the rule redirects to, a path or a URL, fits the rule. A host that is not the rule's for sure is another
    /// server's.
    fn leads_to_itself(&self, url: &str, host: Option<&Pattern>, path: Option<&Pattern>) -> bool {
        let url = &url[..url.find(['?', '#']).unwrap_or(url.len())];
        let (of_url, to) = match url.split_once("://") {
            None => (None, url),
            Some((scheme, rest)) => {
                let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
                let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
                let name = host_of(authority).trim_end_matches('.').to_ascii_lowercase();
                (Some((scheme, name)), &rest[authority.len()..])
            }
        };
        let fits_origin = of_url.is_none_or(|(scheme, name)| {
            self.scheme.is_none_or(|own| own == scheme) && host.is_some_and(|host| host.fits(&name).is_some())
        });
        fits_origin && path.is_none_or(|path| path.fits(&canonical(to)).is_some())
    }

    pub fn rate(&self) -> Option<Rate> {
        self.rate.map(|rate| Rate { burst: self.burst.unwrap_or(rate.burst), ..rate })
    }
}

/// `/path`, or `https://host/path`, with at most one `*`, which is in the path.
fn redirect(value: &str) -> Result<Pattern, String> {
    let why = "a path such as /new/*, or a URL with a path such as https://example.org/* is meant";
    let rest = ["https://", "http://"].iter().find_map(|scheme| value.strip_prefix(scheme));
    let host = rest.map_or(Some(""), |rest| rest.split_once('/').map(|(host, _)| host).filter(|host| !host.is_empty()));
    let is_path = rest.is_some() || (value.starts_with('/') && !value.starts_with("//"));
    let is_valid = value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    if !is_path || !is_valid || host.is_none_or(|host| host.contains('*')) {
        return Err(why.into());
    }
    Pattern::read(value)
}

/// In lower case.
fn header_name(name: &str) -> Result<String, String> {
    if !is_token(name) {
        return Err("not a header's name".into());
    }
    let name = name.to_ascii_lowercase();
    // `server` is a setting of its own
    let is_own = ["content-length", "date", "server", "trailer"].contains(&name.as_str());
    if is_own || !is_settable(&name) {
        Err("the box or the protocol itself writes this header".into())
    } else {
        Ok(name)
    }
}

fn rate(value: &str) -> Result<Rate, String> {
    let why = "a number in a time is meant, such as 10/s or 100/5 min";
    let (count, time) = value.split_once('/').ok_or(why)?;
    let burst = number(count.trim(), 1, 1 << 20)? as u32;
    let time = time.trim();
    let is_one = !time.starts_with(|first: char| first.is_ascii_digit());
    let time = duration(&if is_one { format!("1 {time}") } else { time.into() }).map_err(|_| why)?;
    Ok(Rate { interval: (time / u64::from(burst)).max(1), burst })
}
