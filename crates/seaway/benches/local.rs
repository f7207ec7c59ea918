//! The local platform in figures, each with its goal: time to ready beside `LocalCluster`, what supervision costs,
//! how fast `seaway status` answers, how large the binary is.
//!
//! `cargo bench -p seaway --bench local` runs it all. It needs what `seaway up dask` needs, and a machine that does
//! nothing else. A goal that is missed is said, and is no failure: whether a machine is quiet is not the code's doing.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Instances side by side when supervision and status are measured.
const INSTANCES: usize = 20;
/// How long CPU time is counted.
const IDLE: Duration = Duration::from_secs(60);
/// Time for a machine to calm down after much was started or stopped.
const CALM: Duration = Duration::from_secs(3);
/// Calls of `seaway status`.
const CALLS: usize = 100;

const HELP: &str = "cargo bench -p seaway --bench local -- [OPTIONS]

  --runs N        how often each of the two clusters is brought up [default: 7]
  --only PART     `ready`, `supervision` (with status), or `size`; all of them when not given";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` starts benches too, without this word.
    if !arguments.iter().any(|word| word == "--bench") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match Options::read(&arguments).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    runs: usize,
    only: Option<String>,
}

impl Options {
    fn read(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self { runs: 7, only: None };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--runs" => options.runs = words.next().ok_or(HELP)?.parse()?,
                "--only" => options.only = Some(words.next().ok_or(HELP)?.clone()),
                _ => return Err(HELP.into()),
            }
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn run(options: &Options) -> Outcome<()> {
    let lab = Arc::new(Lab::new()?);
    let on_signal = Arc::clone(&lab);
    thread::spawn(move || clean_up_when_interrupted(&on_signal));
    let mut report = Report::default();
    let load = load_average();
    if options.wants("ready") {
        measure_ready(&lab, options.runs, &mut report)?;
    }
    if options.wants("supervision") {
        measure_supervision(&lab, &mut report)?;
    }
    if options.wants("size") {
        let bytes = fs::metadata(Lab::SEAWAY)?.len();
        report.goal("size of the binary", mega(bytes), Goal::new(15.0, "MB"));
    }
    println!("{}", machine(&load));
    println!("{}", report.text());
    Ok(())
}

/// A place of its own for Seaway: state in a temporary folder, Python environments kept below `target`.
struct Lab {
    folder: PathBuf,
}

impl Lab {
    const SEAWAY: &'static str = env!("CARGO_BIN_EXE_seaway");

    fn new() -> Outcome<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-local");
        let lab = Self { folder };
        // What an earlier run left when it was killed.
        lab.clean_up();
        fs::create_dir_all(lab.state())?;
        Ok(lab)
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn seaway(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Self::SEAWAY);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("XDG_STATE_HOME", self.state())
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end and gives back what it printed, and how long it took.
    fn call(&self, arguments: &[&str]) -> Outcome<(String, Duration)> {
        let began = Instant::now();
        let output = self
            .seaway(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()?;
        let took = began.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("seaway {} {}:\n{said}", arguments.join(" "), output.status).into());
        }
        Ok((String::from_utf8_lossy(&output.stdout).into_owned(), took))
    }

    fn write(&self, name: &str, documents: &[String]) -> Outcome<String> {
        let path = self.folder.join(name);
        fs::write(&path, documents.join("---\n"))?;
        Ok(path.display().to_string())
    }

    /// The `python` of the environment that an instance runs in, from the environment of one of its processes.
    fn python(&self, instance: &str) -> Outcome<PathBuf> {
        let (text, _) = self.call(&["status", instance, "--output", "json"])?;
        let status: Value = serde_json::from_str(&text)?;
        let pid = status["roles"]["scheduler"]["tasks"][0]["pid"]
            .as_u64()
            .ok_or("the scheduler has no pid")?;
        let root = variable(pid, "VIRTUAL_ENV").ok_or("the scheduler has no Python environment")?;
        Ok(Path::new(&root).join("bin/python"))
    }

    /// The process ids of the supervisors of this state folder.
    fn supervisors(&self) -> Outcome<Vec<u64>> {
        let state = self.state();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let is_supervisor = command.split(|byte| *byte == 0).nth(1) == Some(b"supervise");
            if is_supervisor
                && variable(pid, "XDG_STATE_HOME").is_some_and(|folder| Path::new(&folder) == state)
            {
                found.push(pid);
            }
        }
        Ok(found)
    }

    fn clean_up(&self) {
        if self.state().exists() {
            let _ = self
                .seaway(&["down", "--all", "--force"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            let _ = fs::remove_dir_all(self.state());
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.clean_up();
    }
}

fn clean_up_when_interrupted(lab: &Lab) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
        lab.clean_up();
        std::process::exit(130);
    }
}

