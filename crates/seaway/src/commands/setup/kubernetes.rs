//! `seaway setup kubernetes`.

use std::{io::Read, path::PathBuf};

use clap::{Args, ValueEnum, ValueHint};
use seaway_discovery::kubernetes::access::Work;
use seaway_model::{Name, Period, discovery::KubernetesPlacement};
use seaway_setup::{
    Accounts, Certificate, Did, KeyPair, Login, PodSecurity, PullSecret, Registry, Report, Request, Roles,
    Secret, Token,
};

use super::{ClusterArguments, failure};
use crate::{
    cli::OutputFormat,
    commands::rbac::WorkArgument,
    directories::PlacementArgument,
    failure::{Failure, Outcome, USAGE},
    output,
};

/// Variable with the password of `--registry-user`, so that it stands in no list of processes.
const PASSWORD: &str = crate::environment::REGISTRY_PASSWORD;

const EXAMPLES: &str = "\
Examples:
  A namespace with a service account that may announce engines, shown first:
    seaway setup kubernetes --namespace analytics --dry-run
    seaway setup kubernetes --namespace analytics

  What Arkouda's charts want: an SSH key, a client certificate of the user arkouda, its permissions:
    seaway setup kubernetes --namespace arkouda --ssh arkouda-ssh --certificate arkouda

  What an engine on a bare machine or under Slurm wants: a token and the authority's certificate in files:
    seaway setup kubernetes --namespace arkouda --token ./token --authority ./ca.crt

  Images from a registry that wants a password (read from standard input), and a registry of one's own:
    pass registry | seaway setup kubernetes --pull-secret arlregcred --registry registry.example.org \\
      --registry-user me --registry-password-file -
    seaway setup kubernetes --namespace analytics --own-registry registry --registry-files ./registry

Every step is made so once: run again, it writes nothing, and generated keys are kept. What others made is neither changed
nor removed. `--remove` takes out what setup made.";

