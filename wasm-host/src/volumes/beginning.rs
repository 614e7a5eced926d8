//! What a disk without a partition table begins with: nothing, or what is not to be written over.

/// Known things: what they are called, where on the disk, and the bytes that are there.
const KNOWN: [(&str, usize, &[u8]); 14] = [
    ("an XFS file system", 0, b"XFSB"),
    ("a LUKS volume", 0, b"LUKS\xba\xbe"),
    ("keys of a box", 0, b"PEARKEYS"),
    ("an NTFS file system", 3, b"NTFS    "),
    ("an exFAT file system", 3, b"EXFAT   "),
    ("a FAT file system", 54, b"FAT1"),
    ("a FAT file system", 82, b"FAT32"),
    ("a volume of LVM", 512, b"LABELONE"),
    ("an ext2, ext3 or ext4 file system", 1_080, b"\x53\xef"),
    ("swap space", 4_086, b"SWAPSPACE2"),
    ("a RAID member", 4_096, b"\xfc\x4e\x2b\xa9"),
    ("an ISO 9660 file system", 32_769, b"CD001"),
    ("a btrfs file system", 65_600, b"_BHRfS_M"),
    ("slots for systems", 65_536, b"PWSLOTS\0"),
];

/// What a disk's first bytes are, if that is known.
pub fn known(bytes: &[u8]) -> Option<&'static str> {
    let is_there = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let known = KNOWN.iter().find(|(_, at, magic)| is_there(*at, magic));
    known.map(|(what, ..)| *what)
}

/// Partitions of the kind that there was before GPT.
pub const MBR: &str = "a master boot record";

/// What a disk holds that begins and ends with these bytes. None: zeroes.
pub fn other(begins: &[u8], ends: &[u8]) -> Option<&'static str> {
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let is_table = |at: usize| begins[at..].starts_with(b"EFI PART");
    match known(begins) {
        Some(what) => Some(what),
        None if is_table(512) || is_table(4_096) => Some("a partition table (GPT) for sectors of another size"),
        None if begins[510..512] == [0x55, 0xaa] => Some(MBR),
        None if is_zero(begins) && is_zero(ends) => None,
        None => Some("something else than zeroes"),
    }
}
