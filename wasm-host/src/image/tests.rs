use super::*;
use crate::plan::{BoxPlan, Plan};
use alloc::{format, string::ToString, vec};

const SYSTEM: &str = "[system]\nname = \"s\"\n[box.net]\ncomponent = \"net\"\n";

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn node() -> EngineSettings {
    EngineSettings::new("48.0.8", "x86_64-unknown-none", ["has_sse41", "epoch"])
}

fn plan() -> Plan {
    Plan {
        system: "s".into(),
        version: 1,
        disk: None,
        volumes: vec![],
        trust: None,
        protocols: vec![],
        boxes: vec![BoxPlan::new("net", "net")],
        arrows: vec![],
    }
}

/// Bytes that differ from place to place.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 / 7) as u8).collect()
}

fn builder() -> Builder {
    let mut builder = Builder::new("system.toml", SYSTEM);
    builder
        .plan(plan())
        .artifact("net", node(), content(10_000))
        .artifact("net", EngineSettings::new("48.0.8", "x86_64-unknown-linux-gnu", ["epoch"]), content(5_000))
        .asset("site", "index.html", b"<h1>hello</h1>".to_vec(), 1_700_000_000)
        .asset("site", "a/big.bin", content(200_000), 5)
        .asset("site", "a/page.bin", content(4096), 5)
        .asset("site", "empty", Vec::new(), 0)
        .asset("wiki", "x", b"x".to_vec(), 0);
    builder
}

fn image() -> Vec<u8> {
    builder().finish(&key()).unwrap()
}

fn open(bytes: &[u8]) -> Result<Image<'_>, ImageError> {
    Image::open(bytes, &[key().public()])
}

#[test]
fn an_image_holds_what_was_put_in() {
    let bytes = image();
    let image = open(&bytes).unwrap();
    assert_eq!(image.source().unwrap(), ("system.toml", SYSTEM));
    assert_eq!(image.plan().unwrap(), plan());
    assert_eq!(image.signer(), key().public().id());
    let code = image.component("net", &node()).unwrap();
    assert_eq!(code, content(10_000));
    assert_eq!(code.as_ptr() as usize % 4096, bytes.as_ptr() as usize % 4096, "at a page's start");
    assert_eq!(image.components().count(), 2);

    let assets = image.assets("site").unwrap();
    let paths: Vec<&str> = assets.iter().map(|asset| asset.path()).collect();
    assert_eq!(paths, ["a/big.bin", "a/page.bin", "empty", "index.html"]);
    let big = assets.find("a/big.bin").unwrap();
    assert_eq!((big.size(), big.modified(), big.hash()), (200_000, 5, hash(&content(200_000))));
    assert_eq!(big.bytes().unwrap(), content(200_000));
    assert_eq!(big.bytes().unwrap().as_ptr() as usize % 4096, bytes.as_ptr() as usize % 4096);
    assert_eq!(big.read(65_530, 20).unwrap(), &content(200_000)[65_530..65_550]);
    assert_eq!(big.read(199_999, u64::MAX).unwrap(), &content(200_000)[199_999..]);
    assert!(big.read(200_000, 1).unwrap().is_empty() && big.read(u64::MAX, u64::MAX).unwrap().is_empty());
    assert!(assets.find("empty").unwrap().bytes().unwrap().is_empty());
    assert!(assets.find("other").is_none() && assets.get(4).is_none());
    assert!(image.assets("none").unwrap().is_empty());
}

#[test]
fn the_order_of_parts_makes_no_difference() {
    let mut other = Builder::new("system.toml", SYSTEM);
    other
        .asset("wiki", "x", b"x".to_vec(), 0)
        .asset("site", "empty", Vec::new(), 0)
        .asset("site", "a/page.bin", content(4096), 5)
        .asset("site", "index.html", b"<h1>hello</h1>".to_vec(), 1_700_000_000)
        .asset("site", "a/big.bin", content(200_000), 5)
        .artifact("net", EngineSettings::new("48.0.8", "x86_64-unknown-linux-gnu", ["epoch"]), content(5_000))
        .artifact("net", node(), content(10_000))
        .plan(plan());
    assert!(other.finish(&key()).unwrap() == image());
}

