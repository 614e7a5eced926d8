//! An image on its way to the node, blob by blob and part by part.
//!
//! What is brought is in the node's memory, not in that of the box that brings it, and it is bounded: by the grant of
//! the box's arrow, and by half of what is free. It counts as the node's `uploads` from the first part on, and no more
//! when the image is deployed, or the upload is dropped.
//!
//! If the image is more than that, and the node keeps its systems on a disk, its files go there as they come, each part of them
//! held against its hash, into a slot that nothing else is written to meanwhile. What the running image has of them is
//! copied from there. Only a part of a file is in memory then.

use crate::{
    boxes::{Budget, Charge},
    image::{Assembly, Hash, Image, ImageError, Pieces, PublicKey},
    plan::Plan,
    slots::{Space, Store},
};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

/// No image may be longer, whatever the node has of it.
pub(super) const MAX_IMAGE: u64 = 4 << 30;

/// The most hashes that `lacks` yields at once.
const MAX_HASHES: usize = 1_024;

pub struct Upload {
    assembly: Assembly<'static>,
    /// what has come, and what there is memory for
    charge: Charge,
    pub(super) bound: Bound,
    part: Option<Part>,
    disk: Option<OnDisk>,
}

/// An upload to a disk.
struct OnDisk {
    store: Arc<Store>,
    /// what it is written to, from the first file on
    space: Option<Space>,
    /// what has come, and where it belongs
    writes: Vec<(Vec<u64>, Vec<u8>)>,
    /// Why it cannot go on.
    broken: Option<String>,
}

/// Bytes of a file that are in memory at a time: a part of it, and the blocks around that while it is written.
const IN_MEMORY: u64 = 256 << 10;

/// Bytes that are copied before others have their turn, and whoever asked hears of it.
const COPIED: u64 = 8 << 20;

/// What an upload lacks.
pub enum Lacks {
    /// Hashes of 32 bytes; there may be more when these are there.
    Hashes(Vec<u8>),
    /// Nothing that is known; so many bytes have yet to be copied from what runs.
    Copies(u64),
}

/// An image whose files are on the disk.
pub struct Complete {
    pub space: Space,
    pub manifest: Hash,
    pub image: Image<'static>,
}

/// The most bytes that may be brought, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `upload` of the arrow
    Granted(u64),
    /// half of the memory that is free
    Free(u64),
}

/// A blob of which a part is there.
struct Part {
    hash: Hash,
    length: u64,
    /// How many of its bytes came before those that are here.
    before: u64,
    bytes: Vec<u8>,
    hashing: Pieces,
}

impl Upload {
    /// Begins to bring what an image lacks.
    pub(super) fn begin(assembly: Assembly<'static>, bound: Bound, uploads: &Arc<Budget>) -> Result<Self, String> {
        Self::begin_on(assembly, bound, uploads, None)
    }

    /// The same, with the disk that the files of the assembly belong on.
    pub(crate) fn begin_on(
        assembly: Assembly<'static>,
        bound: Bound,
        uploads: &Arc<Budget>,
        store: Option<Arc<Store>>,
    ) -> Result<Self, String> {
        let disk = store.map(|store| OnDisk { store, space: None, writes: Vec::new(), broken: None });
        let held = if disk.is_some() { IN_MEMORY } else { 0 };
        let mut upload = Upload { assembly, charge: Charge::none(uploads), bound, part: None, disk };
        // the manifest is here
        upload.take(upload.assembly.manifest_bytes() + held)?;
        upload.fits(upload.assembly.missing_bytes())?;
        Ok(upload)
    }

    fn fits(&self, bytes: u64) -> Result<(), String> {
        let needs = self.charge.bytes().saturating_add(bytes);
        let (most, what) = match self.bound {
            Bound::Granted(most) => (most, "the arrow to `pearwood:control/node` grants an `upload` of"),
            Bound::Free(most) => (most, "half of the node's free memory is"),
        };
        if needs <= most {
            return Ok(());
        }
        Err(format!("the image is too large: {} KiB are to be brought, and {what} {} KiB", kib(needs), most >> 10))
    }

    fn take(&mut self, bytes: u64) -> Result<(), String> {
        self.fits(bytes)?;
        let all = usize::try_from(self.charge.bytes() + bytes).map_err(|_| "the image is too large".to_string())?;
        // nothing else bounds the node's count of uploads
        if self.charge.resize(all) { Ok(()) } else { Err("the image is too large".into()) }
    }

    /// Bytes that are lacking, as far as is known.
    pub fn missing_bytes(&self) -> u64 {
        self.assembly.missing_bytes()
    }

