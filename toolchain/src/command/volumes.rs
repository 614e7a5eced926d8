//! `pearwood volumes` and `pearwood volume delete`

use super::table::{bytes, table};
use anyhow::Result;
use clap::{Args, Subcommand};
use manage::Request;
use pearwood::remote::{At, Description, DiskStatus, VolumeStatus};
use std::process::ExitCode;

#[derive(Args)]
pub struct Volumes {
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand)]
pub enum Volume {
    /// Delete a volume that the running system does not name, and all that is in it
    Delete {
        /// The volume
        name: String,
        /// The disk, if several have a volume of that name
        #[arg(long)]
        disk: Option<String>,
        #[command(flatten)]
        at: At,
    },
}

impl Volumes {
    pub fn run(self) -> Result<ExitCode> {
        let node = self.at.connect()?.describe()?;
        print!("{}\n{}", disks(&node), volumes(&node));
        Ok(ExitCode::SUCCESS)
    }
}

impl Volume {
    pub fn run(self) -> Result<ExitCode> {
        let Volume::Delete { name, disk, at } = self;
        at.connect()?.ask(&Request::DeleteVolume { name: &name, disk: disk.as_deref() })?;
        println!(
            "volume {name} is deleted; its room is free when all of it has been written over, which `pearwood volumes` shows"
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn disks(node: &Description) -> String {
    let row = |disk: &DiskStatus| {
        let free = disk.free.map_or_else(|| "-".into(), bytes);
        [disk.name.clone(), bytes(disk.size), free, disk.holds.clone().unwrap_or_else(|| "volumes".into())]
    };
    table(["DISK", " SIZE", " FREE", "HOLDS"], &node.disks.iter().map(row).collect::<Vec<_>>())
}

fn volumes(node: &Description) -> String {
    let row = |volume: &VolumeStatus| {
        let used = match (volume.kind.as_str(), volume.used_by.as_slice(), volume.named) {
            ("slots", ..) => "the node's systems".into(),
            ("erased", ..) => "deleted, being erased".into(),
            ("foreign", ..) => "not Pearwood's".into(),
            (_, [], true) => "named, used by no box".into(),
            (_, [], false) => "unused, kept".into(),
            (_, boxes, _) => boxes.join(", "),
        };
        let health = match (volume.read_errors, volume.write_errors) {
            (0, 0) => "good".into(),
            (reads, writes) => format!("{reads} reads and {writes} writes failed"),
        };
        [volume.name.clone(), volume.disk.clone(), bytes(volume.size), used, health]
    };
    table(["VOLUME", "DISK", " SIZE", "USED BY", "HEALTH"], &node.volumes.iter().map(row).collect::<Vec<_>>())
}
