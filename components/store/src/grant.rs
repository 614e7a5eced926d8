//! What an arrow lets its client do.

use wit::keyvalue::{Access, Attach, Error, MAX_KEY};

/// What `attach` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub bucket: String,
    pub reads: bool,
    pub writes: bool,
    pub prefix: String,
    /// bytes
    pub quota: Option<u64>,
}

impl Grant {
    /// # Errors
    /// It is malformed.
    pub fn read(attach: &[u8]) -> Result<Self, String> {
        let Attach { bucket, access, prefix, quota } =
            Attach::decode(attach).map_err(|_| "what its arrow grants is not understood")?;
        // a zero ends the bucket's name in the keys on the disk
        if bucket.is_empty() || bucket.contains('\0') {
            return Err(format!("its arrow grants the bucket {bucket:?}, which is no name"));
        }
        let (reads, writes) = match access {
            Access::Read => (true, false),
            Access::Write => (false, true),
            Access::ReadWrite => (true, true),
        };
        Ok(Grant { bucket: bucket.into(), reads, writes, prefix: prefix.into(), quota })
    }

    /// The key on the disk, if the client may use it.
    ///
    /// # Errors
    /// Why not, in words for the client.
    pub fn key(&self, key: &str) -> Result<Vec<u8>, (Error, String)> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err((Error::TooLarge, format!("a key has 1 to {MAX_KEY} bytes, and this one {}", key.len())));
        }
        if !key.starts_with(&self.prefix) {
            return Err((Error::Denied, format!("the arrow grants keys that begin with {:?}", self.prefix)));
        }
        Ok(self.on_disk(key))
    }

    /// What keys on the disk begin with that begin with `prefix` and may be used.
    ///
    /// # Errors
    /// There are none, in words for the client.
    pub fn prefix(&self, prefix: &str) -> Result<Vec<u8>, (Error, String)> {
        match prefix {
            _ if prefix.len() > MAX_KEY => {
                Err((Error::TooLarge, format!("a key has at most {MAX_KEY} bytes, and this prefix {}", prefix.len())))
            }
            _ if self.prefix.starts_with(prefix) => Ok(self.on_disk(&self.prefix)),
            _ if prefix.starts_with(&self.prefix) => Ok(self.on_disk(prefix)),
            _ => Err((Error::Denied, format!("the arrow grants keys that begin with {:?}", self.prefix))),
        }
    }

    /// What keys on the disk follow that follow another.
    pub fn after(&self, key: &str) -> Vec<u8> {
        self.on_disk(key)
    }

    fn on_disk(&self, key: &str) -> Vec<u8> {
        [self.bucket.as_bytes(), b"\0", key.as_bytes()].concat()
    }

    /// The bytes of a key on the disk that are the bucket's.
    pub fn bucket_length(&self) -> usize {
        self.bucket.len() + 1
    }

    /// # Errors
    /// In words for the client.
    pub fn may(&self, reads: bool, writes: bool) -> Result<(), (Error, String)> {
        match (reads && !self.reads, writes && !self.writes) {
            (true, _) => Err((Error::Denied, "the arrow grants no reading".into())),
            (_, true) => Err((Error::Denied, "the arrow grants no writing".into())),
            _ => Ok(()),
        }
    }
}