    /// The hashes of some blobs that are lacking.
    pub fn lacks(&self) -> Vec<u8> {
        self.assembly.missing().take(MAX_HASHES).flat_map(|hash| hash.0).collect()
    }

    /// The same, or how much has yet to be copied.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub fn asks(&self) -> Result<Lacks, String> {
        self.not_broken()?;
        match (self.assembly.missing().len(), self.assembly.bytes_to_copy()) {
            (0, copies @ 1..) => Ok(Lacks::Copies(copies)),
            _ => Ok(Lacks::Hashes(self.lacks())),
        }
    }

    fn not_broken(&self) -> Result<(), String> {
        match self.disk.as_ref().and_then(|disk| disk.broken.clone()) {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    /// It cannot go on.
    pub fn breaks(&mut self, why: String) {
        if let Some(disk) = &mut self.disk {
            disk.broken.get_or_insert(why);
        }
    }

    /// Does what there is to do on the disk: writes what has come, and copies some of what the running image has.
    pub async fn work(&mut self) {
        let Some(disk) = &mut self.disk else { return };
        if disk.broken.is_none()
            && let Err(why) = disk.work(&mut self.assembly).await
        {
            disk.broken = Some(why);
        }
    }

    /// The plan of the system that is brought. None: it is still lacking.
    pub fn plan(&self) -> Result<Option<Plan>, String> {
        self.assembly.plan().map_err(|error| error.to_string())
    }

    /// Takes in a part of a blob, which costs as much for the last as for the others.
    pub fn put(&mut self, hash: &[u8], length: u64, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let hash = Hash(hash.try_into().map_err(|_| format!("a hash of {} bytes", hash.len()))?);
        self.not_broken()?;
        if offset == 0 {
            self.first_part(hash, length)?;
        }
        let fits = |part: &&mut Part| {
            (part.hash, part.length, part.before + part.bytes.len() as u64) == (hash, length, offset)
        };
        let Some(part) = self.part.as_mut().filter(fits) else {
            return Err(format!("blob {hash}: what is at {offset} does not follow what came before"));
        };
        if bytes.len() as u64 > part.length - offset {
            return Err(format!("blob {hash} is longer than the {length} bytes it was said to have"));
        }
        if let Some(disk) = self.disk.as_mut().filter(|_| self.assembly.place(hash, 0).is_some()) {
            let done = disk.put(&mut self.assembly, part, bytes);
            if !matches!(done, Ok(false)) {
                self.part = None;
            }
            return done.map(drop);
        }
        part.bytes.extend_from_slice(bytes);
        part.hashing.advance(&part.bytes);
        if part.bytes.len() as u64 == part.length
            && let Some(Part { hashing, bytes, .. }) = self.part.take()
        {
            let found = hashing.finish(&bytes);
            if let Err(error) = self.assembly.add_hashed(found, bytes) {
                self.give(length);
                return Err(error.to_string());
            }
        }
        Ok(())
    }

    fn give(&mut self, bytes: u64) {
        let left = self.charge.bytes().saturating_sub(bytes);
        // less always goes
        let _ = self.charge.resize(usize::try_from(left).unwrap_or_default());
    }

    fn first_part(&mut self, hash: Hash, length: u64) -> Result<(), String> {
        if let Some(before) = self.part.take()
            && !self.is_file(before.hash)
        {
            self.give(before.length);
        }
        let is_file = self.is_file(hash);
        match self.assembly.missing_length(hash) {
            None => return Err(format!("blob {hash} is none that the image lacks")),
            Some(wanted) if wanted != length => {
                return Err(format!("blob {hash} has {wanted} bytes in this image, not {length}"));
            }
            Some(_) if is_file => {
                self.part = Some(Part { hash, length, before: 0, bytes: Vec::new(), hashing: Pieces::default() });
                return Ok(());
            }
            Some(_) => self.take(length)?,
        }
        let mut bytes = Vec::new();
        let capacity = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes.try_reserve_exact(capacity).is_err() {
            self.give(length);
            return Err(format!("blob {hash}: the node has no memory for its {} KiB", kib(length)));
        }
        self.part = Some(Part { hash, length, before: 0, bytes, hashing: Pieces::default() });
        Ok(())
    }

    /// Whether it goes to the disk.
    fn is_file(&self, hash: Hash) -> bool {
        self.disk.is_some() && self.assembly.place(hash, 0).is_some()
    }

    /// Nothing is lacking any more.
    pub(super) fn check_complete(&self) -> Result<(), String> {
        self.not_broken()?;
        let copies = self.assembly.bytes_to_copy();
        if copies > 0 {
            return Err(format!("{} KiB of what runs have yet to be copied", kib(copies)));
        }
        match self.assembly.missing().len() {
            0 => Ok(()),
            missing => Err(ImageError::Incomplete { missing }.to_string()),
        }
    }

    /// The image, if nothing is lacking.
    pub(super) fn finish(self) -> Result<Image<'static>, String> {
        self.assembly.finish().map_err(|error| error.to_string())
    }
}

