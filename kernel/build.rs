//! Links the kernel by its own script, with its cryptography. The compiler's flags are in the workspace's `.cargo/config.toml`.

fn main() {
    let script = format!("{}/link.ld", std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=-no-pie");
    if std::env::var_os("CARGO_FEATURE_CRYPTO").is_none() {
        return;
    }
    // made by `toolchain/src/build/crypto.rs`
    println!("cargo:rerun-if-env-changed=PEARWOOD_CRYPTO");
    let library = std::env::var("PEARWOOD_CRYPTO").expect("`pearwood` builds the kernel, and says where this is");
    println!("cargo:rerun-if-changed={library}");
    println!("cargo:rustc-link-arg-bins={library}");
}
