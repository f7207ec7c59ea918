//! Names: only RFC 1123 labels of at most 53 characters pass.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seaway_model::{Name, name::MAX_LENGTH};

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<Name>() {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert_eq!(name.as_str(), text);
        assert!((1..=MAX_LENGTH).contains(&text.len()) && text.chars().all(inner), "{text:?}");
        assert!(!text.starts_with('-') && !text.ends_with('-'), "{text:?}");
    }
});
