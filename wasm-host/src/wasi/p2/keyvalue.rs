//! `wasi:keyvalue` 0.2.0-draft2: buckets of `pearwood:store/keyvalue`.

use crate::{
    boxes::{Charge, State},
    wasi::keyvalue::{Buckets, Fault, Reply},
};
use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use bindings::wasi::keyvalue::{atomics, batch, store};
use wasmtime::{
    Result,
    component::{HasSelf, Linker, Resource},
};
use wit::{
    List,
    keyvalue::{Command, MAX_KEY, Pair},
};

#[allow(unsafe_code, missing_docs, clippy::all)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/deps/wasi-keyvalue/keyvalue.wit",
        inline: "
            package pearwood:faces;
            world keyvalue {
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
            }
        ",
        world: "pearwood:faces/keyvalue",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::wasi::p2::keyvalue::Bucket,
            "wasi:keyvalue/atomics.cas": crate::wasi::p2::keyvalue::Cas,
        },
    });
}

/// Keys in one answer.
const PAGE: u32 = 256;

/// A bucket, by its name: another instance of the service has it as well.
pub struct Bucket(Arc<str>);

pub struct Cas {
    bucket: Arc<str>,
    key: String,
    version: u64,
    /// for the key
    _charge: Charge,
}

type Answer<T> = core::result::Result<T, store::Error>;
type Swapped = core::result::Result<(), atomics::CasError>;

/// Gives a box all of it.
pub fn link(linker: &mut Linker<State>) -> Result<()> {
    bindings::Keyvalue::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

fn error(fault: Fault) -> store::Error {
    match fault {
        Fault::NoBucket => store::Error::NoSuchStore,
        Fault::Denied => store::Error::AccessDenied,
        Fault::Other(why) => store::Error::Other(why),
    }
}

/// What a request of this kind is not answered with.
fn other(reply: Reply) -> store::Error {
    error(match reply {
        Reply::Failed(fault) => fault,
        _ => Fault::Other("the answer is to another question".into()),
    })
}

impl State {
    fn buckets(&self) -> core::result::Result<Arc<Buckets>, Fault> {
        self.wasi.buckets.clone().ok_or(Fault::NoBucket)
    }

    fn name(&mut self, bucket: &Resource<Bucket>) -> Result<Arc<str>> {
        Ok(self.wasi.get(bucket)?.0.clone())
    }

    /// Asks, and sleeps until there is an answer.
    async fn ask<'c>(&mut self, bucket: &str, bytes: usize, command: impl FnOnce(u32) -> Command<'c> + Send) -> Reply {
        self.waits();
        let reply = match self.buckets() {
            Ok(buckets) => buckets.ask(bucket, bytes, command).await,
            Err(fault) => Reply::Failed(fault),
        };
        self.waits();
        reply
    }

    async fn value(&mut self, bucket: &str, key: &str) -> Result<Answer<(u64, Option<Vec<u8>>)>> {
        let reply = self.ask(bucket, key.len(), |ticket| Command::Get { ticket, key }).await;
        let Reply::Value(version, value) = reply else { return Ok(Err(other(reply))) };
        let value = match value {
            // what was paid for by the answer is paid for by what is passed
            Some((value, charge)) => {
                drop(charge);
                self.wasi.pass(value.len())?;
                Some(value)
            }
            None => None,
        };
        Ok(Ok((version, value)))
    }

    async fn done<'c>(
        &mut self,
        bucket: &str,
        bytes: usize,
        command: impl FnOnce(u32) -> Command<'c> + Send,
    ) -> Answer<()> {
        match self.ask(bucket, bytes, command).await {
            Reply::Done => Ok(()),
            reply => Err(other(reply)),
        }
    }

    fn cas(&mut self, bucket: Arc<str>, key: String, version: u64) -> Result<Resource<Cas>> {
        let charge = self.charge(key.len() as u64)?;
        self.wasi.push(Cas { bucket, key, version, _charge: charge })
    }

    async fn version(&mut self, bucket: &str, key: &str) -> Result<Answer<u64>> {
        Ok(self.value(bucket, key).await?.map(|(version, _)| version))
    }
}

impl store::Host for State {
    async fn open(&mut self, identifier: String) -> Result<Answer<Resource<Bucket>>> {
        match self.buckets().and_then(|buckets| buckets.find(&identifier)) {
            Ok(name) => Ok(Ok(self.wasi.push(Bucket(name))?)),
            Err(fault) => Ok(Err(error(fault))),
        }
    }
}

