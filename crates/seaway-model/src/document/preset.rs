//! Documents that come with Seaway, to start from.

/// The built-in presets, as (name, description).
pub const PRESETS: &[(&str, &str)] = &[("dask", "Dask with two small workers and a notebook, for a laptop")];

/// The text of a preset: a commented YAML document.
#[must_use]
pub fn preset(name: &str) -> Option<&'static str> {
    match name {
        "dask" => Some(include_str!("presets/dask.yaml")),
        _ => None,
    }
}
