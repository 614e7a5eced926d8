//! `wasi:random` 0.3, where a call may yield fewer bytes than are asked for.

crate::wasi::random::face!(64 << 10, get_insecure_seed);