fn document(name: &str, workers: usize) -> String {
    format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {{name: {name}}}\nspec:\n  workers: {{replicas: \
         {workers}, threads: 1}}\n  notebook: {{enabled: false}}\n"
    )
}

/// Time to ready: Seaway and `LocalCluster` in turn, so that whatever else the machine does meets both.
fn measure_ready(lab: &Lab, runs: usize, report: &mut Report) -> Outcome<()> {
    let file = lab.write("ready.yaml", &[document("ready", 4)])?;
    eprintln!("making the Python environment, unless it is there already");
    lab.call(&["up", "-f", &file, "--detach"])?;
    let python = lab.python("ready")?;
    lab.call(&["down", "ready"])?;
    // Once without counting: its files are then in memory, as Seaway's are.
    local_cluster(&python)?;
    let (mut seaway, mut whole, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=runs {
        thread::sleep(CALM);
        let (_, took) = lab.call(&["up", "-f", &file, "--detach"])?;
        lab.call(&["down", "ready"])?;
        thread::sleep(CALM);
        let (all, cluster) = local_cluster(&python)?;
        eprintln!(
            "run {run} of {runs}: Seaway {:.2} s, LocalCluster {:.2} s",
            took.as_secs_f64(),
            all.as_secs_f64()
        );
        seaway.push(took.as_secs_f64());
        whole.push(all.as_secs_f64());
        bare.push(cluster.as_secs_f64());
    }
    let (seaway, whole, bare) = (Sample::of(seaway), Sample::of(whole), Sample::of(bare));
    report.info(
        "time to ready, 4 workers: `seaway up --detach`",
        &seaway.text("s"),
    );
    report.info(
        "time to ready, 4 workers: Python with LocalCluster",
        &whole.text("s"),
    );
    report.goal(
        "  ratio of the medians",
        seaway.median() / whole.median(),
        Goal::new(1.1, "x"),
    );
    report.info(
        "  LocalCluster without Python's start and imports",
        &bare.text("s"),
    );
    report.info(
        "  ratio to that",
        &format!("{:.2} x", seaway.median() / bare.median()),
    );
    Ok(())
}

/// Brings a `LocalCluster` up and down: the time from the start of Python until all workers are there, and the part
/// of it after the imports.
fn local_cluster(python: &Path) -> Outcome<(Duration, Duration)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/local_cluster.py");
    let began = Instant::now();
    let child = Command::new(python)
        .arg(script)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut child = Ended(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let took = began.elapsed();
    let said: Value = serde_json::from_str(&line).map_err(|error| {
        format!(
            "LocalCluster did not come up ({error}); try `{} {script}`",
            python.display()
        )
    })?;
    let cluster = Duration::from_secs_f64(
        said["cluster"]
            .as_f64()
            .ok_or("no time in LocalCluster's answer")?,
    );
    // It closes its cluster when its input ends.
    drop(child.0.stdin.take());
    child.0.wait()?;
    Ok((took, cluster))
}

/// A child that does not outlive this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Memory and CPU time of supervisors, and how fast `seaway status` answers, with many instances up.
fn measure_supervision(lab: &Lab, report: &mut Report) -> Outcome<()> {
    let names: Vec<String> = (0..INSTANCES)
        .map(|number| format!("bench-{number:02}"))
        .collect();
    let documents: Vec<String> = names.iter().map(|name| document(name, 1)).collect();
    let file = lab.write("many.yaml", &documents)?;
    eprintln!("bringing {INSTANCES} instances up");
    let (_, took) = lab.call(&["up", "-f", &file, "--detach"])?;
    report.info(
        &format!("{INSTANCES} instances, a scheduler and a worker each, up together"),
        &seconds(took),
    );
    thread::sleep(CALM * 3);

    let supervisors = lab.supervisors()?;
    if supervisors.len() != INSTANCES {
        return Err(format!("{} supervisors for {INSTANCES} instances", supervisors.len()).into());
    }
    eprintln!("counting CPU time for {} s", IDLE.as_secs());
    let before = supervisors
        .iter()
        .map(|pid| Used::of(*pid))
        .collect::<Outcome<Vec<_>>>()?;
    let began = Instant::now();
    thread::sleep(IDLE);
    let span = began.elapsed().as_secs_f64();
    let after = supervisors
        .iter()
        .map(|pid| Used::of(*pid))
        .collect::<Outcome<Vec<_>>>()?;
    let percent = |of: fn(&Used) -> f64| {
        Sample::of(
            before
                .iter()
                .zip(&after)
                .map(|(b, a)| 100.0 * (of(a) - of(b)) / span)
                .collect(),
        )
    };
    let (ticks, exact) = (percent(|used| used.ticks), percent(|used| used.exact));
    let memory = Sample::of(
        supervisors
            .iter()
            .map(|pid| proportional(*pid))
            .collect::<Outcome<Vec<_>>>()?,
    );
    report.info(
        &format!("supervisors' memory at {INSTANCES} instances (PSS)"),
        &memory.text("MB"),
    );
    report.goal("  the largest", memory.largest(), Goal::new(4.0, "MB"));
    report.info(
        &format!("supervisors' CPU over {span:.0} s idle (utime + stime)"),
        &ticks.text("%"),
    );
    report.info("  the same from the scheduler's own count", &exact.text("%"));
    report.goal(
        "  mean of a core, the higher of the two",
        ticks.mean().max(exact.mean()),
        Goal::new(0.1, "%"),
    );

    eprintln!("asking for status {CALLS} times");
    let mut times = Vec::new();
    for call in 0..CALLS {
        let (_, took) = lab.call(&["status", &names[call % names.len()]])?;
        times.push(took.as_secs_f64() * 1000.0);
    }
    let times = Sample::of(times);
    report.info(
        &format!("`seaway status NAME`, {CALLS} calls, {INSTANCES} instances up"),
        &times.text("ms"),
    );
    report.goal("  median", times.median(), Goal::new(20.0, "ms"));
    report.goal("  95th percentile", times.quantile(0.95), Goal::new(20.0, "ms"));

    let (_, took) = lab.call(&["down", "--all"])?;
    report.info(&format!("{INSTANCES} instances down together"), &seconds(took));
    Ok(())
}

/// CPU time of a process in seconds.
struct Used {
    /// As the kernel shows it to everybody, in hundredths of a second.
    ticks: f64,
    /// As the kernel's scheduler counts it, in nanoseconds; the same as `ticks` where it does not.
    exact: f64,
}

impl Used {
    fn of(pid: u64) -> Outcome<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field may hold anything, spaces and brackets too. User and system time are the 14th and 15th.
        let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no stat")?.1.split(' ').collect();
        let ticks = (fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0;
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            nanoseconds += text
                .split(' ')
                .next()
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0);
        }
        Ok(Self {
            ticks,
            exact: if nanoseconds > 0.0 {
                nanoseconds / 1e9
            } else {
                ticks
            },
        })
    }
}