/// `seaway setup kubernetes`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(crate) struct KubernetesSetupArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// Show what would be done, with the objects as YAML, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take out what setup made in the namespace; the namespace too, when nothing of others is in it.
    #[arg(long)]
    remove: bool,
    /// With --remove: keep what the registry holds, and so the namespace.
    #[arg(long, requires = "remove")]
    keep_data: bool,
    /// How long anything that others do is waited for.
    #[arg(long, value_name = "TIME", default_value = "2m")]
    timeout: Period,
    /// Wait for nothing that others do.
    #[arg(long)]
    no_wait: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,

    /// The namespace has to be there; do not make it.
    #[arg(long, help_heading = "Namespace")]
    no_namespace: bool,
    /// Pod Security profile of a namespace that is made.
    #[arg(
        long,
        value_enum,
        value_name = "PROFILE",
        default_value = "restricted",
        help_heading = "Namespace"
    )]
    pod_security: SecurityArgument,

    /// Name of the service account.
    #[arg(long, value_name = "NAME", default_value = "seaway", help_heading = "Who")]
    service_account: Name,
    /// No service account, and so no token.
    #[arg(long, conflicts_with_all = ["token", "token_secret"], help_heading = "Who")]
    no_service_account: bool,
    /// Pods of a service account that is made get no token unless they ask for one.
    #[arg(long, help_heading = "Who")]
    no_automount: bool,
    /// Write a token that ends by itself to this file (mode 0600); a run in its last third renews it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Who")]
    token: Option<PathBuf>,
    /// How long that token is valid; the cluster may give less.
    #[arg(long, value_name = "TIME", default_value = "1d", help_heading = "Who")]
    token_duration: Period,
    /// Make a Secret with a token that does not expire, for what cannot renew one.
    #[arg(long, value_name = "NAME", help_heading = "Who")]
    token_secret: Option<Name>,
    /// Write the certificate of the cluster's authority to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Who")]
    authority: Option<PathBuf>,

    /// What is to be allowed, separated by commas.
    #[arg(
        long = "for",
        value_enum,
        value_delimiter = ',',
        value_name = "WORK",
        default_value = "announce",
        help_heading = "Permissions"
    )]
    work: Vec<WorkArgument>,
    /// Where announced engines run, as seen from the cluster.
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        default_value = "outside",
        help_heading = "Permissions"
    )]
    placement: PlacementArgument,
    /// Name of the role and of its binding.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "seaway",
        help_heading = "Permissions"
    )]
    role: Name,
    /// Allow it in all namespaces; the names of role and binding end with the namespace then.
    #[arg(long, help_heading = "Permissions")]
    cluster_wide: bool,
    /// No role and no binding.
    #[arg(long, help_heading = "Permissions")]
    no_access: bool,

    /// Make a Secret of this name with an SSH key pair (ed25519); Arkouda's charts call it `arkouda-ssh`.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "arkouda-ssh", help_heading = "Keys and certificates")]
    ssh: Option<Name>,
    /// Have the cluster sign a client certificate for this user, who is allowed what the service account is.
    #[arg(long, value_name = "USER", help_heading = "Keys and certificates")]
    certificate: Option<String>,
    /// Group of that user. May be given several times.
    #[arg(
        long,
        value_name = "GROUP",
        requires = "certificate",
        help_heading = "Keys and certificates"
    )]
    certificate_group: Vec<String>,
    /// Secret that the certificate is put into [default: USER-tls, unless --certificate-files is given].
    #[arg(
        long,
        value_name = "NAME",
        requires = "certificate",
        help_heading = "Keys and certificates"
    )]
    certificate_secret: Option<Name>,
    /// Folder that the certificate is put into, as tls.crt and tls.key (mode 0600).
    #[arg(long, value_name = "DIR", requires = "certificate", value_hint = ValueHint::DirPath, help_heading = "Keys and certificates")]
    certificate_files: Option<PathBuf>,
    /// How long the certificate is valid; the cluster may give less.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "365d",
        help_heading = "Keys and certificates"
    )]
    certificate_duration: Period,
    /// Leave the approval of the certificate to somebody else; the next run goes on with it.
    #[arg(long, requires = "certificate", help_heading = "Keys and certificates")]
    no_approve: bool,

    /// Make a Secret of this name with which nodes pull images.
    #[arg(long, value_name = "NAME", requires_all = ["registry", "registry_user"], help_heading = "Images")]
    pull_secret: Option<Name>,
    /// The registry that it is for, such as registry.example.org:5000.
    #[arg(long, value_name = "HOST", requires = "pull_secret", help_heading = "Images")]
    registry: Option<String>,
    /// User there.
    #[arg(long, value_name = "USER", requires = "pull_secret", help_heading = "Images")]
    registry_user: Option<String>,
    /// File with the password; `-` for standard input [default: SEAWAY_REGISTRY_PASSWORD, the password itself].
    #[arg(long, value_name = "FILE", requires = "pull_secret", value_hint = ValueHint::FilePath, help_heading = "Images")]
    registry_password_file: Option<PathBuf>,
    /// Do not name the Secrets for images in the service account; pods have to.
    #[arg(long, help_heading = "Images")]
    no_attach: bool,

    /// Run a registry of this name in the namespace, with an authority and a password of its own.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "registry", help_heading = "Registry of one's own")]
    own_registry: Option<Name>,
    /// Image of the registry itself.
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "registry:3",
        help_heading = "Registry of one's own"
    )]
    registry_image: String,
    /// Size of the claim that images are kept in [default: no claim; they go with the pod].
    #[arg(long, value_name = "SIZE", help_heading = "Registry of one's own")]
    registry_storage: Option<String>,
    /// Storage class of that claim [default: that of the cluster].
    #[arg(
        long,
        value_name = "CLASS",
        requires = "registry_storage",
        help_heading = "Registry of one's own"
    )]
    registry_storage_class: Option<String>,
    /// User that pushes and pulls.
    #[arg(
        long,
        value_name = "USER",
        default_value = "seaway",
        help_heading = "Registry of one's own"
    )]
    registry_login: String,
    /// One more name or address in its certificate. May be given several times.
    #[arg(long, value_name = "HOST", help_heading = "Registry of one's own")]
    registry_host: Vec<String>,
    /// Folder for what clients and nodes need: ca.crt, config.json with the login (mode 0600), hosts.toml for containerd.
    #[arg(long, value_name = "DIR", requires = "own_registry", value_hint = ValueHint::DirPath, help_heading = "Registry of one's own")]
    registry_files: Option<PathBuf>,
}

/// Pod Security profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SecurityArgument {
    /// What needs no privilege; all that Seaway starts.
    Restricted,
    /// What is known to be harmful is refused.
    Baseline,
    /// Everything.
    Privileged,
    /// No label: what the cluster does by itself.
    Unset,
}

impl From<SecurityArgument> for PodSecurity {
    fn from(argument: SecurityArgument) -> Self {
        match argument {
            SecurityArgument::Restricted => Self::Restricted,
            SecurityArgument::Baseline => Self::Baseline,
            SecurityArgument::Privileged => Self::Privileged,
            SecurityArgument::Unset => Self::Unset,
        }
    }
}