impl Upload {
    /// Whether its files are on a disk.
    pub(super) fn is_on_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Writes what is not a file, too. `trusted`: whose images may be deployed.
    pub(crate) async fn complete(self, trusted: &[PublicKey]) -> Result<Complete, String> {
        self.check_complete()?;
        let Some(mut disk) = self.disk else { return Err("the image is in memory".into()) };
        disk.work_all(&self.assembly).await?;
        let Some(space) = disk.space else { return Err("nothing was written".into()) };
        let hasher = self.assembly.hasher();
        let (manifest, head) = self.assembly.finish_head().map_err(|error| error.to_string())?;
        for (index, part) in head.chunks(IN_MEMORY as usize).enumerate() {
            space.write(index as u64 * IN_MEMORY, part).await.map_err(|error| error.to_string())?;
        }
        let image = Image::open_head(head, space.source().clone(), trusted).map_err(|error| error.to_string())?;
        Ok(Complete { space, manifest, image: image.with_hasher(hasher) })
    }
}

impl OnDisk {
    /// Takes in bytes of a file. True: it is complete.
    fn put(&mut self, assembly: &mut Assembly<'static>, part: &mut Part, mut bytes: &[u8]) -> Result<bool, String> {
        loop {
            let (name, length) = (part.hash, part.length);
            let place = assembly.place(name, part.before).ok_or("the image does not say where it belongs")?;
            let (now, later) = bytes.split_at(bytes.len().min(place.length - part.bytes.len()));
            part.bytes.try_reserve_exact(place.length - part.bytes.len()).map_err(|_| NO_MEMORY)?;
            part.bytes.extend_from_slice(now);
            bytes = later;
            if part.bytes.len() < place.length {
                return Ok(false);
            }
            if assembly.hasher()(&part.bytes) != place.hash {
                return Err(format!("blob {name}: what is at {} is not what its image says", part.before));
            }
            part.before += place.length as u64;
            self.writes.push((place.places, core::mem::take(&mut part.bytes)));
            if part.before == length {
                assembly.written(name);
                return Ok(true);
            }
        }
    }

    async fn space(&mut self, length: u64) -> Result<&Space, String> {
        if self.space.is_none() {
            self.space = Some(self.store.space(length).await.map_err(|error| error.to_string())?);
        }
        self.space.as_ref().ok_or_else(String::new)
    }

    /// Writes what has come.
    async fn write(&mut self, assembly: &Assembly<'static>) -> Result<(), String> {
        for (places, bytes) in core::mem::take(&mut self.writes) {
            let space = self.space(assembly.length()).await?;
            for place in places {
                space.write(place, &bytes).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    async fn work(&mut self, assembly: &mut Assembly<'static>) -> Result<(), String> {
        self.write(assembly).await?;
        let mut room = COPIED;
        while room > 0
            && let Some((hash, asset)) = assembly.to_copy()
        {
            let (size, mut at, mut stands) = (asset.size(), 0, true);
            while stands && at < size {
                let place = assembly.place(hash, at).ok_or("the image does not say where it belongs")?;
                let read = match asset.piece(at) {
                    Some(piece) => piece.verified(piece.read().await).ok(),
                    None => match asset.read(at, place.length as u64) {
                        Ok(read) => Some(copied(read)?),
                        Err(_) => None,
                    },
                };
                at += place.length as u64;
                // what was signed by another hash of the whole may be cut into other parts
                let read = read.filter(|read| assembly.hasher()(read) == place.hash);
                stands = read.is_some();
                self.writes.extend(read.map(|read| (place.places, read)));
                self.write(assembly).await?;
                crate::executor::yield_now().await;
            }
            match stands {
                true => assembly.written(hash),
                // then it is brought
                false => assembly.cannot_copy(hash),
            }
            room = room.saturating_sub(size);
        }
        Ok(())
    }

    /// Writes all that is left, and what belongs to several places.
    async fn work_all(&mut self, assembly: &Assembly<'static>) -> Result<(), String> {
        self.write(assembly).await?;
        self.space(assembly.length()).await?;
        for (blob, places) in assembly.doubles() {
            self.writes.push((places.to_vec(), copied(blob)?));
            self.write(assembly).await?;
        }
        Ok(())
    }
}

const NO_MEMORY: &str = "the node has no memory for a part of a file";

fn copied(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| NO_MEMORY)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

fn kib(bytes: u64) -> u64 {
    bytes.div_ceil(1_024)
}
