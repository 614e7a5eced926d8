//! What is kept on a disk: two copies, sealed.
//!
//! ```text
//!   0         the first copy
//!   1 MiB     the second
//!   2 MiB     the end; more of the disk is not touched
//! ```
//!
//! A copy, all numbers little endian:
//!
//! ```text
//!   0    8    magic
//!   8    4    version
//!  12    4    n, bytes that are sealed
//!  16    8    generation: grows with each change
//!  24   24    nonce
//!  48   32    SHA-256 of what is before and of what is sealed
//!  80    n    sealed by XChaCha20-Poly1305, with the 48 bytes at 0 as associated data
//! ```
//!
//! A change is written to the copy that is not as good as the other and flushed, and then to the other. Whenever power fails, one of them
//! is whole: what was there before the change, or the change. After each change both are the same, so when one is damaged nothing is
//! lost. The checksum tells what is damaged from what is sealed under another secret. That somebody has put back the copies of an earlier
//! day is not noticed.

use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce, aead::AeadInOut};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes between the beginnings of the copies: a multiple of each size of a sector.
const PLACE: u64 = 1 << 20;
const COPIES: u64 = 2;
const MAGIC: &[u8; 8] = b"PEARKEYS";
const VERSION: u32 = 1;
const NONCE: usize = 24;
const CHECKSUM: usize = 48;
const HEAD: usize = 80;
const TAG: usize = 16;
/// The most bytes that can be kept.
pub const MOST: usize = PLACE as usize - HEAD - TAG;

/// The disk. Errors are in words.
pub trait Disk {
    /// Bytes of a sector: a power of two from 512 to 4,096.
    fn sector_size(&self) -> usize;
    fn sectors(&self) -> u64;
    fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, String>;
    /// Whole sectors.
    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), String>;
    /// Returns when all that was written is durable.
    fn flush(&mut self) -> Result<(), String>;
}

/// Fills a buffer with random bytes.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), String>;

/// What was kept.
pub type Kept = Zeroizing<Vec<u8>>;

/// What is on a disk.
pub struct Store<D> {
    disk: D,
    cipher: XChaCha20Poly1305,
    /// Nothing was ever kept here, or it is given up.
    is_new: bool,
    /// the last one that was written, whole or not
    generation: u64,
    /// the copy that is to be written first, since it is not as good as the other
    stale: u64,
}

impl<D> fmt::Debug for Store<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}", self.generation)
    }
}

/// A copy as it was found.
enum Copy {
    /// Its first sector has nothing but zeros.
    Blank,
    Whole {
        generation: u64,
        bytes: Vec<u8>,
    },
    Damaged(String),
    /// The disk has failed to read it, which says nothing of what it holds.
    Failed(String),
    Unknown(u32),
}

