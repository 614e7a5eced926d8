//! The disks of a node, and which of them has what.

use super::parted::{Found, Parted};
use super::table::{Kind, Layout};
use super::turn::Turns;
use super::{MIB, Made, OVERHEAD, Want, size};
use crate::{
    executor::Bell,
    plan::{Plan, VolumePlan},
    platform::{Disk, DiskError, Extent, Platform},
    slots::{SlotError, Store},
};
use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use gpt_disk_types::Guid;
use spin::Mutex;

/// A node has no more disks than these.
const MAX_DISKS: usize = 64;

/// What is known of a node's disks. The platform has one.
#[derive(Default)]
pub struct Volumes {
    disks: Mutex<BTreeMap<String, Known>>,
    /// to look at a disk, or make its table
    turns: Mutex<BTreeMap<String, Arc<Turns>>>,
    /// the disks of which boxes get sectors by their numbers, and whether there was a table before they did
    raw: Mutex<BTreeMap<String, bool>>,
    /// by disk and volume
    health: Mutex<BTreeMap<(String, String), Arc<Health>>>,
    deleted: AtomicU64,
    bell: Bell,
}

#[derive(Clone)]
enum Known {
    Table(Arc<Parted>),
    Blank,
    /// slots for systems at its beginning, and no table
    Slots,
    /// what it holds
    Other(String),
    /// why it cannot be read
    Failed(String),
    /// Boxes get its sectors by their numbers.
    Raw,
}

/// Requests of boxes that a disk failed to do, since the node's boot.
#[derive(Debug, Default)]
pub struct Health {
    pub reads: AtomicU64,
    pub writes: AtomicU64,
}

/// A volume as the disks have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub disk: String,
    pub kind: Kind,
    pub name: String,
    pub bytes: u64,
}

impl Volumes {
    /// What is on a disk. One with a table is read once.
    async fn look(&self, platform: &dyn Platform, device: &str) -> Result<Known, String> {
        if let Some(table) = self.table(device) {
            return Ok(Known::Table(table));
        }
        let disk = platform.disk(device).ok_or_else(|| format!("this machine has no disk `{device}`"))?;
        if self.raw.lock().contains_key(device) {
            self.disks.lock().insert(device.into(), Known::Raw);
            return Ok(Known::Raw);
        }
        let turns = self.turns_of(device);
        let _turn = turns.take().await;
        if let Some(table) = self.table(device) {
            return Ok(Known::Table(table));
        }
        let known = match Parted::open(disk).await {
            Ok(Found::Table(parted)) => {
                // it can be read whether or not that goes
                let _ = parted.settle().await;
                Known::Table(Arc::new(parted))
            }
            Ok(Found::Blank) => Known::Blank,
            Ok(Found::Slots(_)) => Known::Slots,
            Ok(Found::Other(what)) => Known::Other(what),
            Err(error) => Known::Failed(error.to_string()),
        };
        self.disks.lock().insert(device.into(), known.clone());
        Ok(known)
    }

    fn table(&self, device: &str) -> Option<Arc<Parted>> {
        match self.disks.lock().get(device) {
            Some(Known::Table(table)) => Some(table.clone()),
            _ => None,
        }
    }

    fn turns_of(&self, device: &str) -> Arc<Turns> {
        self.turns.lock().entry(device.into()).or_default().clone()
    }

    pub async fn look_at_all(&self, platform: &dyn Platform) {
        for number in 0..MAX_DISKS {
            // whoever needs it is told
            if self.look(platform, &format!("disk{number}")).await.is_err() {
                return;
            }
        }
    }

    /// The disks with a table.
    pub fn tables(&self) -> Vec<(String, Arc<Parted>)> {
        let disks = self.disks.lock();
        let tables = disks.iter().filter_map(|(device, known)| match known {
            Known::Table(table) => Some((device.clone(), table.clone())),
            _ => None,
        });
        tables.collect()
    }

