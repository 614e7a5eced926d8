//! What a new system starts as.

use super::{Lang, Template};
use anyhow::{Context, Result};
use pearwood::system::web;
use std::path::Path;

const OWN: &str = "[box.NAME]\ncomponent = \"./NAME\"\nconfig.greeting = \"Hello\"\n";

/// What the box has beyond that. Of runtimes that import what asks others, whether it is used or not: nobody is asked.
const LARGE_RUNTIME: &str = "memory = \"64 MiB\"\narrows.\"wasi:http/outgoing-handler\" = []\n";
const GO_RUNTIME: &str = "memory = \"32 MiB\"\n";

const GREETER: &str = include_str!("../../../../examples/hello/greeter/src/lib.rs");

/// The dependencies of crates.
const WSTD: &str = "wasip2 = \"=1.0.4\"\nwstd = \"=0.6.8\"\n";
const SDK: &str = "pearwood = { path = \"ROOT/sdk\", package = \"pearwood-sdk\" }\n";

/// Paths and contents. `root` is Pearwood's source tree.
pub fn files(template: Template, lang: Lang, name: &str, root: &Path) -> Result<Vec<(String, String)>> {
    let root = root.to_str().context("the path of Pearwood's source tree is not UTF-8")?;
    let mut files = vec![(".gitignore".into(), "target\n.pearwood\nnode_modules\n".into())];
    let mut own = |file: &str, text: String| files.push((format!("{name}/{file}"), text));
    let mut krate = |dependencies: &str, source: &str| {
        own("Cargo.toml", manifest(name, &dependencies.replace("ROOT", root)));
        own("src/lib.rs", source.into());
    };
    let more = match (template, lang) {
        (Template::Packed, _) => {
            krate(SDK, GREETER);
            ""
        }
        (Template::Service, _) => {
            krate(SDK, include_str!("templates/service.rs"));
            ""
        }
        (Template::Wasi, Lang::Rust) => {
            krate(WSTD, include_str!("templates/wasi.rs"));
            ""
        }
        (Template::Wasi, Lang::Python) => {
            own("app.py", include_str!("templates/app.py").into());
            LARGE_RUNTIME
        }
        (Template::Wasi, Lang::Js) => {
            own("app.js", include_str!("templates/app.js").into());
            own("package.json", include_str!("templates/package.json").replace("NAME", name));
            LARGE_RUNTIME
        }
        (Template::Wasi, Lang::Go) => {
            own("handler.go", include_str!("templates/handler.go").into());
            own("go.mod", include_str!("templates/go.mod.txt").replace("NAME", name));
            GO_RUNTIME
        }
        (Template::Wasi, Lang::C) => {
            own("handler.c", include_str!("templates/handler.c").into());
            ""
        }
    };
    let own = OWN.replace("NAME", name);
    let system = match template {
        Template::Service => format!("[system]\nname = \"{name}\"\n\n{own}"),
        Template::Packed | Template::Wasi => web(name, &format!("{{ box = \"{name}\" }}"), &own),
    };
    files.push(("system.toml".into(), system + more));
    Ok(files)
}

fn manifest(name: &str, dependencies: &str) -> String {
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib"]

[dependencies]
{dependencies}
[profile.release]
panic = "abort"
lto = "fat"
codegen-units = 1

[workspace]
"#
    )
}
