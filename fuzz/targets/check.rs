//! See `faas_iam::invariants::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    faas_iam::invariants::check(data);
});
