//! Templates: what is read is the same after being written and read again; a literal never refers to anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seaway_model::plan::Template;

fuzz_target!(|text: &str| {
    if let Ok(template) = text.parse::<Template>() {
        let written = template.to_string();
        assert_eq!(written.parse::<Template>().expect("what was written can be read"), template, "{written}");
    }
    let literal = Template::literal(text);
    let read: Template = literal.to_string().parse().expect("a literal can be written and read");
    assert_eq!(read.references().count(), 0);
    assert_eq!(read.resolve(|reference| Err(reference.to_string())).as_deref(), Ok(text));
});
