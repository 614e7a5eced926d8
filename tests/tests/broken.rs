//! Versions that do not work, brought by the way of all versions while the node serves: each is refused, or the one of
//! before is back, with a reason that names what is at fault; no request is lost, and no memory.
//!
//! A node is started once for all of them.

#[path = "broken/code.rs"]
mod code;
#[path = "broken/hostile.rs"]
mod hostile;

use crate::guests::{self, HANDLER, Handler};
use manage::Settings;
use pearwood::system::{System, describe};
use pearwood::{
    build::{self, Component, Components, Target},
    keys,
};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tests::{On, TestNode, client::curl, load, on_each, session::Session};
use wasm_host::{
    engine::{KERNEL_TRIPLE, LINUX_TRIPLE},
    image::{Image, SecretKey},
};

on_each!(no_broken_version_does_harm);

/// More than any load takes here.
const LONG: Duration = Duration::from_secs(3_000);

const SECOND: u64 = 1_000_000_000;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

const ANNA: u8 = 1;

/// The most that the control box may take in.
const UPLOAD: &str = "16 MiB";

/// What differs in declarations.
#[derive(Clone, Copy)]
struct Declared<'a> {
    upload: &'a str,
    /// lines of the boxes
    net: &'a str,
    api: &'a str,
}

const DECLARED: Declared<'_> = Declared { upload: UPLOAD, net: "", api: "" };

impl Declared<'_> {
    fn text(self) -> String {
        let Declared { upload, net, api } = self;
        format!(
            "[system]\nname = \"broken-test\"\n\
             [box.net]\ncomponent = \"net\"\n{net}arrows.\"pearwood:hardware/nic\" = {{ device = \"nic0\" }}\n\
             [box.http]\ncomponent = \"http\"\narrows.\"pearwood:net/tcp\" = {{ box = \"net\", listen = [80] }}\n\
             arrows.\"pearwood:http/handler\" = [{{ box = \"api\" }}, {{ box = \"late\", path = \"/late/\" }}]\n\
             [box.control]\ncomponent = \"control\"\n\
             arrows.\"pearwood:net/tcp\" = {{ box = \"net\", listen = [7327] }}\n\
             arrows.\"pearwood:control/node\" = {{ node = true, upload = \"{upload}\" }}\n\
             config.keys = [{{ key = \"{}\", role = \"deploy\", name = \"anna\" }}]\n\
             [box.late]\ncomponent = \"./late.wasm\"\n\
             [box.api]\ncomponent = \"./api.wasm\"\n{api}",
            key(ANNA).public()
        )
    }
}

fn sound() -> Vec<u8> {
    HANDLER.component()
}

/// A sound system.
fn write(folder: &Path, upload: &str) {
    fs::write(folder.join("system.toml"), Declared { upload, ..DECLARED }.text()).expect("written");
    fs::write(folder.join("api.wasm"), sound()).expect("written");
    fs::write(folder.join("late.wasm"), sound()).expect("written");
}

/// What is deployed, and how.
struct Bench {
    folder: TempDir,
    target: Target,
    signer: SecretKey,
    address: String,
    session: Session,
    sessions: u8,
}

impl Bench {
    /// The components of a system with another `api` or `late`, whether they fit together or not.
    fn components(&self, declared: Declared<'_>, api: &[u8], late: &[u8]) -> Components {
        write(self.folder.path(), declared.upload);
        let mut components = build::components(self.folder.path()).expect("a sound system");
        components.system = System::parse("system.toml", &declared.text()).expect("a declaration");
        for (name, binary) in [("./api.wasm", api), ("./late.wasm", late)] {
            let description = describe(binary).expect("a component");
            components.components.insert(name.into(), Component { binary: binary.to_vec(), description });
        }
        components
    }

    fn image(&self, components: &Components, target: Target) -> Vec<u8> {
        build::image(components, target, &self.signer).expect("an image")
    }

