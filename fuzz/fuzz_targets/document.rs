//! Instance documents: whatever the bytes are, an error with its place or documents that are valid, have a plan, and
//! are the same after being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seaway_model::{Document, document::parse};

fuzz_target!(|bytes: &[u8]| {
    match parse("fuzz", bytes) {
        Ok(documents) => {
            for document in documents {
                let yaml = document.to_yaml().expect("a document can be written");
                assert_eq!(parse("again", yaml.as_bytes()).expect("and read again"), [document.clone()], "{yaml}");
                let json = serde_json::to_string(&document).expect("a document can be stored");
                assert_eq!(Document::from_json("stored", &json).expect("and loaded"), document, "{json}");
                seaway_engines::plan(&document).expect("every valid document has a plan");
            }
        }
        Err(errors) => assert!(errors.to_string().contains("fuzz:"), "no place: {errors}"),
    }
});