impl<D: Disk> Store<D> {
    /// Opens what is on a disk. None: nothing was ever kept there. What is worth a line of the log is added to `told`. `discard`: the
    /// operator's word for what cannot be read, which is given up then.
    ///
    /// # Errors
    /// There is something, and it cannot be read: what to do about it.
    pub fn open(
        mut disk: D,
        secret: &[u8; 32],
        discard: Option<&str>,
        told: &mut Vec<String>,
    ) -> Result<(Self, Option<Kept>), String> {
        let (has, needs) = (disk.sectors().saturating_mul(disk.sector_size() as u64), COPIES * PLACE);
        if has < needs {
            return Err(format!("the disk has {} KiB, and keys need {} KiB", has >> 10, needs >> 10));
        }
        let mut id = Sha256::new_with_prefix(Sha256::digest(secret));
        let copies = [0, 1].map(|copy| read(&mut disk, copy, &mut id));
        let mut store =
            Store { disk, cipher: XChaCha20Poly1305::new(secret.into()), is_new: true, generation: 0, stale: 0 };
        if copies.iter().all(|copy| matches!(copy, Copy::Blank)) && store.is_blank()? {
            return Ok((store, None));
        }
        if let Some(version) = copies.iter().find_map(|copy| if let Copy::Unknown(it) = copy { Some(it) } else { None })
        {
            return Err(format!("the disk is of version {version}: a newer box of keys has written it"));
        }
        let generation = |copy: &Copy| if let Copy::Whole { generation, .. } = copy { *generation } else { 0 };
        let newest = usize::from(generation(&copies[1]) > generation(&copies[0]));
        let mut whys = Vec::new();
        for copy in [newest, 1 - newest] {
            let (name, other) = (["first", "second"][copy], 1 - copy);
            match &copies[copy] {
                Copy::Blank | Copy::Unknown(_) => whys.push(format!("the {name} copy is not there")),
                Copy::Damaged(why) => whys.push(format!("the {name} copy is damaged ({why})")),
                Copy::Failed(why) => whys.push(format!("the {name} copy cannot be read ({why})")),
                Copy::Whole { bytes, generation } => match store.unseal(bytes) {
                    Some(state) => {
                        // that of no other copy, since anybody can make one up that does not open
                        (store.is_new, store.generation, store.stale) = (false, *generation, other as u64);
                        let name = ["first", "second"][other];
                        match &copies[other] {
                            Copy::Whole { bytes: same, .. } if same == bytes => store.stale = 0,
                            // it may be the newer one
                            Copy::Failed(why) => {
                                whys = vec![format!("the {name} copy cannot be read ({why}), and is left as it is")];
                            }
                            _ => {
                                whys.push(format!("the {name} copy on the disk was older, or not whole"));
                                let bytes = bytes.clone();
                                match store.write(other as u64, &bytes) {
                                    Ok(()) => whys.push("it is put right".into()),
                                    Err(why) => whys.push(format!("it cannot be put right: {why}")),
                                }
                            }
                        }
                        told.extend((!whys.is_empty()).then(|| whys.join(", ")));
                        return Ok((store, Some(state).filter(|state| !state.is_empty())));
                    }
                    None => whys.push(format!("the {name} copy is whole, and sealed under another secret")),
                },
            }
        }
        let whys = whys.join(", ");
        if copies.iter().any(|copy| matches!(copy, Copy::Failed(_))) {
            return Err(format!("the disk fails, and is left as it is, since what it holds may be good: {whys}"));
        }
        // The operator's word is for what is there, and for why it cannot be read: with another secret, or after another fault, it may
        // be worth something.
        id.update(&whys);
        let id: String = id.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        if discard == Some(id.as_str()) {
            told.push("what the disk held is given up, as the setting `discard` says: all keys are made anew".into());
            return Ok((store, None));
        }
        Err(format!(
            "what the disk holds cannot be read, and is left as it is: {whys}. Keys open with the secret of the node (`secret=` of the kernel, or \
             that of `pearwood up`) and the name of the box with which they were kept, and a backup of the disk can be put back. To give \
             up what is there and have new keys made, set `config.discard = \"{id}\"`"
        ))
    }

    /// Keeps this in place of what was kept before. When it returns, it lasts.
    ///
    /// # Errors
    /// There is no room, no randomness, or the disk has failed: what was kept before still is.
    pub fn keep(&mut self, state: &[u8], random: Random<'_>, told: &mut Vec<String>) -> Result<(), String> {
        if state.len() > MOST {
            return Err(format!("there is no room: keys and certificates have {} bytes, and {MOST} fit", state.len()));
        }
        if self.is_new {
            // Of one sector each, which is written or is not: a disk of which one does not know if it has ever been written does not
            // come about.
            let nothing = self.seal(&[], random)?;
            self.write(0, &nothing)?;
            self.write(1, &nothing)?;
            self.is_new = false;
        }
        // also when it fails, so that no two changes have the same number
        self.generation = self.generation.checked_add(1).ok_or("the disk has seen all changes that it can")?;
        let bytes = self.seal(state, random)?;
        let (first, second) = (self.stale, 1 - self.stale);
        self.write(first, &bytes)?;
        if let Err(why) = self.write(second, &bytes) {
            self.stale = second;
            told.push(format!("only one of two copies on the disk is written: {why}"));
        }
        Ok(())
    }

