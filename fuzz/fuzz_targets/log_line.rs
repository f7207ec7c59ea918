//! Lines of logs as they are shown: short, and nothing that could drive a terminal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seaway_platform::local::logs::{LONGEST_LINE, clean};

fuzz_target!(|bytes: &[u8]| {
    let shown = clean(bytes);
    assert!(shown.chars().all(|letter| letter == '\t' || !letter.is_control()), "{shown:?}");
    // Each byte that is shown as an escape becomes at most eight.
    assert!(shown.len() <= 8 * (LONGEST_LINE + 1), "{} bytes", shown.len());
});
