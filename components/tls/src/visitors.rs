//! Clients that show a certificate.
//!
//! What is asked of them holds for all names of the box: a client may ask TLS for one name, and HTTP, over the same connection, for
//! another. Names that are for some clients only have a box `tls` of their own.

use crate::certificates::read_chain;
use crate::config::Clients;
use crate::session::Failed;
use crate::trust::roots;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::Arc;

/// Holds clients' certificates against the roots of the settings, by the time of day.
#[derive(Debug)]
pub struct Visitors {
    by_roots: Arc<dyn ClientCertVerifier>,
    wall_clock: Arc<dyn TimeProvider>,
    required: bool,
}

impl Visitors {
    /// # Errors
    /// The roots are none.
    pub fn new(
        clients: &Clients,
        provider: &Arc<CryptoProvider>,
        wall_clock: &Arc<dyn TimeProvider>,
    ) -> Result<Arc<Self>, String> {
        let wrong = |why: String| format!("clients.roots: {why}");
        let roots = roots(&read_chain(&clients.roots).map_err(wrong)?).map_err(wrong)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let by_roots = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Arc::new(Visitors { by_roots, wall_clock: wall_clock.clone(), required: clients.required }))
    }

    /// Whether a client with these certificates may come in. One that goes on with a session has shown them before, perhaps to an
    /// instance with other settings, or when they were still valid.
    ///
    /// # Errors
    /// It may not.
    pub fn admit(&self, chain: &[CertificateDer<'_>]) -> Result<(), Failed> {
        match chain {
            [] if self.required => Err(Error::NoCertificatesPresented.into()),
            [] => Ok(()),
            [own, others @ ..] => Ok(self.verify(own, others).map(drop)?),
        }
    }

    fn verify(&self, own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<ClientCertVerified, Error> {
        let now = self.wall_clock.current_time().ok_or(Error::FailedToGetCurrentTime)?;
        self.by_roots.verify_client_cert(own, others, now)
    }
}

impl ClientCertVerifier for Visitors {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_roots.root_hint_subjects()
    }

    /// rustls's time is the node's own, by which tickets last.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates)
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
