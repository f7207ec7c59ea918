//! Entries of directories: an error, or an entry that is the same after being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seaway_discovery::Entry;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::from_json(bytes) {
        let _ = entry.believed_until();
        let written = entry.to_json().expect("an entry can be written");
        assert_eq!(Entry::from_json(&written).expect("and read again"), entry);
    }
});