#[test]
fn names_are_unique() {
    let with = |add: &dyn Fn(&mut Builder)| {
        let mut builder = builder();
        add(&mut builder);
        builder.finish(&key()).unwrap_err()
    };
    let error = with(&|builder| {
        builder.artifact("net", node(), vec![1]);
    });
    assert_eq!(error, ImageError::Duplicate { what: "component", name: "net".into() });
    let error = with(&|builder| {
        builder.asset("site", "empty", vec![], 0);
    });
    assert_eq!(error, ImageError::Duplicate { what: "asset", name: "site: empty".into() });
}

#[test]
fn what_is_no_image() {
    for bytes in [&b""[..], b"hello", b"PEARWOOX", &[0; 200]] {
        assert_eq!(open(bytes).unwrap_err(), ImageError::NotAnImage);
    }
    let bytes = image();
    for length in [1, 8, 103, 104, 200, 5000, bytes.len() - 1] {
        let error = open(&bytes[..length]).unwrap_err();
        assert!(matches!(error, ImageError::Truncated { has, .. } if has == length as u64), "{length}: {error}");
    }
    let mut future = bytes.clone();
    future[8] = 9;
    assert_eq!(open(&future).unwrap_err().to_string(), "the image is of format 9; this node reads format 3");
    let padded = [&bytes[..], &[0; 512]].concat();
    assert!(open(&padded).is_ok(), "a disk's last sector may be longer");
}

