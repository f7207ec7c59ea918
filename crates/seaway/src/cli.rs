//! The command line: types only. What the commands do is in [`commands`](crate::commands).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use seaway_model::{Name, Period};

use crate::commands::{
    agent::AgentArguments,
    discovery::DiscoveryCommand,
    doctor::KubernetesArguments,
    rbac::RbacArguments,
    register::{DeregisterCommand, RegisterCommand},
    render::RenderArguments,
    run::RunArguments,
    setup::SetupCommand,
    wait::WaitArguments,
};

/// Interactive analytics engines, up anywhere.
///
/// Seaway brings up Dask with a notebook (later Arkouda, Jupyter kernels and Spark) on this machine, tells where to
/// reach it, shows how it is, and takes it down without a trace.
#[derive(Debug, Parser)]
#[command(name = "seaway", version, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "Start here:\n  seaway up dask        a Dask cluster with JupyterLab, until Ctrl-C\n  \
                        seaway doctor         what this machine has and lacks\n  \
                        seaway COMMAND --help what a command does, with examples"
)]
pub(crate) struct Cli {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// More detail on standard error; twice for still more.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring an instance up, and keep it up until Ctrl-C.
    Up(UpArguments),
    /// Take instances down.
    Down(DownArguments),
    /// Show how an instance is, and why.
    Status(StatusArguments),
    /// List instances.
    Ls(LsArguments),
    /// Show what tasks write.
    Logs(LogsArguments),
    /// Show everything that is known of an instance.
    Describe(DescribeArguments),
    /// Change the number of tasks of a role.
    Scale(ScaleArguments),
    /// Run a command in the container of a task.
    Exec(ExecArguments),
    /// Make the endpoints of an instance on a cluster reachable from this machine.
    PortForward(PortForwardArguments),
    /// Show what would be started, without starting it.
    Plan(PlanArguments),
    /// Write what would be made on a cluster as files.
    Render(RenderArguments),
    /// Print the JSON Schema of instance documents.
    Schema(SchemaArguments),
    /// Run a command, and announce its endpoints while it is ready.
    Run(Box<RunArguments>),
    /// Announce what something else started, while it is ready.
    Agent(Box<AgentArguments>),
    /// Announce something once, for scripts.
    Register(Box<RegisterCommand>),
    /// Take out what `register` announced.
    Deregister(Box<DeregisterCommand>),
    /// Find what is announced.
    Discovery(Box<DiscoveryCommand>),
    /// Wait until something answers.
    Wait(WaitArguments),
    /// Check what this machine has and lacks, and say how to get it.
    Doctor(DoctorArguments),
    /// Print the least Role and RoleBinding for the work in a Kubernetes namespace.
    Rbac(RbacArguments),
    /// Make a Kubernetes cluster ready, or find what is wrong with manifests.
    Setup(SetupCommand),
    /// Print a completion script for a shell.
    Completion(CompletionArguments),
    /// Look after one instance. Started by the other commands.
    #[command(hide = true)]
    Supervise {
        /// The instance.
        name: String,
    },
    /// Print the reference of the command line as Markdown.
    #[command(hide = true)]
    Reference {
        /// Which page.
        page: ReferencePage,
    },
}

/// Pages of the reference that are made from the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReferencePage {
    /// Commands and options.
    Commands,
    /// Instance documents.
    Document,
    /// The JSON of `seaway status`.
    Status,
    /// Exit codes.
    ExitCodes,
    /// Environment variables.
    Environment,
    /// Variables and `--set` names of the ARL.
    ArlNames,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// Where instances run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum PlatformKind {
    /// Processes of this machine.
    #[default]
    Local,
    /// Pods of a Kubernetes cluster.
    Kubernetes,
}

