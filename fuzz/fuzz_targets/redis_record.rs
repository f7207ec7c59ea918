//! Answers of Redis: an error, or entries that are what the server says.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| seaway_discovery::redis::read_back(bytes));
