//! What both versions of `wasi:http` say in the same words, written once for the bindings of each.

/// `$types`: the bindings of `wasi:http/types`; `$request`: what a request of the box's own is, with the fields `method`, `target`,
/// `scheme`, `authority` and `charge`.
macro_rules! face {
    ($types:ident, $request:ident) => {
        impl $types::Method {
            pub fn of(name: &str) -> Self {
                match name {
                    "GET" => $types::Method::Get,
                    "HEAD" => $types::Method::Head,
                    "POST" => $types::Method::Post,
                    "PUT" => $types::Method::Put,
                    "DELETE" => $types::Method::Delete,
                    "CONNECT" => $types::Method::Connect,
                    "OPTIONS" => $types::Method::Options,
                    "TRACE" => $types::Method::Trace,
                    "PATCH" => $types::Method::Patch,
                    other => $types::Method::Other(other.into()),
                }
            }

            fn name(&self) -> &str {
                match self {
                    $types::Method::Get => "GET",
                    $types::Method::Head => "HEAD",
                    $types::Method::Post => "POST",
                    $types::Method::Put => "PUT",
                    $types::Method::Delete => "DELETE",
                    $types::Method::Connect => "CONNECT",
                    $types::Method::Options => "OPTIONS",
                    $types::Method::Trace => "TRACE",
                    $types::Method::Patch => "PATCH",
                    $types::Method::Other(other) => other,
                }
            }
        }

        impl $types::Scheme {
            pub fn of(scheme: wit::http::Scheme) -> Self {
                match scheme {
                    wit::http::Scheme::Http => $types::Scheme::Http,
                    wit::http::Scheme::Https => $types::Scheme::Https,
                }
            }
        }

        impl $request {
            /// RFC 9110, section 9.1: a token, of which the channel takes no more than 255 bytes.
            fn set_method(&mut self, method: $types::Method) -> core::result::Result<(), ()> {
                if !message::fields::is_token(method.name()) || method.name().len() > 255 {
                    return Err(());
                }
                self.method = method;
                self.charged()
            }

            fn set_target(&mut self, target: Option<String>) -> core::result::Result<(), ()> {
                if !target.as_deref().is_none_or(|target| target.is_empty() || message::target::is_path(target)) {
                    return Err(());
                }
                self.target = target;
                self.charged()
            }

            fn set_scheme(&mut self, scheme: Option<$types::Scheme>) -> core::result::Result<(), ()> {
                if let Some($types::Scheme::Other(other)) = &scheme
                    && !message::fields::is_token(other)
                {
                    return Err(());
                }
                self.scheme = scheme;
                self.charged()
            }

            fn set_authority(&mut self, authority: Option<String>) -> core::result::Result<(), ()> {
                let is_one = |text: &str| !text.is_empty() && message::target::is_authority(text.as_bytes());
                if !authority.as_deref().is_none_or(is_one) {
                    return Err(());
                }
                self.authority = authority;
                self.charged()
            }

            /// Charges for the text that is kept, or keeps none of it.
            fn charged(&mut self) -> core::result::Result<(), ()> {
                let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                let scheme = match &self.scheme {
                    Some($types::Scheme::Other(other)) => other.len(),
                    _ => 0,
                };
                let bytes = self.method.name().len() + length(&self.target) + length(&self.authority) + scheme;
                if self.charge.resize(bytes) {
                    return Ok(());
                }
                (self.method, self.target, self.scheme, self.authority) = ($types::Method::Get, None, None, None);
                Err(())
            }

            /// What it asks for, in the words of the channel. None: it does not say of whom.
            fn asks(&self) -> Option<$crate::wasi::http::Asks<'_>> {
                let scheme = match &self.scheme {
                    Some($types::Scheme::Https) => wit::http::Scheme::Https,
                    _ => wit::http::Scheme::Http,
                };
                let target = self.target.as_deref().filter(|target| !target.is_empty()).unwrap_or("/");
                let authority = self.authority.as_deref()?;
                Some($crate::wasi::http::Asks { method: self.method.name(), target, authority, scheme })
            }
        }

        /// What a fault is to the box that waits for a response, or reads a body.
        pub(super) fn of_fault(fault: &Fault) -> $types::ErrorCode {
            match fault {
                Fault::Cancelled | Fault::Gone(_) => $types::ErrorCode::ConnectionTerminated,
                Fault::Failed(why) => $types::ErrorCode::InternalError(Some(why.to_string())),
                Fault::Protocol(_) => $types::ErrorCode::HttpProtocolError,
            }
        }

        fn of_denied(denied: Denied) -> $types::ErrorCode {
            match denied {
                Denied::NoArrow => $types::ErrorCode::HttpRequestDenied,
                Denied::Down => $types::ErrorCode::DestinationUnavailable,
                Denied::NoMemory => $types::ErrorCode::InternalError(Some(denied.to_string())),
                Denied::TooLong => $types::ErrorCode::HttpRequestUriTooLong,
            }
        }
    };
}
pub(crate) use face;
