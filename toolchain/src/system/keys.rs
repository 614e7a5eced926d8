//! What there is to say in `system.toml`: the keys that are read, and what each of them means.
//!
//! The parser refuses what is not here, and the [reference](crate::reference) prints it.

use super::known::{self, CONTROL, HANDLER, KEYVALUE, Kind, STORE_FACE, TCP, UDP};
use alloc::vec::Vec;
use wasm_host::plan::{MAX_MEMORY, MAX_QUEUE, MIN_MEMORY, MIN_QUEUE};
use wasm_host::slots::MIN_RESERVE;
use wasm_host::volumes::{MAX_SIZE, MIB};
use wit::setting::{Setting, Value};

/// Bytes of a disk that a system may reserve at most.
pub const MAX_RESERVE: u64 = 1 << 40;
/// Bytes of an image that a box may at least, and at most, be granted to bring.
pub const MIN_UPLOAD: u64 = 1 << 20;
pub const MAX_UPLOAD: u64 = 4 << 30;
/// Bytes of a bucket.
pub const MAX_QUOTA: u64 = 1 << 50;

/// `[system]`
pub const SYSTEM: &[Setting] = &[
    Setting::new("name", Value::Text("name"), "What the system is called.").example("\"home\"").required(),
    Setting::new(
        "disk",
        Value::Text("device"),
        "The disk on which a node keeps its own system, so that what was deployed is still there after a restart; or a \
         table that also says how much of it. Without it, a node starts what its image holds.",
    )
    .example("{ device = \"disk0\", reserve = \"64 MiB\" }"),
    Setting::new("disk.device", Value::Text("device"), "The disk.").required(),
    Setting::new(
        "disk.reserve",
        Value::Size(MIN_RESERVE, MAX_RESERVE),
        "How much of the disk is for systems, of which three have to fit. It is decided at the first start, and stays so.",
    )
    .default("\"128 MiB\""),
    Setting::new(
        "trust",
        Value::Array("ed25519 public key in 64 hexadecimal digits"),
        "Whose images may take the system's place; `pearwood key endorse` makes the entries for keys that another one \
         vouches for. Without it: the keys that the node was started with.",
    )
    .example(
        r#"[
    "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
    { key = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394", by = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c", signature = "716b1ed7f8f25d3ae8a617f8dfbd97a93e12e04e73f9524b4d9896c11878e8361e2576ad316c11b6b4a40892e898e8f5e6813bd7e97d0de09977ee57c5247508" },
]"#,
    ),
    Setting::new("trust.key", Value::Text("public key"), "The key that is trusted as well.").required(),
    Setting::new("trust.by", Value::Text("public key"), "The key that vouches for it.").required(),
    Setting::new("trust.signature", Value::Text("128 hexadecimal digits"), "The signature by which it does.").required(),
];

/// `[volume.NAME]`
pub const VOLUME: &[Setting] = &[
    Setting::new(
        "disk",
        Value::Text("device"),
        "The disk that it is made on. One that is on another disk is used where it is.",
    )
    .example("\"disk0\"")
    .required(),
    Setting::new(
        "size",
        Value::Size(MIB, MAX_SIZE),
        "How large it is, in whole MiB. If it is there and smaller, it grows; it is never made smaller.",
    )
    .example("\"2 GiB\"")
    .required(),
];

const PAUSE: Value = Value::Text("time up to 1 h, with the unit ms, s, min or h");

/// `[box.NAME]`
pub const BOX: &[Setting] = &[
    Setting::new(
        "component",
        Value::Some("name or path"),
        "A system component's name, a `.wasm` file, or a folder that is built. Several are fused to one.",
    )
    .example("\"./mine\"")
    .required(),
    Setting::new(
        "memory",
        Value::Size(MIN_MEMORY, MAX_MEMORY),
        "The most that its linear memories and tables may have together.",
    )
    .default("\"16 MiB\""),
    Setting::new("cpu", Value::Number(1, 10_000), "Its share of the CPU when boxes compete, as a weight.")
        .default("100"),
    Setting::new("queue", Value::Size(MIN_QUEUE as u64, MAX_QUEUE as u64), "What each of its ports may hold.")
        .default("\"256 KiB\""),
    Setting::new("concurrency", Value::Number(1, 65_536), "Calls that it serves at once.").default("64"),
    Setting::new(
        "reuse",
        Value::Truth,
        "Whether an instance of a WASI 0.2 handler answers another request after the first.",
    )
    .default("false"),
    Setting::new("restart", Value::Table, "The pauses before the box is started again, if it ends or fails.")
        .example("{ min = \"1 s\", max = \"5 min\" }"),
    Setting::new("restart.min", PAUSE, "The first pause. Each is twice as long as the one before it.")
        .default("\"100 ms\""),
    Setting::new("restart.max", PAUSE, "The longest pause.").default("\"30 s\""),
    Setting::new(
        "config",
        Value::Names("text, number, true or false, array or table"),
        "Settings that the box reads, flattened: `dns = [\"1.1.1.1\"]` is `dns.0`. Of a WASI component they are its \
         environment.",
    )
    .example("{ greeting = \"Hello\" }"),
    Setting::new(
        "assets",
        Value::Some("path of a folder"),
        "Files that the box can read, beside this file; or tables that say what they are, each with one of `folder`, \
         `file`, `rustdoc`, `graph` and `reference`.",
    )
    .example(
        r#"[
    "./public",
    { folder = "./pictures", at = "images" },
    { file = "./robots.txt" },
    { rustdoc = "my-crate", at = "doc" },
    { graph = true },
    { reference = true, at = "help.html" },
]"#,
    ),
    Setting::new(
        "assets.folder",
        Value::Text("path"),
        "A folder with all that is in it, but for names that begin with a dot.",
    ),
    Setting::new("assets.file", Value::Text("path"), "One file."),
    Setting::new("assets.rustdoc", Value::Text("name of a crate"), "The documentation of a crate of the workspace."),
    Setting::new("assets.graph", Value::OneOf(&["true"]), "The drawing of this system, as `graph.svg`."),
    Setting::new("assets.reference", Value::OneOf(&["true"]), "This reference, as `reference.html`."),
    Setting::new(
        "assets.at",
        Value::Text("path"),
        "Where among the box's assets they are: a folder, or for a single file its name. Without it: at the top.",
    ),
    Setting::new(
        "arrows",
        Value::Names("arrow, or an array of them"),
        "For each interface that the box imports, whose it is. `[]` for a client of `wasi:http`: nobody's.",
    )
    .example("{ \"pearwood:net/names\" = { box = \"net\" } }"),
];

