//! The box: [`Keys`] between its arrows. It has no loop: its functions run when another box calls them, one at a time.

mod processor;

use crate::{Config, Disk, Grant, Keys};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bindings::exports::pearwood::keys::{acme, tls};
use sdk::bindings::pearwood::box0_2_0::{caller, config, entropy, log, ports, secret};
use sdk::disk;
use std::cell::RefCell;
use std::rc::Rc;
use zeroize::{Zeroize, Zeroizing};

#[allow(unsafe_code, clippy::undocumented_unsafe_blocks)]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/keys"],
        inline: "
            package pearwood:keys-box;
            world keys {
                export pearwood:keys/tls@0.2.0;
                export pearwood:keys/acme@0.2.0;
            }
        ",
        world: "pearwood:keys-box/keys",
        generate_all,
    });
    use super::Shim;
    export!(Shim);
}

struct Shim;

/// The sectors that the box's arrow grants.
#[derive(Clone)]
struct Sectors(Rc<RefCell<disk::Disk>>);

impl Disk for Sectors {
    fn sector_size(&self) -> usize {
        self.0.borrow().sector_size
    }

    fn sectors(&self) -> u64 {
        self.0.borrow().sectors
    }

    fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        self.0.borrow_mut().read(first, count).map_err(|error| error.to_string())
    }

    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), String> {
        self.0.borrow_mut().write(first, data).map_err(|error| error.to_string())
    }

    fn flush(&mut self) -> Result<(), String> {
        self.0.borrow_mut().flush().map_err(|error| error.to_string())
    }
}

/// Where keys could not be opened, that is not tried again before so many nanoseconds have passed: handshakes ask, and there may be many.
const PAUSE: u64 = 5_000_000_000;

thread_local! {
    static DISK: RefCell<Option<Sectors>> = const { RefCell::new(None) };
    /// made at the first call
    static KEYS: RefCell<Option<Keys<Sectors>>> = const { RefCell::new(None) };
    /// why they could not be opened, and until when that is the answer, in monotonic time
    static FAILED: RefCell<Option<(u64, String)>> = const { RefCell::new(None) };
}

fn random(buffer: &mut [u8]) -> Result<(), String> {
    let mut random = entropy::get(buffer.len() as u32);
    if random.len() != buffer.len() {
        return Err("pearwood:box/entropy: fewer bytes than asked for".into());
    }
    buffer.copy_from_slice(&random);
    random.zeroize();
    Ok(())
}

/// Seconds since 1970, if the node knows.
fn time() -> Option<u64> {
    entropy::wall_clock().map(|nanoseconds| nanoseconds / 1_000_000_000)
}

