//! What a new system starts as: the example `hello` under another name, or a box that only logs.

use super::Template;
use anyhow::{Context, Result};
use std::path::Path;

const HTTP_SOURCE: &str = include_str!("../../../../examples/hello/greeter/src/lib.rs");
const HTTP_SYSTEM: &str = include_str!("../../../../examples/hello/system.toml");
const SERVICE_SOURCE: &str = include_str!("service.rs.txt");
const SERVICE_SYSTEM: &str =
    "[system]\nname = \"NAME\"\n\n[box.NAME]\ncomponent = \"./NAME\"\nconfig.greeting = \"Hello\"\n";

/// Paths and contents. `root` is Pearwood's source tree.
pub fn files(template: Template, name: &str, root: &Path) -> Result<Vec<(String, String)>> {
    let root = root.to_str().context("the path of Pearwood's source tree is not UTF-8")?;
    let (system, source) = match template {
        Template::Http => (
            HTTP_SYSTEM.replace("name = \"hello\"", &format!("name = \"{name}\"")).replace("greeter", name),
            HTTP_SOURCE.replace("../../../wit", &format!("{root}/wit")),
        ),
        Template::Service => {
            (SERVICE_SYSTEM.replace("NAME", name), SERVICE_SOURCE.replace("WIT", &format!("{root}/wit")))
        }
    };
    Ok(vec![
        (".gitignore".into(), "target\n".into()),
        ("system.toml".into(), system),
        (format!("{name}/Cargo.toml"), manifest(name, root)),
        (format!("{name}/src/lib.rs"), source),
    ])
}

fn manifest(name: &str, root: &str) -> String {
    format!(
        r#"[package]
name = "{name}"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib"]

[dependencies]
wit = {{ path = "{root}/wit", package = "pearwood-wit" }}
wit-bindgen = {{ version = "0.61", default-features = false, features = ["macros", "realloc", "bitflags"] }}

[profile.release]
panic = "abort"
lto = "fat"
codegen-units = 1

[workspace]
"#
    )
}