    /// The disks, and what is said of each: of one with a table, how many bytes are free.
    pub fn disks(&self) -> Vec<(String, Result<u64, String>)> {
        let disks = self.disks.lock();
        let said = disks.iter().map(|(device, known)| {
            let said = match known {
                Known::Table(table) => Ok(table.room()),
                Known::Blank => Err("empty".into()),
                Known::Slots => Err(EARLIER.into()),
                Known::Other(what) => Err(what.clone()),
                Known::Failed(why) => Err(unreadable(why)),
                Known::Raw => Err(RAW.into()),
            };
            (device.clone(), said)
        });
        said.collect()
    }

    /// All that is on disks with a table.
    pub fn list(&self) -> Vec<Listed> {
        let tables = self.tables();
        let of = |(disk, table): &(String, Arc<Parted>)| {
            let listed = |(kind, name, bytes)| Listed { disk: disk.clone(), kind, name, bytes };
            table.list().into_iter().map(listed).collect::<Vec<_>>()
        };
        tables.iter().flat_map(of).collect()
    }

    pub fn health(&self, disk: &str, name: &str) -> Arc<Health> {
        self.health.lock().entry((disk.into(), name.into())).or_default().clone()
    }

    /// The disk that a volume is on: the one that is named if it is there, and else the only one that has it.
    ///
    /// # Errors
    /// Several others have one of that name.
    fn disk_of(&self, name: &str, named: Option<&str>) -> Result<Option<(String, Arc<Parted>)>, String> {
        let mut having = self.tables();
        having.retain(|(_, table)| table.find(Kind::Volume, name, true).is_some());
        if let Some(at) = having.iter().position(|(device, _)| Some(device.as_str()) == named) {
            return Ok(Some(having.swap_remove(at)));
        }
        let devices: Vec<&str> = having.iter().map(|(device, _)| device.as_str()).collect();
        match devices[..] {
            [] | [_] => Ok(having.pop()),
            _ => Err(format!(
                "there is a volume `{name}` on each of {}; which is meant? (its `disk`, or --disk)",
                devices.join(", ")
            )),
        }
    }

    /// What a box gets of a volume that the plan names. It is there if it was [provided](Volumes::provide).
    pub fn extent(&self, volume: &VolumePlan, read_only: bool) -> Result<(Extent, Arc<Health>), String> {
        let VolumePlan { name, disk, .. } = volume;
        let found = self.disk_of(name, Some(disk))?;
        let place = found.and_then(|(device, table)| Some((device, table.find(Kind::Volume, name, read_only)?)));
        let (device, place) = place.ok_or_else(|| format!("there is no volume `{name}` on `{disk}`"))?;
        Ok((place.extent, self.health(&device, name)))
    }