/// On which platform.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Platform")]
pub(crate) struct PlatformArguments {
    /// Where: this machine, or a Kubernetes cluster.
    #[arg(long, value_enum, value_name = "PLATFORM", env = crate::environment::ON, default_value_t)]
    pub(crate) on: PlatformKind,
    /// Namespace of the cluster; the document's or that of the context when absent.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<Name>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// The kubeconfig file, instead of `KUBECONFIG` or `~/.kube/config`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Where documents come from.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["preset", "file"]))]
pub(crate) struct SourceArguments {
    /// A preset to start from: `dask`.
    #[arg(value_name = "PRESET")]
    pub(crate) preset: Option<String>,
    /// A file with instance documents; `-` for standard input. They come up together.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Name of the instance, instead of the document's.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Set a value of the document, for example `workers.replicas=4`. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// `seaway up`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway up dask\n  seaway up dask --name big --set workers.replicas=8 --set \
                             workers.resources.memory=4Gi\n  seaway up -f cluster.yaml --detach\n  seaway up \
                             -f cluster.yaml --on kubernetes --namespace lab\n  seaway up -f cluster.yaml --on kubernetes \
                             --dry-run\n\nWithout --detach the \
                             command stays: it shows how the instance is, Ctrl-C takes everything down, a second Ctrl-C \
                             does it by force. An instance that could not become ready is taken down too; with --detach \
                             it stays for `seaway status` and `seaway logs`."
)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// Return as soon as the instance is ready, and leave it up.
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// With --detach: do not wait until it is ready.
    #[arg(long, requires = "detach")]
    pub(crate) no_wait: bool,
    /// Start nothing; show what would change. A cluster checks all of it too.
    #[arg(long, conflicts_with_all = ["detach", "no_wait", "timeout"])]
    pub(crate) dry_run: bool,
    /// How long it may take to become ready; without end when absent.
    #[arg(long, value_name = "TIME", conflicts_with = "no_wait")]
    pub(crate) timeout: Option<Period>,
    /// Form of what is printed on standard output when it is ready.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway down`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway down dask\n  seaway down --all\n  seaway down -f cluster.yaml\n\nTasks \
                             are asked to end, dependents before those they depend on, and ended by force when they take \
                             too long. The command returns when nothing of the instance is left: no process, no file, no \
                             entry in a directory."
)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["names", "all", "file"]))]
pub(crate) struct DownArguments {
    /// The instances.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// All instances.
    #[arg(long)]
    pub(crate) all: bool,
    /// The instances of a file with documents; `-` for standard input.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Do not give tasks time to end well.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway status`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway status\n  seaway status dask --watch\n  seaway status dask --output json\n\n\
                             The JSON is a contract; the reference has its schema."
)]
pub(crate) struct StatusArguments {
    /// The instance; all of them when absent.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Show it again whenever it changes, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArguments {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
    /// Names only, one on a line.
    #[arg(short, long, conflicts_with = "output")]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway logs`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway logs dask\n  seaway logs dask worker -f\n  seaway logs dask worker-0 --tail \
                             1000\n  seaway logs dask supervisor"
)]
pub(crate) struct LogsArguments {
    /// The instance.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A role, a task, or `supervisor`; all tasks when absent.
    #[arg(value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Go on with what is written from now on, until Ctrl-C or until the instance is gone.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many of the last lines of each task to begin with.
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    pub(crate) tail: usize,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeArguments {
    /// The instance.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway scale`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway scale dask worker=4\n  seaway scale dask worker=1 --timeout 10m\n\nFewer \
                             tasks: the idlest are asked to hand over their data and to finish what they run, and are \
                             stopped when they hold nothing. What holds work or the only copy of data is not stopped, \
                             unless with --force."
)]
pub(crate) struct ScaleArguments {
    /// The instance.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Roles with the number of tasks wanted.
    #[arg(value_name = "ROLE=N", required = true)]
    pub(crate) roles: Vec<String>,
    /// Stop tasks although they hold work or the only copy of data.
    #[arg(long)]
    pub(crate) force: bool,
    /// How long to wait for it. What was asked for stays asked for afterwards.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) timeout: Period,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway exec`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway exec dask worker-0 --on kubernetes -- python -c 'import os; print(os.cpu_count())'\n  \
                             seaway exec dask notebook-0 --on kubernetes -it -- bash\n\nThe exit code is that of the command."
)]
pub(crate) struct ExecArguments {
    /// The instance.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The task: `worker-0`.
    #[arg(value_name = "TASK")]
    pub(crate) task: String,
    /// The command with its arguments.
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give the command a terminal: this one.
    #[arg(short = 't', long)]
    pub(crate) tty: bool,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway port-forward`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway port-forward dask --on kubernetes\n\n`seaway up` and this command do the same: \
                             each endpoint gets its usual port of 127.0.0.1, or a free one when that is taken. It stays until \
                             Ctrl-C, or until the instance is gone. With --background another process stays, and this one \
                             returns."
)]
pub(crate) struct PortForwardArguments {
    /// The instance.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Return as soon as the endpoints are reachable, and leave them so until the instance is gone.
    #[arg(long)]
    pub(crate) background: bool,
    /// Form of what is printed.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
    /// Be the process in the background.
    #[arg(long, hide = true, conflicts_with = "background")]
    pub(crate) detached: bool,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway plan`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway plan dask\n  seaway plan -f cluster.yaml --output json\n\nThe plan is what \
                             a platform gets: `${…}` in it is filled in by the platform when it starts a task."
)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
    #[command(flatten)]
    pub(crate) platform: PlatformArguments,
}

/// `seaway schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArguments {
    /// Which schema.
    #[arg(value_enum, default_value_t = SchemaKind::Document)]
    pub(crate) of: SchemaKind,
}

/// Schemas that can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaKind {
    /// Instance documents.
    Document,
    /// What `seaway status NAME --output json` prints.
    Status,
    /// What `seaway plan --output json` prints.
    Plan,
}

/// `seaway doctor`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DoctorArguments {
    #[command(subcommand)]
    pub(crate) of: Option<DoctorOf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

/// What else can be looked at.
#[derive(Debug, Subcommand)]
pub(crate) enum DoctorOf {
    /// Whether a Kubernetes cluster is reached, who we are there, and which permissions are missing.
    Kubernetes(Box<KubernetesArguments>),
}

/// `seaway completion`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway completion bash > ~/.local/share/bash-completion/completions/seaway\n  \
                             seaway completion zsh > ~/.zfunc/_seaway\n  seaway completion fish > \
                             ~/.config/fish/completions/seaway.fish"
)]
pub(crate) struct CompletionArguments {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
