//! What the faces of all versions of `wasi:http` have alike, each in its own types.

/// The words of a face of `wasi:http`, in its own types: methods, schemes, and what went wrong.
macro_rules! words {
    ($types:ident) => {
        impl $types::Method {
            fn of(name: &str) -> Self {
                match name {
                    "GET" => Self::Get,
                    "HEAD" => Self::Head,
                    "POST" => Self::Post,
                    "PUT" => Self::Put,
                    "DELETE" => Self::Delete,
                    "CONNECT" => Self::Connect,
                    "OPTIONS" => Self::Options,
                    "TRACE" => Self::Trace,
                    "PATCH" => Self::Patch,
                    other => Self::Other(other.into()),
                }
            }

            fn name(&self) -> &str {
                match self {
                    Self::Get => "GET",
                    Self::Head => "HEAD",
                    Self::Post => "POST",
                    Self::Put => "PUT",
                    Self::Delete => "DELETE",
                    Self::Connect => "CONNECT",
                    Self::Options => "OPTIONS",
                    Self::Trace => "TRACE",
                    Self::Patch => "PATCH",
                    Self::Other(other) => other,
                }
            }
        }

        impl $types::Scheme {
            fn of(name: &str) -> Self {
                match name {
                    "http" => Self::Http,
                    "https" => Self::Https,
                    other => Self::Other(other.into()),
                }
            }

            fn name(&self) -> &str {
                match self {
                    Self::Http => "http",
                    Self::Https => "https",
                    Self::Other(other) => other,
                }
            }
        }

        /// What a fault is to the box that waits for a response, or reads a body.
        pub(super) fn of_fault(fault: &$crate::wasi::http::Fault) -> $types::ErrorCode {
            use wit::tcp::Cause;
            use $crate::wasi::http::Fault;
            match fault {
                Fault::Cancelled | Fault::Gone(_) => $types::ErrorCode::ConnectionTerminated,
                Fault::Failed(why) => $types::ErrorCode::InternalError(Some(why.as_ref().into())),
                Fault::Way(cause, alert, why) => match cause {
                    Cause::Denied => $types::ErrorCode::HttpRequestDenied,
                    Cause::Name => {
                        $types::ErrorCode::DnsError($types::DnsErrorPayload { rcode: None, info_code: None })
                    }
                    Cause::Unreachable => $types::ErrorCode::ConnectionRefused,
                    Cause::Timeout => $types::ErrorCode::ConnectionTimeout,
                    Cause::Busy => $types::ErrorCode::ConnectionLimitReached,
                    Cause::Terminated => $types::ErrorCode::ConnectionTerminated,
                    Cause::Certificate => $types::ErrorCode::TlsCertificateError,
                    Cause::Alert => $types::ErrorCode::TlsAlertReceived($types::TlsAlertReceivedPayload {
                        alert_id: Some(*alert),
                        alert_message: Some(why.as_ref().into()),
                    }),
                    Cause::Security => $types::ErrorCode::TlsProtocolError,
                    Cause::Answer => $types::ErrorCode::HttpProtocolError,
                },
                Fault::Protocol(_) => $types::ErrorCode::HttpProtocolError,
                Fault::Late => $types::ErrorCode::ConnectionReadTimeout,
            }
        }

        /// What a body of another length than its `content-length` says is to the box that writes it.
        pub(super) fn of_length(wrong: $crate::wasi::http::WrongLength) -> $types::ErrorCode {
            match wrong.side {
                $crate::wasi::http::Side::Client => $types::ErrorCode::HttpRequestBodySize(Some(wrong.written)),
                $crate::wasi::http::Side::Service => $types::ErrorCode::HttpResponseBodySize(Some(wrong.written)),
            }
        }

        fn of_denied(denied: $crate::wasi::http::Denied) -> $types::ErrorCode {
            use $crate::wasi::http::Denied;
            match denied {
                Denied::NoArrow => $types::ErrorCode::HttpRequestDenied,
                Denied::Down => $types::ErrorCode::DestinationUnavailable,
                Denied::NoMemory => $types::ErrorCode::InternalError(Some(alloc::format!("{denied}"))),
                Denied::TooLong => $types::ErrorCode::HttpRequestUriTooLong,
            }
        }
    };
}

