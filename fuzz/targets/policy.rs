//! See `faas_iam::invariants::policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    faas_iam::invariants::policy(data);
});
