//! `up` without `--detach`: it stays with the instance, and takes it down when it is told to, or when its terminal
//! goes.

use serde_json::{Value, json};

use crate::harness::{Fake, Home, PATIENCE, processes, script};

/// Words that bring a quick cluster up.
const UP: [&str; 6] = [
    "up",
    "dask",
    "--set",
    "notebook.enabled=false",
    "--set",
    "workers.replicas=1",
];

/// Runs `seaway` in a pseudo terminal. Gives back its exit code and all that the terminal showed.
#[track_caller]
fn terminal(home: &Home, arguments: &[&str], steps: &[Value]) -> (i64, String) {
    let steps = json!(steps).to_string();
    let words = [steps.as_str(), env!("CARGO_BIN_EXE_seaway")];
    let output = home
        .furnish(script("terminal", words))
        .arguments(arguments)
        .within(PATIENCE * 3)
        .run();
    assert_eq!(output.code, Some(0), "{output}\n{}", home.report());
    let happened = output.json();
    (
        happened["code"].as_i64().unwrap(),
        happened["output"].as_str().unwrap().to_owned(),
    )
}

fn expect(pattern: &str) -> Value {
    json!({"expect": pattern})
}

fn control_c() -> Value {
    json!({"send": "\u{3}"})
}

/// An instance whose tasks end for no signal but SIGKILL.
fn stubborn(home: &Home) -> Fake {
    Fake::new(home, "stubborn").program("dask", "trap '' INT TERM\nwhile :; do sleep 1; done\n")
}

#[test]
fn a_terminal_shows_roles_and_urls_and_control_c_takes_it_down() {
    let home = Home::heavy();
    let (code, shown) = terminal(
        &home,
        &UP,
        &[
            expect(r"dask Starting"),
            expect(r"scheduler +0/1"),
            expect(r"worker +0/1"),
            expect(r"dask is ready after"),
            expect(r"client +tcp://127\.0\.0\.1:\d+"),
            expect(r"dashboard +http://127\.0\.0\.1:\d+/status"),
            expect("Ctrl-C takes it down"),
            control_c(),
            expect(r"taking it down \(Ctrl-C again to force\)"),
            expect("dask is down, nothing left"),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains('\u{1b}'), "a table that is drawn again: {shown:?}");
    home.nothing_is_left();
}

#[test]
fn control_c_while_it_starts_takes_it_down_and_a_second_one_forces() {
    let home = Home::new();
    let fake = stubborn(&home);
    let (code, shown) = terminal(
        &home,
        &[&UP[..], &["--set", &fake.setting()]].concat(),
        &[
            expect(r"scheduler +0/1 +starts"),
            control_c(),
            expect(r"interrupted: taking it down \(Ctrl-C again to force\)"),
            expect("was sent SIGINT"),
            control_c(),
            expect("forcing"),
            expect("dask is down, nothing left"),
        ],
    );
    assert_eq!(code, 130, "{shown}");
    home.nothing_is_left();
}

#[test]
fn a_terminal_that_goes_away_takes_it_down() {
    let home = Home::heavy();
    let (code, _) = terminal(
        &home,
        &UP,
        &[expect("Ctrl-C takes it down"), json!({"hang up": true})],
    );
    assert_eq!(code, 0);
    home.nothing_is_left();
}

#[test]
fn a_terminal_that_goes_away_while_it_starts_takes_it_down() {
    let home = Home::new();
    let fake = Fake::new(&home, "silent").program("dask", "exec sleep 1000\n");
    let setting = fake.setting();
    let up = [&UP[..], &["--set", &setting]].concat();
    let (code, _) = terminal(
        &home,
        &up,
        &[expect(r"scheduler +0/1 +starts"), json!({"hang up": true})],
    );
    assert_eq!(code, 130);
    home.nothing_is_left();
}

#[test]
fn a_signal_to_end_takes_it_down_without_a_terminal() {
    let home = Home::new();
    let fake = Fake::new(&home, "silent").program("dask", "exec sleep 1000\n");
    let up = home.seaway(UP).arguments(["--set", &fake.setting()]).start();
    home.until("both tasks run", PATIENCE, || {
        let list = home.seaway(["ls", "--output", "json"]).run().succeeded().json();
        let tasks = list[0]["roles"]["worker"]["tasks"][0]["pid"].clone();
        if tasks.is_u64() {
            Ok(())
        } else {
            Err(list.to_string())
        }
    });
    processes::signal(up.pid(), nix::sys::signal::Signal::SIGTERM);
    let ended = up.finish().with_code(130);
    assert!(ended.stderr.contains("[   "), "one line for each change: {ended}");
    assert!(
        !ended.stderr.contains('\u{1b}'),
        "no colours and no cursor moves: {ended}"
    );
    home.nothing_is_left();
}

#[test]
fn what_another_command_takes_down_ends_the_attached_one() {
    let home = Home::heavy();
    let (code, shown) = {
        let stays = home.path("stays");
        let steps = [
            expect("Ctrl-C takes it down"),
            json!({"touch": stays}),
            expect("it was taken down by another command"),
        ];
        std::thread::scope(|scope| {
            let attached = scope.spawn(|| terminal(&home, &UP, &steps));
            home.until("it stays with the instance", PATIENCE, || {
                stays.exists().then_some(()).ok_or_else(|| home.report())
            });
            home.down("dask");
            attached.join().unwrap()
        })
    };
    assert_eq!(code, 0, "{shown}");
    home.nothing_is_left();
}

#[test]
fn an_attached_up_that_fails_takes_down_what_it_began() {
    let home = Home::new();
    let fake = Fake::new(&home, "broken").program("dask", "echo it is broken >&2; exit 7\n");
    let output = home
        .seaway(UP)
        .arguments(["--set", &fake.setting()])
        .run()
        .with_code(5);
    let said =
        "error: dask is not ready: scheduler: ended with code 7: it is broken (given up after 5 tries)";
    assert!(output.stderr.contains(said), "{output}");
    assert!(
        output
            .stderr
            .contains("last lines of scheduler-0:\n  it is broken\n"),
        "{output}"
    );
    home.nothing_is_left();
}