impl store::HostBucket for State {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Answer<Option<Vec<u8>>>> {
        let name = self.name(&bucket)?;
        Ok(self.value(&name, &key).await?.map(|(_, value)| value))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<Answer<()>> {
        let name = self.name(&bucket)?;
        let bytes = key.len() + value.len();
        Ok(self.done(&name, bytes, |ticket| Command::Set { ticket, key: &key, value: &value }).await)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Answer<()>> {
        let name = self.name(&bucket)?;
        Ok(self.done(&name, key.len(), |ticket| Command::Delete { ticket, key: &key }).await)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Answer<bool>> {
        let name = self.name(&bucket)?;
        Ok(match self.ask(&name, key.len(), |ticket| Command::Exists { ticket, key: &key }).await {
            Reply::Found(is_there) => Ok(is_there),
            reply => Err(other(reply)),
        })
    }

    /// The cursor is the last key of those before.
    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Result<Answer<store::KeyResponse>> {
        let name = self.name(&bucket)?;
        let after = cursor.unwrap_or_default();
        if after.len() > MAX_KEY {
            return Ok(Err(store::Error::Other("the cursor is none that was given".into())));
        }
        let list = |ticket| Command::ListKeys { ticket, prefix: "", after: &after, most: PAGE };
        let reply = self.ask(&name, after.len(), list).await;
        let Reply::Keys(keys, more, charge) = reply else { return Ok(Err(other(reply))) };
        let bytes = charge.bytes() as usize;
        drop(charge);
        self.wasi.pass(bytes + MAX_KEY)?;
        let cursor = keys.last().filter(|_| more).cloned();
        Ok(Ok(store::KeyResponse { keys, cursor }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> Result<()> {
        self.wasi.take(bucket).map(drop)
    }
}

impl atomics::Host for State {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Result<Answer<i64>> {
        let name = self.name(&bucket)?;
        Ok(match self.ask(&name, key.len(), |ticket| Command::Increment { ticket, key: &key, delta }).await {
            Reply::Number(number) => Ok(number),
            reply => Err(other(reply)),
        })
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<Swapped> {
        let Cas { bucket, key, version, .. } = self.wasi.take(cas)?;
        let swap = |ticket| Command::Swap { ticket, key: &key, version, value: Some(&value) };
        Ok(match self.ask(&bucket, key.len() + value.len(), swap).await {
            Reply::Done => Ok(()),
            Reply::Conflict(version) => Err(atomics::CasError::CasFailed(self.cas(bucket, key, version)?)),
            reply => Err(atomics::CasError::StoreError(other(reply))),
        })
    }
}

impl atomics::HostCas for State {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Answer<Resource<Cas>>> {
        let name = self.name(&bucket)?;
        Ok(match self.version(&name, &key).await? {
            Ok(version) => Ok(self.cas(name, key, version)?),
            Err(error) => Err(error),
        })
    }

    /// The swap is of the value that is shown here.
    async fn current(&mut self, cas: Resource<Cas>) -> Result<Answer<Option<Vec<u8>>>> {
        let known = self.wasi.get(&cas)?;
        let (bucket, key) = (known.bucket.clone(), known.key.clone());
        Ok(match self.value(&bucket, &key).await? {
            Ok((version, value)) => {
                self.wasi.get(&cas)?.version = version;
                Ok(value)
            }
            Err(error) => Err(error),
        })
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> Result<()> {
        self.wasi.take(cas).map(drop)
    }
}

impl batch::Host for State {
    /// One by one: together they may be longer than an answer can be.
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Answer<Vec<Option<(String, Vec<u8>)>>>> {
        let name = self.name(&bucket)?;
        let (mut found, mut charges) = (Vec::new(), Vec::new());
        for key in keys {
            match self.ask(&name, key.len(), |ticket| Command::Get { ticket, key: &key }).await {
                Reply::Value(_, None) => found.push(None),
                Reply::Value(_, Some((value, charge))) => {
                    charges.push(charge);
                    found.push(Some((key, value)));
                }
                reply => return Ok(Err(other(reply))),
            }
        }
        let bytes = |pair: &(String, Vec<u8>)| pair.0.len() + pair.1.len();
        let bytes = found.iter().flatten().map(bytes).sum();
        drop(charges);
        self.wasi.pass(bytes)?;
        Ok(Ok(found))
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, key_values: Vec<(String, Vec<u8>)>) -> Result<Answer<()>> {
        let name = self.name(&bucket)?;
        let pairs: Vec<_> = key_values.iter().map(|(key, value)| Pair { key, value }).collect();
        let bytes: usize = pairs.iter().map(|pair| pair.key.len() + pair.value.len() + size_of::<Pair<'_>>()).sum();
        if let Err(why) = fits(bytes) {
            return Ok(Err(why));
        }
        let pairs = List::from(&pairs[..]);
        Ok(self.done(&name, bytes, |ticket| Command::SetMany { ticket, pairs }).await)
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<Answer<()>> {
        let name = self.name(&bucket)?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let bytes: usize = keys.iter().map(|key| key.len() + size_of::<&str>()).sum();
        if let Err(why) = fits(bytes) {
            return Ok(Err(why));
        }
        let keys = List::from(&keys[..]);
        Ok(self.done(&name, bytes, |ticket| Command::DeleteMany { ticket, keys }).await)
    }
}

/// All of it is done together, and so has to go in a batch.
fn fits(bytes: usize) -> Answer<()> {
    match bytes {
        0..=BATCH => Ok(()),
        _ => Err(store::Error::Other(["at most ", &BATCH.to_string(), " bytes are changed together"].concat())),
    }
}

/// Bytes of a batch that keys and values may have together.
const BATCH: usize = wit::MAX_BATCH - 1_024;
