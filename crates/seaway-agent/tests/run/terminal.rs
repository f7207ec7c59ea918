//! At a terminal, under a shell with job control: the command is in the foreground as if it ran without an agent.

use crate::support::{Job, Place};

/// Plays the person at the keyboard of an interactive shell.
const KEYBOARD: &str = r"
import os, pty, select, sys, time
entry, command = sys.argv[1], ' '.join(sys.argv[2:])
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(PS1='prompt> ', BASH_SILENCE_DEPRECATION_WARNING='1', TERM='dumb')
    os.execvp('bash', ['bash', '--norc', '--noprofile', '--noediting', '-i'])
seen, position = '', 0
def wait(what, ask):
    global seen
    end = time.monotonic() + 30
    while not ask():
        if time.monotonic() > end: sys.exit(f'never: {what}\n--- on the screen:\n{seen}')
        if select.select([terminal], [], [], 0.01)[0]: seen += os.read(terminal, 4096).decode()
def shows(text):
    global position
    wait(text, lambda: text in seen[position:])
    position = seen.index(text, position) + len(text)
def types(keys): os.write(terminal, keys.encode())
def enters(line):
    types(line + '\n')
    shows(line)
announced, withdrawn = lambda: os.path.exists(entry), lambda: not os.path.exists(entry)
shows('prompt> ')
enters(command)
wait('announced', announced)
enters('first words')
shows('first words')
types('\x1a')
shows('Stopped')
shows('prompt> ')
wait('withdrawn while stopped', withdrawn)
enters('fg')
wait('announced again', announced)
enters('second words')
shows('second words')
types('\x03')
shows('prompt> ')
wait('withdrawn', withdrawn)
types('echo code=$?\n')
shows('code=130')
# In the background it does not take the terminal from the shell.
types(command + ' <&0 &\n')
shows('running 1 test')
types('echo here=$((40 + 2))\n')
shows('here=42')
shows('prompt> ')
# The shell tells only when it is asked.
end = time.monotonic() + 30
while True:
    enters('jobs')
    asked = position
    shows('prompt> ')
    if 'Stopped' in seen[asked:position]: break
    if time.monotonic() > end: sys.exit('never stopped: ' + seen[-1000:])
wait('withdrawn in the background', withdrawn)
enters('fg')
wait('announced in the foreground', announced)
enters('third words')
shows('third words')
types('\x04')
shows('prompt> ')
wait('withdrawn at the end', withdrawn)
types('exit\n')
if 'stopping' in seen: sys.exit('the agent was interrupted too:\n' + seen)
";

#[test]
fn the_command_has_the_keyboard() {
    let place = Place::new();
    let job = Job::new(place.path(), &["cat"]);
    let agent = job.command();
    let mut keyboard = std::process::Command::new("python3");
    keyboard
        .args(["-c", KEYBOARD])
        .arg(place.entry_path())
        .arg(agent.get_program())
        .args(agent.get_args());
    keyboard.envs(agent.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = keyboard.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