    fn seal(&self, state: &[u8], random: Random<'_>) -> Result<Vec<u8>, String> {
        let sealed = state.len() + TAG;
        let sector = self.disk.sector_size();
        let mut bytes = vec![0; (HEAD + sealed).next_multiple_of(sector)];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(sealed as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        bytes[24..CHECKSUM].copy_from_slice(&nonce);
        let (head, body) = bytes.split_at_mut(HEAD);
        let (plain, rest) = body.split_at_mut(state.len());
        plain.copy_from_slice(state);
        let tag = self
            .cipher
            .encrypt_inout_detached(&XNonce::from(nonce), &head[..CHECKSUM], plain.into())
            .map_err(|_| "it cannot be sealed")?;
        rest[..TAG].copy_from_slice(&tag);
        let sum = checksum(&bytes[..CHECKSUM], &bytes[HEAD..HEAD + sealed]);
        bytes[CHECKSUM..HEAD].copy_from_slice(&sum);
        Ok(bytes)
    }

    /// What a whole copy has, if it was sealed under this secret.
    fn unseal(&self, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (head, body) = bytes.split_at_checked(HEAD)?;
        let sealed = body.get(..u32::from_le_bytes(head[12..16].try_into().ok()?) as usize)?;
        let (sealed, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        let mut state = Zeroizing::new(sealed.to_vec());
        let nonce: [u8; NONCE] = head[24..CHECKSUM].try_into().ok()?;
        let tag: [u8; TAG] = tag.try_into().ok()?;
        self.cipher
            .decrypt_inout_detached(&XNonce::from(nonce), &head[..CHECKSUM], (&mut state[..]).into(), &Tag::from(tag))
            .ok()
            .map(|()| state)
    }

    fn write(&mut self, copy: u64, bytes: &[u8]) -> Result<(), String> {
        let first = copy * PLACE / self.disk.sector_size() as u64;
        self.disk.write(first, bytes)?;
        self.disk.flush()
    }

    /// Whether both places have nothing but zeros: what something else has on a disk is not written over.
    fn is_blank(&mut self) -> Result<bool, String> {
        /// Read at once.
        const PIECE: u64 = 64 << 10;
        let size = self.disk.sector_size() as u64;
        for at in (0..COPIES * PLACE).step_by(PIECE as usize) {
            if self.disk.read(at / size, PIECE / size)?.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// `id` gets the first sector, which is another one after each change.
fn read(disk: &mut impl Disk, copy: u64, id: &mut Sha256) -> Copy {
    let size = disk.sector_size() as u64;
    let first = copy * PLACE / size;
    let mut bytes = match disk.read(first, 1) {
        Ok(bytes) => bytes,
        Err(why) => return Copy::Failed(why),
    };
    id.update(&bytes);
    if bytes.iter().all(|byte| *byte == 0) {
        return Copy::Blank;
    }
    let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|byte| bytes[at + byte]));
    if !bytes.starts_with(MAGIC) {
        return Copy::Damaged("it is none".into());
    }
    let (version, length) = (word(8), HEAD as u64 + u64::from(word(12)));
    let generation = u64::from_le_bytes(core::array::from_fn(|byte| bytes[16 + byte]));
    if length > PLACE {
        return Copy::Damaged("its length is wrong".into());
    }
    if let Some(more) = length.div_ceil(size).checked_sub(1).filter(|more| *more > 0) {
        match disk.read(first + 1, more) {
            Ok(rest) => bytes.extend_from_slice(&rest),
            Err(why) => return Copy::Failed(why),
        }
    }
    if checksum(&bytes[..CHECKSUM], &bytes[HEAD..length as usize])[..] != bytes[CHECKSUM..HEAD] {
        return Copy::Damaged("its checksum is wrong".into());
    }
    if version != VERSION {
        return Copy::Unknown(version);
    }
    Copy::Whole { generation, bytes }
}

fn checksum(head: &[u8], sealed: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(head).chain_update(sealed).finalize().into()
}
