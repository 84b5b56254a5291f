//! See `faas_iam::invariants::route`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    faas_iam::invariants::route(data);
});
