//! See `faas_iam::invariants::body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    faas_iam::invariants::body(data);
});
