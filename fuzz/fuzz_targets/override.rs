//! `--set`: an error, or a change that leaves a valid document or an error that names the override.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seaway_model::{
    Document,
    document::{Override, parse},
};

fuzz_target!(|text: &str| {
    let Ok(change) = Override::parse(text) else { return };
    let preset = Document::preset("dask").expect("the preset is valid");
    if let Ok(changed) = preset.with_overrides(&[change]) {
        let yaml = changed.to_yaml().expect("a document can be written");
        assert_eq!(parse("again", yaml.as_bytes()).expect("and read again"), [changed], "{yaml}");
    }
});
