//! Leases read back from an API server: nothing, or an entry that is the same after being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seaway_discovery::{Entry, kubernetes::from_answer};

fuzz_target!(|bytes: &[u8]| {
    if let Some(entry) = from_answer(bytes) {
        let _ = entry.believed_until();
        let written = entry.to_json().expect("an entry can be written");
        assert_eq!(Entry::from_json(&written).expect("and read again"), entry);
    }
});
