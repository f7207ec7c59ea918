//! Quantities: what is read is the same after being written and read again.
#![no_main]

use std::{fmt::Display, str::FromStr};

use libfuzzer_sys::fuzz_target;
use seaway_model::{Cpu, Memory, Period};

fn check<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let written = value.to_string();
        assert!(written.parse::<T>().is_ok_and(|again| again == value), "{text} became {written}");
    }
}

fuzz_target!(|text: &str| {
    check::<Memory>(text);
    check::<Cpu>(text);
    check::<Period>(text);
});
