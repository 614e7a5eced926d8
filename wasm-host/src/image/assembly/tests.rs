use super::*;
use crate::image::{Builder, SecretKey};
use alloc::{string::ToString, vec};

const SYSTEM: &str = "[system]\nname = \"s\"\n[box.net]\ncomponent = \"net\"\n";
const LIMIT: u64 = 10 << 20;

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn node() -> EngineSettings {
    EngineSettings::new("48.0.8", "x86_64-unknown-none", ["epoch"])
}

fn content(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 / 7 + seed) as u8).collect()
}

/// An image of one component and three files, of which `page` is one.
fn image(code: usize, page: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new("system.toml", SYSTEM);
    builder
        .artifact("net", node(), content(code, 10_000))
        .artifact("net", EngineSettings::new("48.0.8", "other", ["epoch"]), content(code + 1, 5_000))
        .asset("site", "index.html", page.to_vec(), 5)
        .asset("site", "big.bin", content(3, 200_000), 5)
        .asset("site", "empty", Vec::new(), 5);
    builder.finish(&key()).unwrap()
}

fn open(bytes: &[u8]) -> Image<'_> {
    Image::open(bytes, &[key().public()]).unwrap()
}

fn begin(manifest: &[u8]) -> Result<Assembly<'static>, ImageError> {
    Assembly::new(manifest.to_vec(), &[key().public()], &[node()], LIMIT)
}

/// Brings what is missing out of `from` until nothing is, and gives the number of bytes brought.
fn bring(assembly: &mut Assembly<'_>, from: &Image<'_>) -> usize {
    let mut brought = 0;
    loop {
        let wanted = assembly.missing().next();
        let Some(wanted) = wanted else { return brought };
        let blobs = from.blobs().unwrap();
        let (_, blob) = blobs.iter().find(|(hash, _)| *hash == wanted).expect("the source has it");
        brought += blob.len();
        assembly.add(blob.to_vec()).unwrap();
    }
}

fn assert_same(made: &Image<'_>, whole: &Image<'_>) {
    assert_eq!(made.source().unwrap(), whole.source().unwrap());
    assert_eq!(made.component("net", &node()).unwrap(), whole.component("net", &node()).unwrap());
    let (a, b) = (made.assets("site").unwrap(), whole.assets("site").unwrap());
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b.iter()) {
        assert_eq!((a.path(), a.bytes().unwrap()), (b.path(), b.bytes().unwrap()));
    }
    assert_eq!(**made.manifest(), **whole.manifest());
}

#[test]
fn all_that_is_missing_is_brought() {
    let bytes = image(1, b"<h1>hello</h1>");
    let whole = open(&bytes);
    let mut assembly = begin(whole.manifest()).unwrap();
    assert_eq!(assembly.missing().len(), 3, "the file, the code for this engine, the table");
    let brought = bring(&mut assembly, &whole);
    assert!(brought > 210_000 && brought < 211_000, "{brought}: not the code for another engine");
    assert_same(&assembly.finish().unwrap(), &whole);
}

#[test]
fn only_the_difference_is_brought() {
    let (before, after) = (image(1, b"old"), image(1, b"<h1>new</h1>"));
    let (old, new) = (open(&before), open(&after));
    let mut assembly = Assembly::new(new.manifest().to_vec(), &[key().public()], &[node()], LIMIT).unwrap();
    assembly.reuse(&old).unwrap();
    let table = assembly.missing().len();
    assert_eq!(table, 1, "the table of the files");
    let brought = bring(&mut assembly, &new);
    assert!(brought < 1_000, "{brought}");
    let made = assembly.finish().unwrap();
    assert_same(&made, &new);
    let (shared, assets) = (made.assets("site").unwrap(), old.assets("site").unwrap());
    let at = |assets: &crate::image::Assets<'_>| assets.find("big.bin").unwrap().bytes().unwrap().as_ptr();
    assert_eq!(at(&shared), at(&assets), "shared, not copied");
}

#[test]
fn the_same_image_lacks_nothing() {
    let bytes = image(1, b"x");
    let whole = open(&bytes);
    let mut assembly = Assembly::new(whole.manifest().to_vec(), &[key().public()], &[node()], LIMIT).unwrap();
    assembly.reuse(&whole).unwrap();
    assert_eq!((assembly.missing().len(), assembly.missing_bytes()), (0, 0));
    assert_same(&assembly.finish().unwrap(), &whole);
}

#[test]
fn wrong_surplus_and_missing_blobs_are_refused() {
    let bytes = image(1, b"x");
    let whole = open(&bytes);
    let mut assembly = begin(whole.manifest()).unwrap();
    let mut wrong = content(1, 10_000);
    wrong[5] ^= 1;
    assert!(matches!(assembly.add(wrong), Err(ImageError::Unwanted { length: 10_000, .. })));
    assert!(matches!(assembly.add(content(2, 5_000)), Err(ImageError::Unwanted { .. })), "for another engine");
    assembly.add(content(1, 10_000)).unwrap();
    assert!(matches!(assembly.add(content(1, 10_000)), Err(ImageError::Unwanted { .. })), "twice");
    assert!(matches!(assembly.add(content(3, 200_000)), Err(ImageError::Unwanted { .. })), "nothing lists it yet");
    let incomplete = assembly.finish().unwrap_err();
    assert_eq!(incomplete, ImageError::Incomplete { missing: 2 });
    assert_eq!(incomplete.to_string(), "the image lacks 2 of its blobs");
}

#[test]
fn a_manifest_that_is_not_signed_or_too_large_is_refused() {
    let bytes = image(1, b"x");
    let manifest = open(&bytes).manifest().to_vec();
    let mut changed = manifest.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(begin(&changed), Err(ImageError::BadSignature { .. })));
    assert!(matches!(begin(&manifest[..manifest.len() - 1]), Err(ImageError::Truncated { .. })));
    let none = Assembly::new(manifest.clone(), &[], &[node()], LIMIT);
    assert!(matches!(none, Err(ImageError::Untrusted { .. })));
    let small = Assembly::new(manifest, &[key().public()], &[node()], 1_000);
    assert!(matches!(small, Err(ImageError::TooLarge { limit: 1_000, .. })));
}

/// What another image has under a hash is not trusted to be what the hash says.
#[test]
fn a_damaged_source_is_noticed() {
    let mut bytes = image(1, b"x");
    let manifest = open(&bytes).manifest().to_vec();
    let code = open(&bytes).component("net", &node()).unwrap().as_ptr() as usize - bytes.as_ptr() as usize;
    bytes[code + 9] ^= 1;
    let damaged = open(&bytes);
    let mut assembly = Assembly::new(manifest, &[key().public()], &[node()], LIMIT).unwrap();
    assembly.reuse(&damaged).unwrap();
    let made = assembly.finish().unwrap();
    assert_eq!(
        made.component("net", &node()).unwrap_err(),
        ImageError::Corrupt { what: "component", name: "net".into() }
    );
    assert_eq!(vec![made.assets("site").unwrap().len()], [3]);
}
