#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz_cases::case("sessions").run)(bytes));
