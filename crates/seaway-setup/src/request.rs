//! What is asked for.

use std::{fmt, path::PathBuf, time::Duration};

use seaway_discovery::kubernetes::access::Work;

/// All that is to be made.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whether the namespace is made when it is not there, and how strict it is then.
    pub namespace: Option<PodSecurity>,
    /// The service account and what identifies it.
    pub accounts: Accounts,
    /// What is allowed.
    pub roles: Option<Roles>,
    /// A key pair for SSH.
    pub ssh: Option<KeyPair>,
    /// A client certificate.
    pub certificate: Option<Certificate>,
    /// A Secret for pulling images.
    pub pull: Option<PullSecret>,
    /// A registry in the namespace.
    pub registry: Option<Registry>,
    /// Say what would be done, and write nothing.
    pub dry_run: bool,
    /// How long anything is waited for; `None` waits for nothing that others do.
    pub patience: Option<Duration>,
    /// With removal: keep claims of storage, and so the namespace.
    pub keep_data: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            namespace: None,
            accounts: Accounts::default(),
            roles: None,
            ssh: None,
            certificate: None,
            pull: None,
            registry: None,
            dry_run: false,
            patience: Some(Duration::from_secs(120)),
            keep_data: false,
        }
    }
}

/// Profiles of Pod Security admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodSecurity {
    /// What needs no privilege; all that Seaway starts.
    Restricted,
    /// What is known to be harmful is refused.
    Baseline,
    /// Everything.
    Privileged,
    /// No label: what the cluster does by itself.
    Unset,
}

/// A service account, its tokens, and the certificate of the cluster's authority.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Its name; `None` for no service account.
    pub name: Option<String>,
    /// Pods get no token of it unless they ask.
    pub no_automount: bool,
    /// A bound token, written to a file.
    pub token: Option<Token>,
    /// Name of a Secret with a token that does not expire.
    pub token_secret: Option<String>,
    /// File for the certificate of the cluster's authority.
    pub authority: Option<PathBuf>,
}

/// A bound token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The file it is written to.
    pub file: PathBuf,
    /// How long it is valid.
    pub duration: Duration,
}

/// What is allowed to the service account, and to the user of the certificate.
#[derive(Debug, Clone)]
pub struct Roles {
    /// Name of the role and of its binding.
    pub name: String,
    /// What is to be done.
    pub work: Vec<Work>,
    /// In all namespaces instead of one.
    pub cluster_wide: bool,
}

/// A key pair for SSH.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// Name of the Secret.
    pub secret: String,
}

/// A client certificate that the cluster signs.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The user that it is for.
    pub user: String,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// Name of the Secret that it is put into.
    pub secret: Option<String>,
    /// Folder that it is put into, as `tls.key` and `tls.crt`.
    pub folder: Option<PathBuf>,
    /// How long it is valid; the signer may give less.
    pub duration: Duration,
    /// Whether we approve it ourselves.
    pub approve: bool,
}

/// A Secret for pulling images from a registry.
#[derive(Debug, Clone)]
pub struct PullSecret {
    /// Name of the Secret.
    pub secret: String,
    /// The registry, and who we are there.
    pub login: Login,
    /// Whether pods of the service account use it without being told.
    pub attach: bool,
}

/// Who we are at a registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// Host, with a port where it is not 443.
    pub server: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// A registry in the namespace.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Name of all its objects.
    pub name: String,
    /// Image of the registry itself.
    pub image: String,
    /// Size of the claim that images are kept in; `None` for a volume that goes with the pod.
    pub storage: Option<String>,
    /// Storage class of the claim.
    pub storage_class: Option<String>,
    /// User that may push and pull.
    pub user: String,
    /// More names and addresses in its certificate.
    pub hosts: Vec<String>,
    /// Folder for what clients and nodes need: the authority's certificate, the login, the settings of containerd.
    pub folder: Option<PathBuf>,
    /// Whether pods of the service account use its login without being told.
    pub attach: bool,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
