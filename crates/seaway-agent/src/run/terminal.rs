//! The terminal: the command gets it while it runs, so that it reads the keyboard, and Ctrl-C and Ctrl-Z reach it
//! and nobody else, as if a shell had started it without an agent.

use std::io::{self, IsTerminal};

use nix::{
    errno::Errno,
    sys::signal::{SigSet, Signal, killpg},
    unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp},
};

/// The terminal that standard input is.
#[derive(Debug)]
pub(super) struct Terminal {
    /// Whether the command has it, from us.
    handed_over: bool,
}

impl Terminal {
    /// The terminal on standard input, if that is one and it is the one that controls this process.
    pub(super) fn of_standard_input() -> Option<Self> {
        let input = io::stdin();
        (input.is_terminal() && tcgetpgrp(&input).is_ok()).then_some(Self { handed_over: false })
    }

    /// Gives the terminal to a process group, when it is ours to give: an agent in the background has none.
    pub(super) fn hand_over(&mut self, group: i32) {
        let group = Pid::from_raw(group);
        if tcgetpgrp(io::stdin()) == Ok(getpgrp()) && undisturbed(|| tcsetpgrp(io::stdin(), group)).is_ok() {
            self.handed_over = true;
            // It may have asked the terminal for something before it had it, and been stopped for that.
            let _: Result<(), Errno> = killpg(group, Signal::SIGCONT);
        }
    }

    /// Takes the terminal back from the process group it was given to.
    pub(super) fn take_back(&mut self) {
        if std::mem::take(&mut self.handed_over) {
            // Nothing can be done about a terminal that is gone.
            let _ = undisturbed(|| tcsetpgrp(io::stdin(), getpgrp()));
        }
    }
}

/// Does something with the terminal that a process in the background would be stopped for (`SIGTTOU`): while the
/// command has the terminal, its agent is in the background.
pub fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTTOU);
    let before = mask.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK);
    let result = work();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    result
}