fn open() -> Result<Keys<Sectors>, String> {
    let mut settings = config::get();
    let read = Config::read(settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    settings.iter_mut().for_each(|(_, value)| value.zeroize());
    let config = read.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let given = secret::get().map(Zeroizing::new).ok_or(
        "the node has no secret to seal keys with: give it one of 64 hexadecimal digits, `secret=…` on the kernel's command line, \
         and keep it elsewhere than on the disk (`openssl rand -hex 32` makes one; `pearwood up` does all that by itself)",
    )?;
    let given =
        Zeroizing::new(<[u8; 32]>::try_from(&given[..]).map_err(|_| "pearwood:box/secret: 32 bytes are meant")?);
    let keys = Keys::open(config, sectors()?, &given, &mut random)?;
    show(&keys.authority_certificate()?);
    Ok(keys)
}

/// The disk. That it is there is said once to an instance, so it is opened once.
fn sectors() -> Result<Sectors, String> {
    DISK.with_borrow_mut(|disk| {
        if disk.is_none() {
            let opened = disk::Disk::open().map_err(|error| error.to_string())?;
            *disk = Some(Sectors(Rc::new(RefCell::new(opened))));
        }
        disk.clone().ok_or_else(|| "there is no disk".into())
    })
}

/// The certificate of the node's own authority, for whoever wants to trust it.
fn show(certificate: &[u8]) {
    log::write(log::Level::Info, "the certificate of this node's own authority, for clients that are to trust it:");
    log::write(log::Level::Info, "-----BEGIN CERTIFICATE-----");
    let text = BASE64_STANDARD.encode(certificate);
    // as RFC 7468 has it
    for line in text.as_bytes().chunks(64) {
        log::write(log::Level::Info, str::from_utf8(line).unwrap_or_default());
    }
    log::write(log::Level::Info, "-----END CERTIFICATE-----");
}

fn with<T>(ask: impl FnOnce(&mut Keys<Sectors>) -> Result<T, String>) -> Result<T, String> {
    KEYS.with_borrow_mut(|keys| {
        if keys.is_none() {
            let now = ports::wait(0).now;
            let failed = FAILED.with_borrow(|failed| failed.clone());
            if let Some((_, why)) = failed.filter(|(until, _)| now < *until) {
                return Err(why);
            }
            let opened = open();
            if let Err(why) = &opened {
                log::write(log::Level::Error, why);
                FAILED.set(Some((now + PAUSE, why.clone())));
            }
            *keys = Some(opened?);
            processor::take();
        }
        let keys = keys.as_mut().ok_or("there are no keys")?;
        let result = ask(keys);
        keys.take_told().iter().for_each(|line| log::write(log::Level::Warn, line));
        result
    })
}

/// The same for what needs a key, which the caller's arrow has to be for.
fn with_key<T>(key: &str, ask: impl FnOnce(&mut Keys<Sectors>) -> Result<T, String>) -> Result<T, String> {
    check(key)?;
    with(ask)
}

fn check(key: &str) -> Result<(), String> {
    let caller = caller::get().ok_or("nobody calls")?;
    let words = caller.words.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let grant = Grant::read(words).map_err(|fault| format!("the arrow of box `{}`: {fault}", caller.box_name))?;
    grant.check(&caller.box_name, key)
}

impl tls::Guest for Shim {
    fn public_key(key: String) -> Result<Vec<u8>, String> {
        with_key(&key, |keys| keys.public_key(&key))
    }

    fn version() -> Result<u64, String> {
        with(|keys| Ok(keys.version(time())))
    }

    fn certificate(key: String, names: Vec<String>) -> Result<Vec<Vec<u8>>, String> {
        with_key(&key, |keys| keys.certificate(&key, &names, time()))
    }

    fn sign(key: String, message: Vec<u8>) -> Result<Vec<u8>, String> {
        with_key(&key, |keys| keys.sign(&key, &message))
    }

    fn prove(name: String) -> Result<Option<tls::Challenge>, String> {
        let Some((key, certificate)) = with(|keys| Ok(keys.prove(&name)))? else { return Ok(None) };
        check(&key)?;
        Ok(Some(tls::Challenge { key, certificate }))
    }
}

impl acme::Guest for Shim {
    fn account() -> Result<Vec<u8>, String> {
        with(|keys| keys.account(&mut random).map(Vec::from))
    }

    fn sign(message: Vec<u8>) -> Result<Vec<u8>, String> {
        with(|keys| keys.sign_request(&message))
    }

    fn make(key: String) -> Result<(), String> {
        with_key(&key, |keys| keys.make(&key, &mut random))
    }

    fn request(key: String, names: Vec<String>) -> Result<Vec<u8>, String> {
        with_key(&key, |keys| keys.request(&key, &names))
    }

    fn store(key: String, chain: Vec<Vec<u8>>) -> Result<(), String> {
        with_key(&key, |keys| keys.store(&key, chain, &mut random))
    }

    fn stored(key: String) -> Result<Vec<Vec<u8>>, String> {
        with_key(&key, |keys| keys.stored(&key))
    }

    fn remember(state: Vec<u8>) -> Result<(), String> {
        with(|keys| keys.remember(state, &mut random))
    }

    fn remembered() -> Result<Vec<u8>, String> {
        with(|keys| Ok(keys.remembered().to_vec()))
    }

    fn challenge(key: String, name: String, digest: Option<Vec<u8>>) -> Result<(), String> {
        with_key(&key, |keys| keys.challenge(&key, &name, digest.as_deref()))
    }
}
