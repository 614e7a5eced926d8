//! Signatures (RFC 7515) as RFC 8555, section 6.2 wants them.

use crate::{External, Keys};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn encoded(value: &Value) -> String {
    base64(value.to_string().as_bytes())
}

/// The account's public key (RFC 7517). Its fields are in the order that RFC 7638 wants.
pub fn jwk(account: &[u8; 64]) -> Value {
    let (x, y) = account.split_at(32);
    json!({ "crv": "P-256", "kty": "EC", "x": base64(x), "y": base64(y) })
}

/// With a token before it and a dot between, it proves to the authority that the token was given to this account (section 8.1).
pub fn thumbprint(account: &[u8; 64]) -> String {
    base64(&Sha256::digest(jwk(account).to_string()))
}

fn flattened(protected: &str, payload: &str, signature: &[u8]) -> Value {
    json!({ "protected": protected, "payload": payload, "signature": base64(signature) })
}

/// A request's body. `payload`: None is POST-as-GET (section 6.3). `account`: its URL, where it is known.
pub fn sign(
    keys: &mut dyn Keys,
    url: &str,
    nonce: &str,
    account: Option<&str>,
    payload: Option<&Value>,
) -> Result<String, String> {
    let mut header = json!({ "alg": "ES256", "nonce": nonce, "url": url });
    match account {
        Some(account) => header["kid"] = account.into(),
        None => header["jwk"] = jwk(&keys.account()?),
    }
    let (protected, payload) = (encoded(&header), payload.map(encoded).unwrap_or_default());
    let signature = keys.sign(format!("{protected}.{payload}").as_bytes())?;
    Ok(flattened(&protected, &payload, &signature).to_string())
}

/// Binds the account to one that the authority knows from elsewhere (section 7.3.4).
pub fn bind(external: &External, url: &str, account: &[u8; 64]) -> Result<Value, String> {
    let header = json!({ "alg": "HS256", "kid": external.id, "url": url });
    let (protected, payload) = (encoded(&header), encoded(&jwk(account)));
    let mut mac = Hmac::<Sha256>::new_from_slice(&external.key).map_err(|error| error.to_string())?;
    mac.update(format!("{protected}.{payload}").as_bytes());
    Ok(flattened(&protected, &payload, &mac.finalize().into_bytes()))
}
