//! The paths in a document, for whoever must tell what they are relative to.

use std::path::{Path, PathBuf};

use super::{Document, Spec};
use crate::discovery::DirectorySpec;

impl Document {
    /// Gives every path of the document to `change`.
    pub fn for_each_path(&mut self, change: &mut dyn FnMut(&mut PathBuf)) {
        match &mut self.spec {
            Spec::Dask(spec) => {
                spec.python.environment.iter_mut().for_each(&mut *change);
                spec.notebook.token_file.iter_mut().for_each(&mut *change);
                spec.notebook.directory.iter_mut().for_each(&mut *change);
                spec.data.iter_mut().for_each(|data| change(&mut data.path));
                spec.discovery
                    .iter_mut()
                    .for_each(|directory| paths_of(directory, change));
            }
        }
    }

    /// Sets the directory that a notebook shows, where the document names none.
    pub fn set_default_notebook_directory(&mut self, directory: &Path) {
        match &mut self.spec {
            Spec::Dask(spec) => {
                spec.notebook
                    .directory
                    .get_or_insert_with(|| directory.to_owned());
            }
        }
    }
}

fn paths_of(directory: &mut DirectorySpec, change: &mut dyn FnMut(&mut PathBuf)) {
    match directory {
        DirectorySpec::File(file) => file.path.iter_mut().for_each(change),
        DirectorySpec::Stdout(_) => {}
        DirectorySpec::Http(http) => {
            let files = [
                &mut http.token_file,
                &mut http.certificate_file,
                &mut http.key_file,
                &mut http.ca_file,
            ];
            files.into_iter().flatten().for_each(change);
        }
        DirectorySpec::Kubernetes(kubernetes) => {
            let files = [
                &mut kubernetes.kubeconfig,
                &mut kubernetes.token_file,
                &mut kubernetes.certificate_file,
                &mut kubernetes.key_file,
                &mut kubernetes.ca_file,
            ];
            files.into_iter().flatten().for_each(change);
        }
        DirectorySpec::Consul(consul) => {
            let files = [
                &mut consul.token_file,
                &mut consul.certificate_file,
                &mut consul.key_file,
                &mut consul.ca_file,
            ];
            files.into_iter().flatten().for_each(change);
        }
        DirectorySpec::Redis(redis) => {
            let files = [
                &mut redis.password_file,
                &mut redis.certificate_file,
                &mut redis.key_file,
                &mut redis.ca_file,
            ];
            files.into_iter().flatten().for_each(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_a_document_is_reached() {
        let text = "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {name: a}\nspec:\n  \
                    python: {environment: p}\n  notebook: {directory: p, tokenFile: p}\n  data: [{name: d, path: p}]\n  \
                    discovery:\n  - file: {path: p}\n  - http: {url: 'https://h/', tokenFile: p, certificateFile: p, \
                    keyFile: p, caFile: p}\n";
        let mut document = crate::document::parse("test", text.as_bytes()).unwrap().remove(0);
        let mut count = 0;
        document.for_each_path(&mut |path| {
            assert_eq!(path, Path::new("p"));
            *path = "/q".into();
            count += 1;
        });
        assert_eq!(count, 9);
        assert!(!document.to_yaml().unwrap().contains(": p"));
        document.set_default_notebook_directory(Path::new("/elsewhere"));
        document.for_each_path(&mut |path| assert_eq!(path, Path::new("/q")));
    }
}
