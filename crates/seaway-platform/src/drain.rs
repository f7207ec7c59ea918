//! What a task holds that must not be lost when it is stopped, and how to ask for it.

use seaway_model::plan::{Drain, Template, select};
use serde_json::Value;

/// What a task holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    /// Pieces of work.
    pub(crate) work: u64,
    /// Results of which there is no other copy.
    pub(crate) sole: u64,
    /// What else speaks against stopping this one rather than another.
    pub(crate) weight: u64,
}

/// The questions about one task, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Questions {
    pub(crate) load_path: String,
    keys: [Vec<String>; 3],
    pub(crate) release_path: String,
    pub(crate) release_body: String,
}

impl Questions {
    /// The questions of a plan for the task whose templates `text` resolves.
    pub(crate) fn of<E>(drain: &Drain, text: impl Fn(&Template) -> Result<String, E>) -> Result<Self, E> {
        let texts = |path: &[Template]| path.iter().map(&text).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            load_path: drain.load_path.clone(),
            keys: [texts(&drain.work)?, texts(&drain.sole)?, texts(&drain.weight)?],
            release_path: drain.release_path.clone(),
            release_body: text(&drain.release_body)?,
        })
    }

    /// What the answer about all tasks says of this one.
    pub(crate) fn load(&self, document: &Value) -> Load {
        let number = |path: &Vec<String>| {
            select(document, path)
                .iter()
                .filter_map(|value| value.as_u64())
                .sum::<u64>()
        };
        let [work, sole, weight] = &self.keys;
        Load {
            work: number(work),
            sole: number(sole),
            weight: number(weight),
        }
    }
}

impl Load {
    /// Whether the task can be stopped without loss.
    pub(crate) const fn is_nothing(self) -> bool {
        self.work == 0 && self.sole == 0
    }

    /// What is left to be done, in words.
    pub(crate) fn words(self) -> String {
        let count = |n: u64, one: &str, many: &str| {
            if n == 1 {
                format!("1 {one}")
            } else {
                format!("{n} {many}")
            }
        };
        let work = count(self.work, "piece of work", "pieces of work");
        let sole = count(self.sole, "result", "results");
        match (self.work, self.sole) {
            (_, 0) => format!("finishes {work}"),
            (0, _) => format!("holds the only copy of {sole}, which no other task can take yet"),
            _ => format!("finishes {work} and holds the only copy of {sole}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_left() {
        let load = |work, sole| {
            Load {
                work,
                sole,
                weight: 0,
            }
            .words()
        };
        assert_eq!(load(1, 0), "finishes 1 piece of work");
        assert_eq!(
            load(0, 2),
            "holds the only copy of 2 results, which no other task can take yet"
        );
        assert_eq!(
            load(3, 1),
            "finishes 3 pieces of work and holds the only copy of 1 result"
        );
    }
}