#[test]
fn signatures() {
    let bytes = image();
    let other = SecretKey::from_seed(&[8; 32]).public();
    let error = Image::open(&bytes, &[other]).unwrap_err();
    assert_eq!(error, ImageError::Untrusted { signer: key().public().id(), trusted: vec![other.id()] });
    let text = error.to_string();
    assert!(text.contains(&key().public().id().to_string()) && text.contains(&other.id().to_string()), "{text}");
    assert!(Image::open(&bytes, &[]).unwrap_err().to_string().contains("trusts no key"));
    assert!(Image::open(&bytes, &[other, key().public()]).is_ok());

    let mut unsigned = bytes.clone();
    unsigned[24..96].fill(0);
    assert_eq!(open(&unsigned).unwrap_err(), ImageError::Unsigned);
    // the id of a trusted key, and another key's signature
    let mut forged = builder().finish(&SecretKey::from_seed(&[8; 32])).unwrap();
    forged[24..32].copy_from_slice(&key().public().id().0);
    assert_eq!(open(&forged).unwrap_err(), ImageError::BadSignature { signer: key().public().id() });
    // everything up to the index's end is signed
    let index_end = Header::LENGTH + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    for at in 0..index_end {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert!(open(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn a_machine_may_bring_its_own_hasher() {
    let bytes = image();
    let image = open(&bytes).unwrap().with_hasher(|_| Hash([0; 32]));
    assert!(image.source().is_err() && image.component("net", &node()).is_err());
    let image = open(&bytes).unwrap().with_hasher(|bytes| Hash(*blake3::hash(bytes).as_bytes()));
    assert!(image.source().is_ok() && image.assets("site").unwrap().find("a/big.bin").unwrap().bytes().is_ok());
}

#[test]
fn engine_settings_are_compared() {
    let bytes = image();
    let image = open(&bytes).unwrap();
    let differs = |node: &EngineSettings| image.component("net", node).unwrap_err().to_string();
    let other = EngineSettings::new("49.0.0", "x86_64-unknown-none", ["has_sse41", "has_avx"]);
    assert_eq!(
        differs(&other),
        "the artifact for component `net` was compiled for other engine settings: \
         wasmtime 48.0.8, where the node has 49.0.0; without has_avx; with epoch, which the node does not have"
    );
    assert!(differs(&EngineSettings::new("48.0.8", "riscv64", ["epoch"])).contains("target"));
    assert_eq!(image.component("nett", &node()).unwrap_err(), ImageError::NoComponent { name: "nett".into() });
}

#[test]
fn corrupt_blobs_are_named_when_they_are_used() {
    let bytes = image();
    let changed = |pattern: &[u8], at: usize| {
        let start = bytes.windows(pattern.len()).position(|window| window == pattern).unwrap();
        let mut changed = bytes.clone();
        changed[start + at] ^= 1;
        changed
    };
    let code = changed(&content(10_000), 9_999);
    let image = open(&code).unwrap();
    assert_eq!(
        image.component("net", &node()).unwrap_err().to_string(),
        "component `net` is corrupt: its bytes are not those that were signed"
    );
    assert!(image.assets("site").unwrap().find("a/big.bin").unwrap().bytes().is_ok());

    let system = changed(SYSTEM.as_bytes(), 0);
    assert_eq!(
        open(&system).unwrap().source().unwrap_err(),
        ImageError::Corrupt { what: "system", name: "system.toml".into() }
    );

    let big = changed(&content(200_000), 150_000);
    let image = open(&big).unwrap();
    let assets = image.assets("site").unwrap();
    let asset = assets.find("a/big.bin").unwrap();
    assert!(asset.read(0, 131_072).is_ok(), "what comes before is sound");
    let error = asset.read(140_000, 1).unwrap_err();
    assert_eq!(error, ImageError::Corrupt { what: "asset", name: "site: a/big.bin".into() });
    assert!(asset.bytes().is_err() && assets.find("index.html").unwrap().bytes().is_ok());

    let table = changed(b"a/big.bin", 0);
    assert_eq!(
        open(&table).unwrap().assets("site").unwrap_err(),
        ImageError::Corrupt { what: "assets of box", name: "site".into() }
    );
}

/// An image with this index, signed as it should be.
fn signed(entries: &[Entry], length: u64) -> Vec<u8> {
    let index = postcard::to_allocvec(entries).unwrap();
    let mut header = Header {
        index_length: index.len() as u32,
        length,
        key_id: key().public().id(),
        signature: [0; 64],
        endorsed: 0,
    };
    header.signature = key().sign(&header.message(&index));
    let mut bytes = [header.write(), index].concat();
    bytes.resize(length as usize, 0);
    bytes
}

#[test]
fn entries_must_lie_apart_and_inside() {
    let entry = |name: &str, offset, length| Entry {
        kind: Kind::Artifact(node()),
        name: name.into(),
        offset,
        length,
        hash: hash(&[0; 4096]),
    };
    let why = |entries: &[Entry]| match open(&signed(entries, 3 * 4096)).unwrap_err() {
        ImageError::Misplaced { why, .. } => why,
        other => panic!("{other}"),
    };
    assert!(open(&signed(&[entry("a", 4096, 4096), entry("b", 8192, 4096)], 3 * 4096)).is_ok());
    assert!(why(&[entry("a", 0, 4096)]).contains("overlaps"));
    assert!(why(&[entry("a", 4096, 4097), entry("b", 8192, 1)]).contains("overlaps"));
    assert!(why(&[entry("a", 4097, 1)]).contains("page"));
    assert!(why(&[entry("a", 8192, 4097)]).contains("outside"));
    assert!(why(&[entry("a", u64::MAX - 4095, u64::MAX)]).contains("outside"));
    let files = Entry { kind: Kind::Assets { offset: 4096, length: 1 }, ..entry("a", 4096, 4096) };
    assert!(why(&[files]).contains("overlaps"));
    let mut junk = signed(&[], 4096);
    junk.truncate(4096);
    assert!(open(&junk).is_ok_and(|image| image.plan().unwrap_err() == ImageError::NoSystem));
}

#[test]
fn tables_of_assets_are_not_taken_on_trust() {
    let file = |path: &str, offset, size, chunks: usize| assets::File {
        path: path.into(),
        offset,
        size,
        modified: 0,
        hash: hash(b""),
        chunks: vec![hash(b""); chunks],
    };
    let read = |files: &[assets::File]| assets::Table::read(&postcard::to_allocvec(files).unwrap(), 100_000).is_some();
    assert!(read(&[file("a", 0, 10, 0), file("b", 16, 70_000, 2)]));
    assert!(!read(&[file("b", 0, 10, 0), file("a", 16, 10, 0)]), "not sorted");
    assert!(!read(&[file("a", 0, 10, 0), file("a", 16, 10, 0)]), "twice");
    assert!(!read(&[file("a", 0, 10, 0), file("b", 9, 10, 0)]), "overlap");
    assert!(!read(&[file("a", 99_999, 10, 0)]) && !read(&[file("a", u64::MAX, 2, 0)]), "outside");
    assert!(!read(&[file("a", 0, 70_000, 1)]) && !read(&[file("a", 0, 10, 1)]), "chunks");
    assert!(!read(&[file("a", 0, u64::MAX, 0)]));
}

/// Uses everything that an image offers.
fn use_all(bytes: &[u8]) -> Result<(), ImageError> {
    let image = open(bytes)?;
    image.source()?;
    image.plan()?;
    image.component("net", &node())?;
    for name in ["site", "wiki"] {
        for asset in image.assets(name)?.iter() {
            asset.bytes()?;
        }
    }
    Ok(())
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Changed at random, an image is refused or gives what was signed; nothing panics.
#[test]
fn changed_images_are_refused() {
    let mut builder = Builder::new("system.toml", SYSTEM);
    builder.plan(plan()).artifact("net", node(), content(100));
    builder.asset("site", "a", content(20), 5).asset("wiki", "b", content(70_000), 5);
    let original = builder.finish(&key()).unwrap();
    use_all(&original).unwrap();
    let mut random = Random(1);
    let mut refused = 0;
    for _ in 0..10_000 {
        let mut bytes = original.clone();
        match random.below(10) {
            0 => bytes.truncate(random.below(original.len())),
            1 => bytes.extend_from_slice(&content(random.below(5000))),
            _ => {
                for _ in 0..1 + random.below(4) {
                    // most of the bytes are content; most of what can go wrong is in the first page
                    let range = if random.below(2) == 0 { 400 } else { original.len() };
                    let at = random.below(range);
                    bytes[at] = [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(1)][random.below(7)];
                }
            }
        }
        if let Err(error) = use_all(&bytes) {
            assert!(!error.to_string().is_empty());
            refused += 1;
        } else {
            assert_eq!(open(&bytes).unwrap().plan().unwrap().system, "s");
        }
    }
    assert!(refused > 2_500, "{refused} refused");
}

/// The same with what is signed: an index, whatever it says, is refused or can be used.
#[test]
fn strange_indexes_do_no_harm() {
    let original = image();
    let header = Header::read(&original).unwrap();
    let index = header.index(&original).unwrap().to_vec();
    let mut random = Random(2);
    for _ in 0..3_000 {
        let mut changed = index.clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(changed.len());
            match random.below(3) {
                0 => changed[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                1 => changed[at] = changed[at].wrapping_add(1),
                _ => changed.truncate(at.max(1)),
            }
        }
        let Ok(entries) = format::read_index(&changed, &header) else { continue };
        let all = Blob::from(&original);
        let image = Image {
            manifest: Blob::default(),
            signer: header.key_id,
            others: Vec::new(),
            entries: entries.into_iter().map(|entry| Stored::within(&all, entry)).collect(),
            hasher: hash,
            source: None,
        };
        let _ = (image.source(), image.plan(), image.component("net", &node()));
        if let Ok(assets) = image.assets("site") {
            assets.iter().for_each(|asset| drop(asset.bytes()));
        }
    }
}

/// And with tables of assets and plans.
#[test]
fn strange_tables_do_no_harm() {
    let bytes = image();
    let image = open(&bytes).unwrap();
    let stored = image.find(|kind| matches!(kind, Kind::Assets { .. }), Some("site")).unwrap();
    let table = image.blob(stored).unwrap();
    let plan = plan().encode();
    let mut random = Random(3);
    for _ in 0..10_000 {
        for original in [table, &plan] {
            let mut changed = original.to_vec();
            let at = random.below(changed.len());
            changed[at] = random.below(256) as u8;
            if let Some(table) = assets::Table::read(&changed, 300_000) {
                let contents = assets::Contents::of(table, &Blob::from(&bytes));
                let assets = Assets::new("site", Arc::new(contents), hash);
                assets.iter().for_each(|asset| drop(asset.bytes()));
            }
            let _ = Plan::decode(&changed);
        }
    }
}

#[test]
fn key_files() {
    extern crate std;
    let folder = std::env::temp_dir().join(format!("pearwood-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (secret, public) = (folder.join("key.pem"), folder.join("key.pub"));
    let key = SecretKey::generate().unwrap();
    key.save(&secret).unwrap();
    assert_eq!(SecretKey::load(&secret).unwrap().public(), key.public());
    assert!(key.save(&secret).is_err(), "a key is never overwritten");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for text in [key.public().to_pem().unwrap(), format!("{}\n", key.public())] {
        std::fs::write(&public, text).unwrap();
        assert_eq!(PublicKey::load(&public).unwrap(), key.public());
    }
    std::fs::write(&public, "hello").unwrap();
    let error = PublicKey::load(&public).unwrap_err().to_string();
    assert!(error.contains("key.pub") && SecretKey::load(&public).is_err(), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(SecretKey::load(&secret).unwrap_err().to_string().contains("key.pem"));
    assert!("00".repeat(32).parse::<PublicKey>().is_err(), "a weak key");
    assert_ne!(SecretKey::generate().unwrap().public(), key.public());
}
