//! What is answered to whom.

use crate::accounts::{Account, Accounts, Store};
use crate::pages::{form, go, home, members, page};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use pearwood::http::{Request, Response};
use sha2::{Digest, Sha256};

/// Of the browser's cookies, the session's. Of that prefix, browsers take one from this host only, over TLS, for all of its paths.
const COOKIE: &str = "__Host-session";
const SESSION: u64 = 30 * 24 * 3_600;

/// Bytes of a password.
const PASSWORD: std::ops::RangeInclusive<usize> = 10..=128;
const NAME: std::ops::RangeInclusive<usize> = 2..=32;

/// So many secret random bytes, others at each call.
pub type Random<'a> = &'a mut dyn FnMut() -> [u8; 32];

/// What a moment brings to an answer.
pub struct Today<'a> {
    /// seconds since 1970. None: the node does not know the time. Then no session counts, since it may be over, and none begins.
    pub now: Option<u64>,
    pub random: Random<'a>,
}

pub struct Site<S> {
    accounts: Accounts<S>,
    argon: Argon2<'static>,
    /// what a password is held against where there is no such account, so that this takes as long
    nobody: String,
    /// logins since the start: that went well, and that did not
    pub logins: [u64; 2],
}

impl<S: Store> Site<S> {
    pub fn new(accounts: Accounts<S>) -> Self {
        // of the parameters that OWASP advises, those that take the least memory
        let params = Params::new(7 << 10, 5, 1, None).unwrap_or_default();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&argon, "nobody", &[0; 32]).unwrap_or_default();
        Site { accounts, argon, nobody, logins: [0; 2] }
    }

    pub fn accounts(&self) -> &Accounts<S> {
        &self.accounts
    }

    pub fn answer(&mut self, request: &Request, today: &mut Today<'_>) -> Response {
        if !request.is_https {
            return page(403, "Over HTTPS only", "<p>Passwords would be read on the way.</p>");
        }
        let session = session_of(request).map(|token| digest(&token));
        let account = session.as_ref().zip(today.now).and_then(|(hash, now)| self.accounts.of_session(hash, now));
        let name = account.map(|account| account.name.clone());
        match (&*request.method, request.path()) {
            ("GET" | "HEAD", "/") => home(name.as_deref(), self.accounts.len()),
            ("GET" | "HEAD", "/members") => match name {
                Some(name) => members(&name),
                None => go("/log-in"),
            },
            ("GET" | "HEAD", "/log-in") => form(200, "Log in", "/log-in", ""),
            ("GET" | "HEAD", "/sign-up") => form(200, "Sign up", "/sign-up", ""),
            // another site can send a form here, with the cookies that are for this one, but not as this one
            ("POST", "/log-in" | "/sign-up" | "/log-out") if !is_own(request) => {
                page(403, "Not from here", "<p>This is taken from the site's own pages only.</p>")
            }
            ("POST", "/log-in" | "/sign-up") => match today.now {
                None => timeless(),
                Some(now) if request.path() == "/log-in" => self.log_in(request, now, today.random),
                Some(now) => self.sign_up(request, now, today.random),
            },
            ("POST", "/log-out") => match session.zip(name) {
                Some((hash, name)) => match self.accounts.end_session(&name, &hash) {
                    Ok(()) => go("/").with("set-cookie", &cookie("", 0)),
                    Err(why) => unstored(&why),
                },
                None => go("/"),
            },
            (_, "/" | "/members" | "/log-in" | "/sign-up" | "/log-out") => {
                page(405, "Not so", "").with("allow", "GET, HEAD, POST")
            }
            _ => page(404, "There is nothing here", "<p><a href=\"/\">The first page</a></p>"),
        }
    }

    fn log_in(&mut self, request: &Request, now: u64, random: Random<'_>) -> Response {
        let (name, password) = fields(request);
        let known = self.accounts.find(&name).map(|account| account.password.as_str());
        let is_right = verify(&self.argon, known.unwrap_or(&self.nobody), &password) && known.is_some();
        self.logins[usize::from(!is_right)] += 1;
        if !is_right {
            return form(403, "Log in", "/log-in", "There is no such account with this password.");
        }
        self.enter(&name, now, random)
    }

    fn sign_up(&mut self, request: &Request, now: u64, random: Random<'_>) -> Response {
        let (name, password) = fields(request);
        let wrong = |status, why| form(status, "Sign up", "/sign-up", why);
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !NAME.contains(&name.len()) || !name.chars().all(fits) {
            return wrong(400, "A name has 2 to 32 lower-case letters, digits and hyphens.");
        }
        if !PASSWORD.contains(&password.len()) {
            return wrong(400, "A password has 10 characters at least, and 128 bytes at most.");
        }
        if self.accounts.find(&name).is_some() {
            return wrong(409, "Somebody has this name already.");
        }
        if !self.accounts.has_room() {
            return wrong(507, "There is no room for more accounts.");
        }
        let Some(password) = hash(&self.argon, &password, &random()) else {
            return wrong(500, "The password cannot be kept.");
        };
        match self.accounts.add(Account { name: name.clone(), password, sessions: Vec::new() }) {
            Ok(()) => self.enter(&name, now, random),
            Err(why) => unstored(&why),
        }
    }

    /// Begins a session, which is not one that the browser had before.
    fn enter(&mut self, name: &str, now: u64, random: Random<'_>) -> Response {
        let token = hex(&random());
        let until = now.saturating_add(SESSION);
        match self.accounts.begin_session(name, digest(&token), now, until) {
            Ok(()) => go("/members").with("set-cookie", &cookie(&token, SESSION)),
            Err(why) => unstored(&why),
        }
    }
}

fn timeless() -> Response {
    let why = "<p>This server does not know the time yet, and a session has an end. Try again in a minute.</p>";
    page(503, "Not yet", why).with("retry-after", "60")
}

fn unstored(why: &str) -> Response {
    page(500, "Not stored", &format!("<p>This cannot be stored: {why}.</p>"))
}

fn hash(argon: &Argon2<'_>, password: &str, random: &[u8; 32]) -> Option<String> {
    let salt = SaltString::encode_b64(&random[..16]).ok()?;
    Some(argon.hash_password(password.as_bytes(), &salt).ok()?.to_string())
}

fn verify(argon: &Argon2<'_>, hash: &str, password: &str) -> bool {
    // what is too long to be one takes no time
    let password = if password.len() <= *PASSWORD.end() { password } else { "" };
    PasswordHash::new(hash).is_ok_and(|hash| argon.verify_password(password.as_bytes(), &hash).is_ok())
}

/// Name and password of a form.
fn fields(request: &Request) -> (String, String) {
    let (mut name, mut password) = (String::new(), String::new());
    for (key, value) in form_urlencoded::parse(&request.body) {
        match &*key {
            "name" => name = value.into_owned(),
            "password" => password = value.into_owned(),
            _ => {}
        }
    }
    (name, password)
}

/// RFC 6454, section 7: browsers say it of each form that is sent.
fn is_own(request: &Request) -> bool {
    let own = request.header("origin").and_then(|origin| origin.strip_prefix("https://"));
    own.is_some_and(|host| host.eq_ignore_ascii_case(&request.authority))
}

fn session_of(request: &Request) -> Option<String> {
    let mut cookies = request.header("cookie")?.split(';');
    let token = cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    (token.len() == 64).then(|| token.into())
}

fn cookie(token: &str, seconds: u64) -> String {
    format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