    fn open<'i>(&self, image: &'i [u8]) -> Image<'i> {
        Image::open(image, &[self.signer.public()]).expect("an image")
    }

    /// Brings an image and deploys it. Yields the record, or why it did not come to that.
    fn deploy(&mut self, image: &[u8]) -> Result<Value, String> {
        let image = self.open(image);
        self.session.bring(&image, |_| ())?;
        let settings =
            Settings { ready: 3 * SECOND, drain: 20 * SECOND, trial: 3 * SECOND, confirm: 0, ..Settings::default() };
        let number = self.session.deploy(&settings)?;
        loop {
            match self.session.watch(number) {
                Some(record) => return Ok(record),
                None => self.enter(),
            }
        }
    }

    /// Comes in anew: the session's way to the node was replaced, or the box that it was with.
    fn enter(&mut self) {
        self.sessions += 1;
        let seed = [self.sessions; 32];
        self.session = Session::enter(&self.address, &key(ANNA), seed).expect("anna may come in");
    }

    /// What is to be refused or rolled back, and the reason.
    fn broken(&mut self, what: &str, image: &[u8], step: &str, why: &[&str]) -> Value {
        let record = self.deploy(image).unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(record["step"], step, "{what}: {record}");
        let text = record["text"].as_str().expect("a text");
        assert!(why.iter().all(|why| text.contains(why)), "{what}: {text}");
        record
    }

    fn api(&mut self, what: &str, lines: &str, api: &[u8], why: &[&str]) {
        let image = self.image(&self.components(Declared { api: lines, ..DECLARED }, api, &sound()), self.target);
        self.broken(what, &image, "refused", why);
    }

    /// What does not even get as far as a deployment.
    fn unwanted(&mut self, what: &str, result: Result<(), String>, why: &str) {
        let error = result.expect_err(what);
        assert!(error.contains(why), "{what}: {error}");
    }

    /// Bytes in use: of the node and for uploads, and of each box.
    fn memory(&mut self) -> (u64, Vec<u64>, u64) {
        let status = self.session.describe();
        let number = |value: &Value| value.as_u64().expect("a number");
        let boxes = status["boxes"].as_array().expect("boxes").iter().map(|one| number(&one["memory"])).collect();
        (number(&status["memory"]["frames"]), boxes, number(&status["memory"]["uploads"]))
    }
}

fn no_broken_version_does_harm(on: On) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), UPLOAD);
    let node = TestNode::start_system(folder.path(), on);
    node.wait_for(0, "listening on port 7327");
    let address = format!("127.0.0.1:{}", node.node.port(7327));
    let session = Session::enter(&address, &key(ANNA), [100; 32]).expect("anna may come in");
    let target = if on == On::Qemu { Target::Kernel } else { Target::Native };
    let signer = keys::find(keys::DEVELOPMENT).expect("the key that the node was started with");
    let mut bench = Bench { folder, target, signer, address, session, sessions: 100 };

    let load = load::start(&node.url("/"), 4, LONG);
    // once, for what is made when it is first needed
    fails_to_start(&mut bench);
    let before = bench.memory();
    fails_to_start(&mut bench);
    does_not_fit(&mut bench);
    code::is_for_another_node(&mut bench);
    is_not_whole(&mut bench);
    is_too_large(&mut bench);
    for (before, after) in before.1.iter().zip(bench.memory().1) {
        assert!(after <= before + SLACK, "a box uses {after} bytes, {before} before");
    }
    fails_later(&mut bench, &node);
    if on == On::Qemu {
        is_larger_than_memory(&mut bench);
    }
    let load = load.stop();
    assert!(load.requests > 0, "{load:?}");
    assert_eq!((load.errors, load.refused), (0, 0), "{load:?}");
    assert_eq!(curl(&[], &node.url("/late/")).text(), "1");
    for name in ["net", "http", "api", "late", "control"] {
        assert_eq!(node.box_status(name)["restarts"], 0, "{name}");
    }
    let after = bench.memory();
    assert_eq!(after.2, 0, "nothing is held of what was brought");
    if on == On::Qemu {
        assert!(after.0 <= before.0 + SLACK, "{} bytes in use before, {} after", before.0, after.0);
    }

    hostile::nobody_gets_in(&mut bench);

    // a sound one is still taken
    let image =
        bench.image(&bench.components(DECLARED, &Handler { version: b'2', ..HANDLER }.component(), &sound()), target);
    assert_eq!(bench.deploy(&image).expect("taken")["step"], "done");
    assert_eq!(curl(&[], &node.url("/")).text(), "2");
    node.power_off();
}