    /// Sees to it that all is there which a plan names, as large as it says: all of it, or nothing is changed. One that is on
    /// another disk than the plan says is taken where it is. `before`: refused if the plan would have one smaller than that does.
    /// `tell` hears what was done.
    ///
    /// # Errors
    /// Why not, naming the volume or the box.
    pub async fn provide(
        &self,
        platform: &dyn Platform,
        plan: &Plan,
        before: Option<&Plan>,
        tell: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), String> {
        if plan.volumes.is_empty() {
            return Ok(());
        }
        self.look_at_all(platform).await;
        let mut wants: BTreeMap<String, Vec<Want<'_>>> = BTreeMap::new();
        for volume in &plan.volumes {
            let VolumePlan { name, disk, size: bytes } = volume;
            let at = match self.disk_of(name, Some(disk))? {
                Some((at, table)) => {
                    let is = table.find(Kind::Volume, name, true).map_or(0, |place| place.bytes);
                    // what has grown for a system that failed is none the worse for those that it is too large for
                    let was = before.and_then(|plan| plan.volumes.iter().find(|it| it.name == *name));
                    if is > *bytes && was.is_some_and(|was| was.size > *bytes) {
                        return Err(format!(
                            "volume `{name}` has {} on `{at}`, and none is made smaller: write size = \"{}\"",
                            size(is),
                            size(is)
                        ));
                    }
                    if at != *disk {
                        tell(format!(
                            "volume `{name}` is on `{at}`, and not on `{disk}` as the system says; it is used there"
                        ));
                    }
                    at
                }
                None => match self.failed() {
                    Some((at, why)) => {
                        return Err(format!(
                            "volume `{name}` is on no disk that can be read, and may be on `{at}`: {}; none is made as long as that is so",
                            unreadable(&why)
                        ));
                    }
                    None => disk.clone(),
                },
            };
            wants.entry(at).or_default().push(Want { kind: Kind::Volume, name, bytes: *bytes });
        }
        // nothing is written before it is known that all of it goes
        for really in [false, true] {
            for (device, wants) in &wants {
                for made in self.make(platform, device, wants, really).await? {
                    if really {
                        tell(format!("{device}: {made}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// A disk that cannot be read, and why.
    fn failed(&self) -> Option<(String, String)> {
        self.disks.lock().iter().find_map(|(device, known)| match known {
            Known::Failed(why) => Some((device.clone(), why.clone())),
            _ => None,
        })
    }

    async fn make(
        &self,
        platform: &dyn Platform,
        device: &str,
        wants: &[Want<'_>],
        really: bool,
    ) -> Result<Vec<Made>, String> {
        let first = wants.first().map(ToString::to_string).unwrap_or_default();
        let failed = |why: String| format!("{first} cannot be made on `{device}`: {why}");
        let table = match self.look(platform, device).await.map_err(|why| format!("{first}: {why}"))? {
            Known::Table(table) => table,
            Known::Slots => return Err(failed(EARLIER_HELP.into())),
            Known::Other(what) => return Err(failed(left_alone(&what))),
            Known::Failed(why) => return Err(failed(unreadable(&why))),
            Known::Raw => return Err(failed(format!("{RAW}; deploy a system without such arrows first"))),
            Known::Blank => {
                let disk = platform.disk(device).ok_or_else(|| failed("the disk is gone".into()))?;
                fits(disk.as_ref(), wants).map_err(&failed)?;
                if !really {
                    return Ok(Vec::new());
                }
                self.format(platform, device, disk).await.map_err(failed)?
            }
        };
        let made = table.provide(wants, really, &mut || guid(&|bytes| platform.fill_random(bytes))).await;
        made.map_err(|why| format!("{device}: {why}"))
    }

    async fn format(&self, platform: &dyn Platform, device: &str, disk: Arc<dyn Disk>) -> Result<Arc<Parted>, String> {
        let turns = self.turns_of(device);
        let _turn = turns.take().await;
        if let Some(table) = self.table(device) {
            return Ok(table);
        }
        let parted = Parted::format(disk, guid(&|bytes| platform.fill_random(bytes))).await;
        let table = Arc::new(parted.map_err(|error| error.to_string())?);
        self.disks.lock().insert(device.into(), Known::Table(table.clone()));
        Ok(table)
    }

    /// Boxes of these plans get sectors of disks by their numbers, and others no more: what such a disk holds is theirs, whatever it
    /// looks like, unless it had a table before: see [`refused`](Volumes::refused).
    pub async fn take_raw(&self, platform: &dyn Platform, plans: &[&Plan]) {
        let places = plans.iter().flat_map(|plan| (0..plan.boxes.len()).map(move |place| (plan, place)));
        let devices = places.flat_map(|(plan, place)| plan.devices_of(place));
        let devices: Vec<&str> = devices.filter(|(_, grant)| grant.is_some()).map(|(device, _)| device).collect();
        let mut raw = BTreeMap::new();
        for device in devices {
            let known = self.raw.lock().get(device).copied();
            let has_table = match (known, platform.disk(device)) {
                (Some(known), _) => known,
                // nothing is written to it, not even to make its table good
                (None, Some(disk)) => {
                    self.table(device).is_some() || matches!(Parted::open(disk).await, Ok(Found::Table(_)))
                }
                // that it is not there is said by whoever needs it
                (None, None) => continue,
            };
            raw.insert(device.into(), has_table);
        }
        *self.raw.lock() = raw;
    }

    /// Why a box does not get what the plan grants it by sectors.
    pub fn refused(&self, plan: &Plan, place: usize) -> Option<String> {
        let raw = self.raw.lock();
        let mut devices = plan.devices_of(place).filter(|(_, grant)| grant.is_some()).map(|(device, _)| device);
        let device = devices.find(|device| raw.get(*device) == Some(&true))?;
        Some(format!(
            "`{device}` has a partition table, and no box gets its sectors by their numbers: declare a volume, [volume.NAME], and \
             write {{ volume = \"NAME\" }}; or, if nothing on it is needed, write zeroes over its first and last MiB"
        ))
    }

    /// The disk where a plan's volume is.
    pub fn disk_with(&self, volume: &VolumePlan) -> Option<String> {
        Some(self.disk_of(&volume.name, Some(&volume.disk)).ok()??.0)
    }

    /// The slots of a disk, if it has some. `reserve`: how large they are made if it has none, and is blank or has a table.
    pub async fn slots(
        &self,
        platform: &dyn Platform,
        device: &str,
        reserve: Option<u64>,
        tell: &mut (dyn FnMut(String) + Send),
    ) -> Result<Option<Store>, String> {
        let known = self.look(platform, device).await?;
        let disk = platform.disk(device).ok_or("the disk is gone")?;
        let table = match (known, reserve) {
            (Known::Table(table), _) => table,
            (Known::Slots, _) => return Store::open(disk).await.map_err(|error| error.to_string()),
            (Known::Blank, Some(bytes)) => {
                fits(disk.as_ref(), &[slots(bytes)])?;
                self.format(platform, device, disk).await?
            }
            (Known::Other(what), Some(_)) => return Err(left_alone(&what)),
            (Known::Failed(why), _) => return Err(unreadable(&why)),
            (Known::Raw, Some(_)) => return Err(RAW.into()),
            (Known::Blank | Known::Other(_) | Known::Raw, None) => return Ok(None),
        };
        slots_in(&table, reserve, &mut || guid(&|bytes| platform.fill_random(bytes)), tell).await
    }

    /// Deletes a volume. `disk`: of several of that name. `may`: whether nobody uses it, asked when nobody can begin to any more.
    ///
    /// # Errors
    /// Why not.
    pub async fn delete(
        &self,
        name: &str,
        disk: Option<&str>,
        may: &(dyn Fn() -> Result<(), String> + Sync),
    ) -> Result<(), String> {
        let found = self.disk_of(name, disk)?.filter(|(device, _)| disk.is_none_or(|disk| disk == device));
        let Some((_, table)) = found else {
            let names: Vec<String> = self
                .list()
                .into_iter()
                .filter(|it| it.kind == Kind::Volume && disk.is_none_or(|disk| it.disk == disk))
                .map(|it| it.name)
                .collect();
            let there =
                if names.is_empty() { "there is none".into() } else { format!("there are {}", names.join(", ")) };
            return Err(format!("there is no volume `{name}`; {there}"));
        };
        table.delete(name, may).await?;
        self.deleted.fetch_add(1, Relaxed);
        self.bell.ring();
        Ok(())
    }

    /// How often something was deleted.
    pub(super) fn deleted(&self) -> u64 {
        self.deleted.load(Relaxed)
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }
}

impl Health {
    /// Counts what the disk has failed to do.
    pub fn count(&self, is_read: bool, error: DiskError) {
        if matches!(error, DiskError::Io | DiskError::Gone) {
            let counter = if is_read { &self.reads } else { &self.writes };
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// Why there can be no volumes on a disk with slots and no table.
const EARLIER: &str = "slots for systems, from before there were volumes";
const EARLIER_HELP: &str = "it holds slots for systems from before there were volumes, which go on; for volumes, give the node another disk, \
    or an empty one in the place of this, and deploy the system anew";

const RAW: &str = "boxes get its sectors by their numbers";

fn unreadable(why: &str) -> String {
    format!(
        "its partition table cannot be read ({why}), and nothing on it is changed; the disk, or how it is attached, is at fault"
    )
}

fn left_alone(what: &str) -> String {
    format!(
        "it holds something else ({what}), which is left alone. An empty disk can have volumes: if nothing on this one is needed, \
         write zeroes over its first and last MiB, or over all of it if that is not to be read any more"
    )
}

fn slots(bytes: u64) -> Want<'static> {
    Want { kind: Kind::Slots, name: "slots", bytes }
}

fn guid(random: &(dyn Fn(&mut [u8]) + Sync)) -> Guid {
    let mut bytes = [0; 16];
    random(&mut bytes);
    Guid::from_random_bytes(bytes)
}

/// Whether all of this fits on a blank disk.
fn fits(disk: &dyn Disk, wants: &[Want<'_>]) -> Result<(), String> {
    let geometry = disk.geometry();
    let free = Layout::of(geometry).map_or(0, |layout| (layout.usable().1 - layout.usable().0) * MIB);
    let mut left = free;
    for want in wants {
        let bytes = want.bytes.next_multiple_of(MIB);
        left = left.checked_sub(bytes).ok_or_else(|| {
            format!(
                "the disk has {}: {want} needs {}, and {} are free",
                size(geometry.bytes()),
                size(bytes),
                size(left)
            )
        })?;
    }
    if geometry.read_only { Err("the disk is read-only".into()) } else { Ok(()) }
}

async fn slots_in(
    table: &Parted,
    reserve: Option<u64>,
    guid: &mut (dyn FnMut() -> Guid + Send),
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<Option<Store>, String> {
    if table.find(Kind::Slots, "", false).is_none() {
        let Some(bytes) = reserve else { return Ok(None) };
        for made in table.provide(&[slots(bytes)], true, guid).await? {
            tell(made.to_string());
        }
    }
    let Some(place) = table.find(Kind::Slots, "", false) else { return Ok(None) };
    let (disk, text) = (Arc::new(place.extent), |error: SlotError| error.to_string());
    match (Store::open(disk.clone()).await.map_err(text)?, reserve) {
        (None, Some(_)) => Store::format(disk, place.bytes).await.map(Some).map_err(text),
        (store, _) => Ok(store),
    }
}

/// The slots of a disk that no node uses: see [`Volumes::slots`].
pub async fn slots_of(
    disk: Arc<dyn Disk>,
    reserve: Option<u64>,
    random: &(dyn Fn(&mut [u8]) + Sync),
) -> Result<Option<Store>, String> {
    let text = |error: DiskError| error.to_string();
    let failed = |error: DiskError| unreadable(&error.to_string());
    let table = match (Parted::open(disk.clone()).await.map_err(failed)?, reserve) {
        (Found::Table(table), _) => table,
        (Found::Slots(store), _) => return Ok(Some(store)),
        (Found::Blank, Some(bytes)) => {
            fits(disk.as_ref(), &[slots(bytes)])?;
            Parted::format(disk, guid(random)).await.map_err(text)?
        }
        (Found::Other(what), Some(_)) => return Err(left_alone(&what)),
        (Found::Blank | Found::Other(_), None) => return Ok(None),
    };
    slots_in(&table, reserve, &mut || guid(random), &mut drop).await
}

/// What a disk that no node uses has of these, and by how many bytes it would have to be larger for all of them. None: it has
/// something else, of which a node will say what it is.
pub async fn on_disk(disk: Arc<dyn Disk>, wants: &[Want<'_>]) -> Result<Option<(Vec<u64>, u64)>, DiskError> {
    let bytes = disk.geometry().bytes();
    let wanted = |want: &Want<'_>| want.bytes.next_multiple_of(MIB);
    Ok(match Parted::open(disk).await? {
        Found::Table(table) => {
            let of = |want: &Want<'_>| table.find(want.kind, want.name, true).map_or(0, |place| place.bytes);
            let has: Vec<u64> = wants.iter().map(of).collect();
            let lacks = wants.iter().zip(&has).map(|(want, has)| match (want.kind, *has) {
                // decided at the first start
                (Kind::Slots, 1..) => 0,
                _ => wanted(want).saturating_sub(*has),
            });
            let more = lacks.sum::<u64>().saturating_sub(table.room());
            Some((has, more))
        }
        Found::Blank => {
            let all = wants.iter().map(wanted).sum::<u64>() + OVERHEAD;
            Some((wants.iter().map(|_| 0).collect(), all.saturating_sub(bytes)))
        }
        Found::Other(_) if bytes < 3 * MIB => {
            let all = wants.iter().map(wanted).sum::<u64>() + OVERHEAD;
            Some((wants.iter().map(|_| 0).collect(), all.saturating_sub(bytes)))
        }
        Found::Slots(_) | Found::Other(_) => None,
    })
}
