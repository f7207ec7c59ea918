//! Answers of Consul: an error, or entries and what became of a change.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| seaway_discovery::consul::read_back(bytes));
