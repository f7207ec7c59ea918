//! A live view on standard error while something comes up or goes down: a table that is drawn again on a terminal,
//! one line for each change elsewhere.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use seaway_model::status::{InstanceStatus, State};

use crate::output;

/// The view.
pub(crate) struct Live {
    bars: MultiProgress,
    terminal: bool,
    lines: BTreeMap<String, ProgressBar>,
    said: BTreeMap<String, Said>,
    began: Instant,
}

/// What was last said of a thing, and when.
struct Said {
    text: String,
    state: State,
    at: Instant,
}

/// Where lines cannot be drawn again, a reason that changes while the state does not is told this often: an
/// installation names a hundred packages.
const SELDOM: Duration = Duration::from_secs(5);

impl Live {
    /// A view with nothing in it yet.
    pub(crate) fn new() -> Self {
        use std::io::IsTerminal;
        Self {
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            terminal: std::io::stderr().is_terminal(),
            lines: BTreeMap::new(),
            said: BTreeMap::new(),
            began: Instant::now(),
        }
    }

    /// Shows how the instances are.
    pub(crate) fn show(&mut self, all: &[InstanceStatus]) {
        let mut lines = Vec::new();
        for status in all {
            let reason = if status.reason.is_empty() {
                String::new()
            } else {
                format!(": {}", status.reason)
            };
            lines.push((
                status.name.to_string(),
                format!("{} {:?}{reason}", status.name, status.state),
                status.state,
            ));
            // Nothing to say of roles before the first task can start, or when there is a reason for the whole.
            if status.roles.iter().all(|(_, role)| role.tasks.is_empty()) {
                continue;
            }
            for (name, role) in status.roles.iter() {
                let state = if role.ready >= role.desired {
                    State::Ready
                } else {
                    State::Starting
                };
                let reason = if role.reason.is_empty() {
                    String::new()
                } else {
                    format!("  {}", role.reason)
                };
                let text = format!("  {name:<10} {}/{}{reason}", role.ready, role.desired);
                lines.push((format!("{}/{name}", status.name), text, state));
            }
        }
        if self.terminal {
            self.draw(lines);
        } else {
            self.tell(lines);
        }
    }

    fn draw(&mut self, lines: Vec<(String, String, State)>) {
        let gone: Vec<String> = self
            .lines
            .keys()
            .filter(|key| !lines.iter().any(|(other, ..)| other == *key))
            .cloned()
            .collect();
        for key in gone {
            if let Some(bar) = self.lines.remove(&key) {
                bar.finish_and_clear();
                self.bars.remove(&bar);
            }
        }
        for (position, (key, text, state)) in lines.into_iter().enumerate() {
            let bars = &self.bars;
            let bar = self.lines.entry(key).or_insert_with(|| {
                let bar = bars.insert(position, ProgressBar::new_spinner());
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            });
            let template = match state {
                State::Ready => "✔ {wide_msg}",
                State::Failed => "✘ {wide_msg}",
                State::Starting | State::Degraded | State::Stopped => "{spinner} {wide_msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(text);
        }
    }

    fn tell(&mut self, lines: Vec<(String, String, State)>) {
        for (key, text, state) in lines {
            let now = Instant::now();
            let news = self.said.get(&key).is_none_or(|said| {
                said.text != text && (said.state != state || now.duration_since(said.at) >= SELDOM)
            });
            if news {
                output::say(&format!(
                    "[{:6.1} s] {}",
                    self.began.elapsed().as_secs_f32(),
                    text.trim_start()
                ));
                self.said.insert(key, Said { text, state, at: now });
            }
        }
    }

    /// Takes the view off the terminal.
    pub(crate) fn clear(&mut self) {
        for bar in std::mem::take(&mut self.lines).into_values() {
            bar.finish_and_clear();
        }
        let _ = self.bars.clear();
    }

    /// Time since the view was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
