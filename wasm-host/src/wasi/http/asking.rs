//! What a box asks for: the line of a request, as the faces of all versions let it be set.

use super::{Asks, Fields, RequestHead};
use crate::boxes::{Budget, Charge};
use alloc::{string::String, sync::Arc};
use message::{
    fields::is_token,
    target::{is_authority, is_path},
};
use wit::http::Scheme;

/// A request without its fields and its body. The texts are charged.
#[derive(Debug)]
pub struct Asking {
    pub method: String,
    /// path and query
    pub target: Option<String>,
    pub scheme: Option<String>,
    pub authority: Option<String>,
    charge: Charge,
}

type Set = Result<(), ()>;

impl Asking {
    pub fn new(budget: &Arc<Budget>) -> Self {
        let (target, scheme, authority, charge) = (None, None, None, Charge::none(budget));
        Asking { method: "GET".into(), target, scheme, authority, charge }
    }

    /// The line of a request that has come, and its fields. What its texts hold is charged to the exchange.
    pub fn of(head: RequestHead, budget: &Arc<Budget>) -> (Self, Fields) {
        let scheme = Some(head.scheme().into());
        let RequestHead { method, target, authority, fields, .. } = head;
        let authority = Some(authority).filter(|authority| !authority.is_empty());
        let (target, charge) = (Some(target), Charge::none(budget));
        (Asking { method, target, scheme, authority, charge }, fields)
    }

    /// RFC 9110, section 9.1: a token. The channel's length has one byte.
    pub fn set_method(&mut self, method: &str) -> Set {
        self.set(is_token(method) && method.len() <= 255, |line| line.method = method.into())
    }

    pub fn set_target(&mut self, target: Option<String>) -> Set {
        let fits = target.as_deref().is_none_or(|target| target.is_empty() || is_path(target));
        self.set(fits, |line| line.target = target)
    }

    /// Any: what is not `https` is sent as `http`.
    pub fn set_scheme(&mut self, scheme: Option<&str>) -> Set {
        self.set(scheme.is_none_or(is_token), |line| line.scheme = scheme.map(String::from))
    }

    pub fn set_authority(&mut self, authority: Option<String>) -> Set {
        let is_one = |text: &str| !text.is_empty() && is_authority(text.as_bytes());
        self.set(authority.as_deref().is_none_or(is_one), |line| line.authority = authority)
    }

    /// What it asks for, in the words of the channel. None: it does not say of whom.
    pub fn asks(&self) -> Option<Asks<'_>> {
        let scheme = if self.scheme.as_deref() == Some("https") { Scheme::Https } else { Scheme::Http };
        let target = self.target.as_deref().filter(|target| !target.is_empty()).unwrap_or("/");
        Some(Asks { method: &self.method, target, authority: self.authority.as_deref()?, scheme })
    }

    /// Charges for the texts that are kept, or keeps none of them.
    fn set(&mut self, fits: bool, set: impl FnOnce(&mut Self)) -> Set {
        if !fits {
            return Err(());
        }
        set(self);
        let texts = [&self.target, &self.scheme, &self.authority];
        let bytes = self.method.len() + texts.into_iter().flatten().map(String::len).sum::<usize>();
        if self.charge.resize(bytes) {
            return Ok(());
        }
        *self = Asking::new(self.charge.budget());
        Err(())
    }
}
