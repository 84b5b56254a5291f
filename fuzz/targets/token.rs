//! See `faas_iam::invariants::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    faas_iam::invariants::token(data);
});