/// Bytes by which use may differ that are no leak: pages of linear memories, of page tables, and what the heap keeps free at
/// its end or between what lives long. An image that is not given back is larger.
const SLACK: u64 = 1 << 20;

fn fails_to_start(bench: &mut Bench) {
    let with = |handler: Handler<'_>| handler.component();
    let api = with(Handler { begin: "unreachable", ..HANDLER });
    bench.api("a trap at the start", "", &api, &["box `api` does not start: wasm trap: wasm `unreachable`"]);
    let api = with(Handler { begin: "(loop $l (br $l))", ..HANDLER });
    bench.api("a loop at the start", "", &api, &["box `api` is not ready within 3000 ms"]);
    bench.api(
        "not well",
        "",
        &guests::checked("(i32.const 1)", b'2'),
        &["box `api` does not start: is not well: sick"],
    );
    let api = guests::checked("(loop $l (result i32) (br $l))", b'2');
    bench.api("no answer to whether it is well", "", &api, &["box `api` is not ready within 3000 ms"]);
    let why = ["box `api` does not start", "its memory limit of 64 KiB leaves no room for an instance"];
    bench.api("more memory than its limit", "memory = \"64 KiB\"\n", &sound(), &why);
}

fn does_not_fit(bench: &mut Bench) {
    let greedy = wat::parse_str(
        "(component (import \"pearwood:hardware/nic@0.2.0\" (instance (export \"address\" (func (result (list u8))))))
            (core module $code (func (export \"run\"))) (core instance $code (instantiate $code))
            (func $run (canon lift (core func $code \"run\")))
            (instance $service (export \"run\" (func $run)))
            (export \"pearwood:box/service@0.2.0\" (instance $service)))",
    );
    let greedy = greedy.expect("a component");
    // whatever the plan says: only what it gives is linked
    bench.api("imports without arrows", "", &greedy, &["box `api`: ", "pearwood:hardware/nic"]);

    let (other, triple) = match bench.target {
        Target::Kernel => (Target::Native, LINUX_TRIPLE),
        Target::Native => (Target::Kernel, KERNEL_TRIPLE),
    };
    let image =
        bench.image(&bench.components(DECLARED, &Handler { version: b'2', ..HANDLER }.component(), &sound()), other);
    let why = ["box `", "was compiled for other engine settings: target", triple];
    bench.broken("code for another machine", &image, "refused", &why);
}

fn is_not_whole(bench: &mut Bench) {
    let api = Handler { version: b'2', ..HANDLER }.component();
    let components = bench.components(DECLARED, &api, &sound());
    let bytes = bench.image(&components, bench.target);
    let image = Image::open(&bytes[..], &[bench.signer.public()]).expect("an image");
    let stranger = build::image(&components, bench.target, &key(9)).expect("an image");
    let strange = Image::open(&stranger[..], &[key(9).public()]).expect("an image");
    let result = bench.session.bring(&strange, |_| ());
    bench.unwanted("signed by a stranger", result, "which the node does not trust");
    let mut unsigned = image.manifest().to_vec();
    unsigned[24..96].fill(0);
    let result = bench.session.bring_as(unsigned, &image, &mut |_| ());
    bench.unwanted("unsigned", result, "the image is not signed");
    let mut changed = image.manifest().to_vec();
    *changed.last_mut().expect("bytes") ^= 1;
    let result = bench.session.bring_as(changed, &image, &mut |_| ());
    bench.unwanted("changed after it was signed", result, "was changed after it was signed");
    let cut = image.manifest()[..image.manifest().len() - 1].to_vec();
    let result = bench.session.bring_as(cut, &image, &mut |_| ());
    bench.unwanted("a cut manifest", result, "the image is cut off");
    let middle = |blob: &mut Vec<u8>| {
        let middle = blob.len() / 2;
        blob[middle] ^= 0x10;
    };
    let result = bench.session.bring(&image, middle);
    bench.unwanted("a corrupt blob", result, "no blob that the image lacks");
    let result = bench.session.deploy(&Settings::default()).map(|_| ());
    bench.unwanted("blobs that never came", result, "the image lacks ");
}

const PUBLIC: &str = "assets = [\"./public\"]\n";

fn is_too_large(bench: &mut Bench) {
    let public = bench.folder.path().join("public");
    fs::create_dir_all(&public).expect("a folder");
    fs::write(public.join("large"), vec![7; 24 << 20]).expect("written");
    let components = bench.components(Declared { api: PUBLIC, ..DECLARED }, &sound(), &sound());
    let bytes = bench.image(&components, bench.target);
    let image = bench.open(&bytes);
    let mut sent = 0;
    let result = bench.session.bring(&image, |blob| sent += blob.len());
    bench.unwanted("more than the arrow grants", result, "grants an `upload` of 16384 KiB");
    assert!(bench.memory().2 < 1 << 20, "nothing is held of what cannot come");
    fs::remove_dir_all(public).expect("removed");
}

/// However much an arrow grants, no more comes than the machine has room for.
fn is_larger_than_memory(bench: &mut Bench) {
    let declared = Declared { upload: "1 GiB", ..DECLARED };
    let components = bench.components(declared, &sound(), &sound());
    let generous = bench.image(&components, bench.target);
    assert_eq!(bench.deploy(&generous).expect("taken")["step"], "done");
    bench.enter();

    let public = bench.folder.path().join("public");
    fs::create_dir_all(&public).expect("a folder");
    fs::write(public.join("large"), vec![7; 160 << 20]).expect("written");
    let components = bench.components(Declared { api: PUBLIC, ..declared }, &sound(), &sound());
    let bytes = bench.image(&components, bench.target);
    fs::remove_dir_all(public).expect("removed");
    let image = bench.open(&bytes);
    let result = bench.session.bring(&image, |_| ());
    bench.unwanted("more than the machine's memory", result, "half of the node's free memory is");
    // and what fits is taken
    let modest = bench.image(&bench.components(DECLARED, &sound(), &sound()), bench.target);
    assert_eq!(bench.deploy(&modest).expect("taken")["step"], "done");
    bench.enter();
}

/// These run, and fail on trial. Requests to them fail with them, and no others.
fn fails_later(bench: &mut Bench, node: &TestNode) {
    for (what, handler, why) in [
        ("fails its requests", Handler { status: 500, ..HANDLER }, "box `late` failed "),
        ("crashes at requests", Handler { at_request: "unreachable", ..HANDLER }, "box `late` ended: wasm trap"),
    ] {
        // net goes there and back with it
        let declared = Declared { net: "config.keep-alive = 61\n", ..DECLARED };
        let image = bench.image(&bench.components(declared, &sound(), &handler.component()), bench.target);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let answer = curl(&[], &node.url("/late/"));
                    assert!(matches!(answer.status, 200 | 500 | 502 | 503), "{answer:?}");
                }
            });
            // it ends even if this fails
            struct Over<'a>(&'a AtomicBool);
            impl Drop for Over<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Relaxed);
                }
            }
            let _over = Over(&over);
            let record = bench.broken(what, &image, "rolled-back", &[why]);
            // beside Linux sockets stand in for it
            let net = record["changes"].to_string().contains("net: another config");
            assert!(net || bench.target == Target::Native, "{record}");
        });
        assert_eq!(curl(&[], &node.url("/late/")).text(), "1", "after a version that {what}");
        bench.enter();
    }
}