/// Whose an interface is. An arrow has one of them.
pub const TARGETS: &[Setting] = &[
    Setting::new("box", Value::Text("name of a box"), "A box that provides the interface.").example("\"net\""),
    Setting::new("device", Value::Text("device"), "A device of the node, such as `nic0` or `disk0`.")
        .example("\"nic0\""),
    Setting::new("volume", Value::Text("name of a volume"), "A part of a disk that `[volume.NAME]` declares.")
        .example("\"guestbook\""),
    Setting::new("node", Value::OneOf(&["true"]), "The node itself: of `pearwood:control/node` the power over it, of `pearwood:hardware/crypto` its processor's instructions for cryptography, without which a box computes the same in wasm.").example("true"),
];

const NET: &[Setting] = &[
    Setting::new("listen", Value::Some("port or range of ports"), "Where the box may listen, or bind with UDP.")
        .example("[80, \"8000-8010\"]"),
    Setting::new(
        "connect",
        Value::Some("host:port"),
        "Whom the box may talk to by itself: a name, an address or a network, and a port, a range of ports or `*`.",
    )
    .example("[\"example.org:443\", \"10.0.0.0/8:*\"]"),
];

const HTTP: &[Setting] = &[
    Setting::new("host", Value::Text("host"), "Requests for this host only, without a port.")
        .example("\"example.org\""),
    Setting::new(
        "path",
        Value::Text("path"),
        "Requests for this path and those below it only. The longest one that fits counts.",
    )
    .example("\"/shop/\""),
];

/// What `access` of a bucket may be.
pub const ACCESS: &[&str] = &["read", "write", "read-write"];

const STORE: &[Setting] = &[
    Setting::new("bucket", Value::Text("name"), "The bucket that the box has: lower-case letters, digits and hyphens.")
        .example("\"guestbook\"")
        .required(),
    Setting::new(
        "access",
        Value::OneOf(ACCESS),
        "What the box may do there. Adding to numbers and swapping values is both.",
    )
    .default("\"read-write\""),
    Setting::new("prefix", Value::Text("prefix"), "What all keys begin with that the box may use. Without it: any.")
        .example("\"entries/\""),
    Setting::new(
        "quota",
        Value::Size(1, MAX_QUOTA),
        "How large keys and values of the bucket may become by what this box writes. Without it: as large as the disk.",
    )
    .example("\"10 MiB\""),
];

const BLOCK: &[Setting] = &[
    Setting::new("sectors", Value::Text("range of sectors"), "The part of the disk that the box has, of a disk that has neither volumes nor the node's systems. Without it: all.")
        .example("\"2048-10239\""),
    Setting::new("read-only", Value::Truth, "Whether the box can only read. Others may then read the same.")
        .default("false"),
];

const POWER: &[Setting] = &[Setting::new(
    "upload",
    Value::Size(MIN_UPLOAD, MAX_UPLOAD),
    "The most of an image that the box may bring to the node's memory, beside what the node has of it. Of a larger one, the \
     files go to the disk on which the node keeps its system, if it does.",
)
.default("\"64 MiB\"")];

/// The purposes of keys: interfaces of the box `keys`, which looks after what their arrows say.
pub const KEYS: &[&str] = &["pearwood:keys/tls", "pearwood:keys/acme"];

/// Interfaces whose arrows have grants, and those.
pub const GRANTS: &[(&[&str], &[Setting])] = &[
    (&[TCP, UDP], NET),
    (&[HANDLER, "wasi:http/outgoing-handler", "wasi:http/client", "wasi:http/handler"], HTTP),
    (&[KEYVALUE, STORE_FACE], STORE),
    (&["pearwood:hardware/block"], BLOCK),
    (&[CONTROL], POWER),
];

/// What an arrow of an interface can grant.
pub fn grants(kind: Kind) -> &'static [Setting] {
    match kind {
        Kind::Protocol(TCP | UDP) => NET,
        Kind::Protocol(HANDLER) => HTTP,
        Kind::Protocol(KEYVALUE) => STORE,
        Kind::Device(known::DISK) => BLOCK,
        Kind::Control => POWER,
        _ => &[],
    }
}

/// The keys of a table: those right below a key, or with `""` those at the top.
pub fn below(settings: &[Setting], key: &str) -> Vec<&'static str> {
    let names = settings.iter().filter_map(|setting| match key {
        "" => Some(setting.key),
        key => setting.key.strip_prefix(key)?.strip_prefix('.'),
    });
    names.filter(|name| !name.contains('.')).collect()
}