/// `fields`. `$of_error` gives a version's word for what is wrong, or ends the instance; `$all` is its name for the function
/// that copies all entries; `$more` are functions that only it has.
macro_rules! fields {
    ($of_error:ident, $all:ident, { $($more:tt)* }) => {
        type Checked<T> = core::result::Result<T, types::HeaderError>;

        fn checked<T>(result: core::result::Result<T, FieldsError>) -> Result<Checked<T>> {
            match result {
                Ok(value) => Ok(Ok(value)),
                Err(error) => $of_error(error).map(Err),
            }
        }

        impl types::HostFields for State {
            fn new(&mut self) -> Result<Resource<Fields>> {
                let fields = Fields::new(&self.wasi.budget);
                self.wasi.push(fields)
            }

            fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<Checked<Resource<Fields>>> {
                let mut fields = Fields::new(&self.wasi.budget);
                match checked(entries.iter().try_for_each(|(name, value)| fields.append(name, value)))? {
                    Ok(()) => Ok(Ok(self.wasi.push(fields)?)),
                    Err(error) => Ok(Err(error)),
                }
            }

            fn get(&mut self, fields: Resource<Fields>, name: String) -> Result<Vec<Vec<u8>>> {
                Ok(self.wasi.get(&fields)?.get(&name).map(<[u8]>::to_vec).collect())
            }

            fn has(&mut self, fields: Resource<Fields>, name: String) -> Result<bool> {
                Ok(self.wasi.get(&fields)?.get(&name).next().is_some())
            }

            fn set(&mut self, fields: Resource<Fields>, name: String, values: Vec<Vec<u8>>) -> Result<Checked<()>> {
                checked(self.wasi.get(&fields)?.set(&name, &values))
            }

            fn delete(&mut self, fields: Resource<Fields>, name: String) -> Result<Checked<()>> {
                checked(self.wasi.get(&fields)?.delete(&name))
            }

            fn append(&mut self, fields: Resource<Fields>, name: String, value: Vec<u8>) -> Result<Checked<()>> {
                checked(self.wasi.get(&fields)?.append(&name, &value))
            }

            fn $all(&mut self, fields: Resource<Fields>) -> Result<Vec<(String, Vec<u8>)>> {
                let fields = self.wasi.get(&fields)?;
                Ok(fields.entries().map(|(name, value)| (name.into(), value.into())).collect())
            }

            fn clone(&mut self, fields: Resource<Fields>) -> Result<Resource<Fields>> {
                let copy = self.wasi.get(&fields)?.changeable();
                self.wasi.push(copy)
            }

            fn drop(&mut self, fields: Resource<Fields>) -> Result<()> {
                self.wasi.take(fields).map(drop)
            }

            $($more)*
        }
    };
}

/// `request-options`: how long a response is waited for. `$error` is a version's type for what is wrong with a setting; then
/// come its names for the functions that read. `changeable` of the options gives those that may be set, or what is wrong.
macro_rules! options {
    ($error:ty, $connect:ident, $first:ident, $between:ident, { $($more:tt)* }) => {
        type Set = core::result::Result<(), $error>;

        impl types::HostRequestOptions for State {
            fn new(&mut self) -> Result<Resource<RequestOptions>> {
                self.wasi.push(RequestOptions::default())
            }

            /// There is nothing to connect to: boxes are joined before they run. So it is always met.
            fn $connect(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
                Ok(self.wasi.get(&options)?.connect_timeout)
            }

            fn set_connect_timeout(&mut self, options: Resource<RequestOptions>, timeout: Option<u64>) -> Result<Set> {
                let options = self.wasi.get(&options)?.changeable();
                Ok(options.map(|options| options.connect_timeout = timeout))
            }

            fn $first(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
                Ok(self.wasi.get(&options)?.first_byte_timeout)
            }

            fn set_first_byte_timeout(
                &mut self,
                options: Resource<RequestOptions>,
                timeout: Option<u64>,
            ) -> Result<Set> {
                let options = self.wasi.get(&options)?.changeable();
                Ok(options.map(|options| options.first_byte_timeout = timeout))
            }

            fn $between(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
                Ok(self.wasi.get(&options)?.between_bytes_timeout)
            }

            fn set_between_bytes_timeout(
                &mut self,
                options: Resource<RequestOptions>,
                timeout: Option<u64>,
            ) -> Result<Set> {
                let options = self.wasi.get(&options)?.changeable();
                Ok(options.map(|options| options.between_bytes_timeout = timeout))
            }

            fn drop(&mut self, options: Resource<RequestOptions>) -> Result<()> {
                self.wasi.take(options).map(drop)
            }

            $($more)*
        }
    };
}

pub(in crate::wasi) use {fields, options, words};