/// The memory of a process in MB, pages that it shares counted in part.
fn proportional(pid: u64) -> Outcome<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .ok_or("no Pss in smaps_rollup")?;
    let kibibytes: u64 = line
        .split_whitespace()
        .nth(1)
        .ok_or("no Pss in smaps_rollup")?
        .parse()?;
    Ok(mega(kibibytes * 1024))
}

fn variable(pid: u64, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

fn machine(load: &str) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("CPU not known", |line| line.trim_start_matches(['\t', ':', ' ']));
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores ({model}), Linux {}, load average before: {load}\n",
        kernel.trim()
    )
}

/// Measured values, sorted.
struct Sample(Vec<f64>);

impl Sample {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value below which this part of the values is; the nearest one there is.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "there are few values"
    )]
    fn quantile(&self, part: f64) -> f64 {
        let position = (part * self.0.len() as f64).ceil() as usize;
        self.0
            .get(position.saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn largest(&self) -> f64 {
        self.quantile(1.0)
    }

    #[expect(clippy::cast_precision_loss, reason = "there are few values")]
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn text(&self, unit: &str) -> String {
        let least = self.0.first().copied().unwrap_or(f64::NAN);
        format!(
            "{:.2} {unit} ({least:.2} to {:.2})",
            self.median(),
            self.largest()
        )
    }
}

/// What should not be exceeded.
#[derive(Clone, Copy)]
struct Goal {
    most: f64,
    unit: &'static str,
}

impl Goal {
    const fn new(most: f64, unit: &'static str) -> Self {
        Self { most, unit }
    }
}

/// The table that is printed at the end.
#[derive(Default)]
struct Report(Vec<[String; 4]>);

impl Report {
    fn info(&mut self, what: &str, measured: &str) {
        self.0
            .push([what.to_owned(), measured.to_owned(), String::new(), String::new()]);
    }

    fn goal(&mut self, what: &str, measured: f64, goal: Goal) {
        let verdict = if measured <= goal.most { "met" } else { "MISSED" };
        let Goal { most, unit } = goal;
        self.0.push([
            what.to_owned(),
            format!("{measured:.2} {unit}"),
            format!("at most {most} {unit}"),
            verdict.to_owned(),
        ]);
        let _ = std::io::stdout().flush();
    }

    fn text(&self) -> String {
        let header = ["figure", "median (least to most)", "goal", "verdict"].map(str::to_owned);
        let rows: Vec<&[String; 4]> = std::iter::once(&header).chain(&self.0).collect();
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2)];
        let mut text = String::new();
        for [what, measured, goal, verdict] in rows {
            let line = format!(
                "{what:0$}  {measured:1$}  {goal:2$}  {verdict}",
                widths[0], widths[1], widths[2]
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}
