//! See `faas_iam::invariants::decide`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    faas_iam::invariants::decide(data);
});
