//! Instance documents: what right ones become, and what wrong ones are answered with, word for word.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "Clippy takes the helpers of integration tests for production code"
)]

mod aliases;
mod overrides;
mod properties;
mod right;
mod structure;
mod syntax;
mod values;

use seaway_model::{
    Document, Spec,
    document::{DaskSpec, parse},
};

/// The beginning of a right document.
const HEAD: &str = "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata:\n  name: dask\n";

fn one(text: &str) -> Document {
    let mut documents = parse("dask.yaml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn dask(document: &Document) -> &DaskSpec {
    let Spec::Dask(spec) = &document.spec;
    spec
}

/// The errors of an input.
fn errors(text: impl AsRef<[u8]>) -> String {
    let errors = parse("dask.yaml", text.as_ref()).unwrap_err();
    for error in errors.errors() {
        assert!(
            error.line >= 1 && error.column >= 1 && error.source_name == "dask.yaml",
            "{error:?}"
        );
    }
    errors.to_string()
}

/// The errors of a spec.
fn spec(lines: &str) -> String {
    errors(format!("{HEAD}spec:\n{lines}"))
}
