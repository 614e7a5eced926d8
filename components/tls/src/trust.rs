//! Whom this side believes as a client: the roots that Mozilla believes, or those that a host has in the settings.

use crate::certificates::read_chain;
use crate::config::{Config, Trusted};
use crate::provider::client_provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue, WebPkiServerVerifier,
};
use rustls::crypto::{CryptoProvider, SecureRandom};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes that a session takes: its ticket, and the certificates of its server (RFC 8446, section 4.6.1).
const SESSION: usize = 96 << 10;

/// The protocol that is spoken (RFC 7301).
const PROTOCOL: &[u8] = b"http/1.1";

pub struct Trust {
    trusted: Vec<Trusted>,
    versions: Vec<&'static SupportedProtocolVersion>,
    random: &'static dyn SecureRandom,
    clock: Arc<dyn TimeProvider>,
    sessions: Arc<Sessions>,
    provider: Option<Arc<CryptoProvider>>,
    /// for each of `trusted`, and at last for all other hosts; made when it is needed first
    configs: BTreeMap<usize, Arc<ClientConfig>>,
}

impl Trust {
    pub fn new(
        config: &Config,
        versions: &[&'static SupportedProtocolVersion],
        memory: usize,
        random: &'static dyn SecureRandom,
        clock: Arc<dyn TimeProvider>,
    ) -> Self {
        let sessions = Arc::new(Sessions { most: (memory / 32 / SESSION).clamp(1, 64), all: Mutex::default() });
        let (trusted, versions) = (config.trusted.clone(), versions.to_vec());
        Trust { trusted, versions, random, clock, sessions, provider: None, configs: BTreeMap::new() }
    }

    /// How to talk to a host.
    ///
    /// # Errors
    /// It cannot be known whom to believe.
    pub fn of(&mut self, host: &str) -> Result<Arc<ClientConfig>, String> {
        if self.clock.current_time().is_none() {
            return Err("this node does not know the time, without which no certificate can be checked".into());
        }
        let place = self.trusted.iter().position(|trusted| trusted.covers(host)).unwrap_or(self.trusted.len());
        if let Some(config) = self.configs.get(&place) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.make(self.trusted.get(place).cloned().as_ref())?);
        self.configs.insert(place, config.clone());
        Ok(config)
    }

    fn make(&mut self, trusted: Option<&Trusted>) -> Result<ClientConfig, String> {
        let random = self.random;
        let provider = self.provider.get_or_insert_with(|| Arc::new(client_provider(random))).clone();
        let roots = match trusted {
            Some(trusted) => roots(&read_chain(&trusted.roots)?)?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
        let by_roots = builder.build().map_err(|error| error.to_string())?;
        let pins = trusted.map_or_else(|| Ok(Vec::new()), |trusted| read_chain(&trusted.roots))?;
        let builder = ClientConfig::builder_with_details(provider, self.clock.clone());
        let builder = builder.with_protocol_versions(&self.versions).map_err(|error| error.to_string())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier { by_roots, pins }));
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = Resumption::store(self.sessions.clone());
        Ok(config)
    }
}

/// Certificates as roots.
///
/// # Errors
/// One of them cannot be one.
pub fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(|error| format!("a certificate cannot be read: {error}"))?;
    }
    Ok(roots)
}

/// Holds a server's certificate against roots, or finds it to be the very one that was named. Such a one is believed whatever
/// its names and dates are.
#[derive(Debug)]
struct Verifier {
    by_roots: Arc<WebPkiServerVerifier>,
    pins: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pins.contains(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.by_roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_roots.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_roots.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_roots.supported_verify_schemes()
    }
}

/// Sessions with servers that can go on later: the newest. rustls has such a thing, but only with `std`, which wants a clock of the
/// operating system's as well.
#[derive(Debug)]
struct Sessions {
    most: usize,
    all: Mutex<VecDeque<(ServerName<'static>, Session)>>,
}

#[derive(Debug)]
enum Session {
    Tls12(Tls12ClientSessionValue),
    Tls13(Tls13ClientSessionValue),
}

impl Sessions {
    fn keep(&self, name: ServerName<'static>, session: Session) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == self.most {
            all.pop_front();
        }
        all.push_back((name, session));
    }

    /// Takes the newest one of a name.
    fn take(&self, name: &ServerName<'_>, is_13: bool) -> Option<Session> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |session: &Session| matches!(session, Session::Tls13(_)) == is_13;
        let place = all.iter().rposition(|(of, session)| of == name && is_it(session))?;
        all.remove(place).map(|(_, session)| session)
    }
}

impl ClientSessionStore for Sessions {
    /// All servers are offered what most of them take.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.remove_tls12_session(&name);
        self.keep(name, Session::Tls12(session));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().rev().find_map(|(of, session)| match session {
            Session::Tls12(session) if of == name => Some(session.clone()),
            _ => None,
        })
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.take(name, false);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, session: Tls13ClientSessionValue) {
        self.keep(name, Session::Tls13(session));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        match self.take(name, true)? {
            Session::Tls13(session) => Some(session),
            Session::Tls12(_) => None,
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.trusted.iter().map(|trusted| &trusted.names)).finish()
    }
}