impl KubernetesSetupArguments {
    fn request(&self) -> Result<Request, Failure> {
        let patience = (!self.no_wait).then(|| self.timeout.duration());
        let announcing = Work::Announce {
            placement: KubernetesPlacement::from(self.placement),
            legacy_endpoints: false,
            selector: false,
        };
        let name = |name: &Name| name.to_string();
        Ok(Request {
            namespace: (!self.no_namespace).then(|| self.pod_security.into()),
            accounts: Accounts {
                name: (!self.no_service_account).then(|| self.service_account.to_string()),
                no_automount: self.no_automount,
                token: self.token.clone().map(|file| Token {
                    file,
                    duration: self.token_duration.duration(),
                }),
                token_secret: self.token_secret.as_ref().map(name),
                authority: self.authority.clone(),
            },
            roles: (!self.no_access).then(|| Roles {
                name: self.role.to_string(),
                work: self.work.iter().map(|work| work.with(announcing)).collect(),
                cluster_wide: self.cluster_wide,
            }),
            ssh: self.ssh.as_ref().map(|secret| KeyPair {
                secret: secret.to_string(),
            }),
            certificate: self.certificate(),
            pull: self.pull()?,
            registry: self.own_registry.as_ref().map(|registry| Registry {
                name: registry.to_string(),
                image: self.registry_image.clone(),
                storage: self.registry_storage.clone(),
                storage_class: self.registry_storage_class.clone(),
                user: self.registry_login.clone(),
                hosts: self.registry_host.clone(),
                folder: self.registry_files.clone(),
                attach: !self.no_attach,
            }),
            dry_run: self.dry_run,
            patience,
            keep_data: self.keep_data,
        })
    }

    fn certificate(&self) -> Option<Certificate> {
        let user = self.certificate.clone()?;
        let secret = match (&self.certificate_secret, &self.certificate_files) {
            (Some(secret), _) => Some(secret.to_string()),
            (None, Some(_)) => None,
            (None, None) => Some(format!("{user}-tls")),
        };
        Some(Certificate {
            user,
            groups: self.certificate_group.clone(),
            secret,
            folder: self.certificate_files.clone(),
            duration: self.certificate_duration.duration(),
            approve: !self.no_approve,
        })
    }

    fn pull(&self) -> Result<Option<PullSecret>, Failure> {
        let (Some(secret), Some(server), Some(user)) =
            (&self.pull_secret, &self.registry, &self.registry_user)
        else {
            return Ok(None);
        };
        // What is only taken out or shown needs no password.
        let password = if self.remove {
            String::new()
        } else {
            self.password()?
        };
        Ok(Some(PullSecret {
            secret: secret.to_string(),
            login: Login {
                server: server.clone(),
                user: user.clone(),
                password: Secret::new(password),
            },
            attach: !self.no_attach,
        }))
    }

    fn password(&self) -> Result<String, Failure> {
        let wrong = |reason: String| {
            Failure::new(USAGE, format!("the registry's password: {reason}")).hint(format!(
                "give it with --registry-password-file FILE, or in the variable {PASSWORD}"
            ))
        };
        let text = match &self.registry_password_file {
            Some(file) if file.as_os_str() == "-" => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .map_err(|error| wrong(error.to_string()))?;
                text
            }
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| wrong(format!("{}: {error}", file.display())))?,
            None => std::env::var(PASSWORD).map_err(|_| wrong("it is not given".to_owned()))?,
        };
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        Ok(password.to_owned())
    }
}

/// Makes it so, or takes it out, and says what was done.
pub(super) async fn run(arguments: KubernetesSetupArguments) -> Outcome {
    let request = arguments.request()?;
    let connection = arguments.cluster.connection()?;
    let (report, outcome) = if arguments.remove {
        seaway_setup::remove(&connection, &request).await
    } else {
        seaway_setup::kubernetes(&connection, &request).await
    };
    // What was done before a step failed is done.
    if outcome.is_ok() || !report.steps.is_empty() {
        output::emit(arguments.output, &report, || text(&report))?;
    }
    if outcome.is_ok() && report.steps.iter().any(|step| step.did == Did::Waiting) {
        return Err(Failure::new(
            crate::failure::FAILED,
            "something is not there yet; see above",
        ));
    }
    outcome.map_err(failure)?;
    Ok(0)
}

/// A table of the steps, with the objects before it where nothing was written.
fn text(report: &Report) -> String {
    let mut text = String::new();
    for object in &report.objects {
        let yaml = serde_saphyr::to_string(object).unwrap_or_default();
        text.push_str(&format!("---\n{}\n", yaml.trim_end()));
    }
    // As comments, so that what is printed can be read as YAML.
    let mark = if report.objects.is_empty() { "" } else { "# " };
    if report.steps.is_empty() {
        return format!(
            "nothing to do in namespace {} of {}",
            report.namespace, report.server
        );
    }
    let rows = report
        .steps
        .iter()
        .map(|step| {
            vec![
                step.step.to_owned(),
                step.object.clone(),
                step.did.words().to_owned(),
                step.why.clone(),
            ]
        })
        .collect();
    let table = output::table(&["STEP", "WHAT", "DONE", "WHY"], rows);
    let notes = report.notes.iter().map(|note| format!("note: {note}"));
    let head = format!("namespace {} of {}", report.namespace, report.server);
    for line in std::iter::once(head.as_str())
        .chain(table.lines())
        .map(str::to_owned)
        .chain(notes)
    {
        text.push_str(&format!("{mark}{line}\n"));
    }
    text
}
