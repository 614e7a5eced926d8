//! The environment of the cargo that we start. `cargo run` and `cargo test` leave in ours what was meant for this
//! program, and would change what is built.

use std::env;
use std::process::Command;

/// Set by cargo for what it runs, or by a person for the native build.
const DROPPED: [&str; 16] = [
    "CARGO",
    "CARGO_BIN_NAME",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_CRATE_NAME",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_DIR",
    "CARGO_TARGET_TMPDIR",
    "OUT_DIR",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
];

const DROPPED_PREFIXES: [&str; 7] = [
    "CARGO_BIN_EXE_",
    "CARGO_CFG_",
    "CARGO_FEATURE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
];

pub fn clean(command: &mut Command) {
    for (name, value) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        if is_dropped(name) {
            command.env_remove(name);
        } else if name == "LD_LIBRARY_PATH" {
            // rustup and cargo put directories of the outer toolchain in front
            let kept = env::split_paths(&value).filter(|path| {
                let path = path.to_string_lossy();
                !path.is_empty() && !path.contains("/toolchains/") && !path.contains("/target/")
            });
            match env::join_paths(kept) {
                Ok(kept) if !kept.is_empty() => command.env(name, kept),
                _ => command.env_remove(name),
            };
        }
    }
}

fn is_dropped(name: &str) -> bool {
    DROPPED.contains(&name) || DROPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_set_for_all_builds_stays() {
        for kept in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_BUILD_JOBS", "CARGO_HTTP_PROXY", "RUSTC_WRAPPER", "PATH"]
        {
            assert!(!is_dropped(kept), "{kept}");
        }
        for dropped in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO", "RUSTFLAGS", "CARGO_TARGET_DIR"] {
            assert!(is_dropped(dropped), "{dropped}");
        }
    }
}
