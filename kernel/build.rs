//! Links the kernel by its own script.
//!
//! The compiler needs no flags beyond the target's, but builds of the kernel should have
//! `RUSTFLAGS="-Crelocation-model=static -Cforce-frame-pointers=yes"`: it is linked at a fixed address, and its
//! backtraces follow frame pointers.

fn main() {
    let script = format!("{}/link.ld", std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=-no-pie");
}
