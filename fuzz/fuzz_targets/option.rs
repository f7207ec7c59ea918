//! Endpoints, probes and labels of `seaway run`; an endpoint's URL, read again, is the same endpoint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seaway_agent::run::options;

fuzz_target!(|text: &str| {
    if let Ok(read) = options::endpoint(text) {
        let written = format!("{}={}", read.name, read.url());
        assert_eq!(options::endpoint(&written).expect("what was written can be read"), read, "{written}");
    }
    let _ = options::probe(text);
    let _ = options::label(text);
    let _ = options::default_name(text);
});
