//! Seaway's rendering: a plan as Kubernetes objects, and those as files.
//!
//! [`kubernetes::objects`] is a pure function from a [`Plan`](seaway_model::plan::Plan) to the objects that make it
//! exist in a cluster. The Kubernetes platform applies what it returns; plain manifests and the Helm chart are other
//! ways to write it down. So what is rendered and what is run are the same.

pub mod helm;
pub mod kubernetes;
pub mod manifests;
