//! What goes wrong with Redis, in words.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::{Error, http::answer};

/// Something went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the same may do better a little later.
    pub(super) transient: bool,
    /// Whether the connection is of no more use.
    pub(super) broken: bool,
    /// Where the key is instead, as a server of a cluster says it.
    pub(super) moved: Option<String>,
}

impl Failure {
    /// Something that does not get better, before there was a connection.
    pub(super) const fn lasting(error: Error) -> Self {
        Self {
            error,
            transient: false,
            broken: true,
            moved: None,
        }
    }

    /// No answer in time.
    pub(super) const fn transient(error: Error) -> Self {
        Self {
            error,
            transient: true,
            broken: true,
            moved: None,
        }
    }
}

/// In whose words to speak.
pub(super) struct Speaker<'a> {
    /// The directory, in words.
    pub(super) directory: &'a str,
    /// The server, as a URL without secrets.
    pub(super) url: &'a str,
    /// What was asked.
    pub(super) command: &'static str,
    /// What all keys begin with, and the channel.
    pub(super) keys: &'a str,
    pub(super) channel: &'a str,
    pub(super) secrets: &'a [String],
}

impl Speaker<'_> {
    pub(super) fn failure(&self, error: &RedisError) -> Failure {
        let (told, transient, broken) = match error.kind() {
            ErrorKind::AuthenticationFailed => {
                let told = self.refused("it does not take this user name and password (WRONGPASS)");
                (told, false, true)
            }
            ErrorKind::Server(_) | ErrorKind::Extension => return self.answered(error),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => (
                self.refused("what answers there does not speak as Redis does"),
                false,
                true,
            ),
            _ => {
                let reason = answer::shown_without(answer::chain(error).as_bytes(), self.secrets);
                let url = self.url.to_owned();
                match answer::tls_problem(error) {
                    Some(problem) => (Error::Tls { url, reason, problem }, false, true),
                    None => (Error::Connect { url, reason }, true, true),
                }
            }
        };
        Failure {
            error: told,
            transient,
            broken,
            moved: None,
        }
    }

    pub(super) fn refused(&self, reason: &str) -> Error {
        Error::Refused {
            directory: self.directory.to_owned(),
            command: self.command,
            reason: reason.to_owned(),
        }
    }

    /// The server answered with an error.
    fn answered(&self, error: &RedisError) -> Failure {
        let code = error.code().unwrap_or("ERR");
        let detail = error.detail().unwrap_or_default();
        // Which script it was says nothing to anybody.
        let detail = detail.split(" script: ").next().unwrap_or_default().trim();
        let said = answer::shown_without(format!("{code} {detail}").as_bytes(), self.secrets);
        if let Some(permission) = self.permission(code, detail) {
            return Failure {
                error: Error::Forbidden {
                    directory: self.directory.to_owned(),
                    permission,
                    reason: said,
                },
                transient: false,
                broken: false,
                moved: None,
            };
        }
        let (words, transient, broken) = match code {
            "NOAUTH" => ("it wants to know who we are", false, true),
            "WRONGPASS" => ("it does not take this user name and password", false, true),
            "READONLY" => ("it is a replica, which only its master can change", true, true),
            "OOM" => ("its memory is full", true, false),
            "LOADING" => ("it is still loading its data", true, false),
            "MISCONF" => (
                "it cannot save its data, and takes no more until it can",
                true,
                false,
            ),
            "MASTERDOWN" => ("it is a replica that has lost its master", true, true),
            "CLUSTERDOWN" => ("its cluster is not complete", true, true),
            "NOREPLICAS" => ("it has too few replicas to take changes", true, false),
            "TRYAGAIN" | "ASK" => ("its cluster is moving the keys to another server", true, false),
            "ERR" if detail.contains("max number of clients") => {
                ("it has as many clients as it takes", true, true)
            }
            "BUSY" => ("it is busy with the script of somebody else", true, false),
            "MOVED" => ("it is one server of a cluster", false, true),
            "WRONGTYPE" => (
                "something that is not Seaway's stands under the key",
                false,
                false,
            ),
            _ => ("it says", false, false),
        };
        let reason = if words == "it says" {
            said
        } else {
            format!("{words} ({said})")
        };
        let moved = (error.kind() == ErrorKind::Server(ServerErrorKind::Moved))
            .then(|| error.redirect_node().map(|(place, _)| place.to_owned()))
            .flatten();
        Failure {
            error: self.refused(&reason),
            transient,
            broken,
            moved,
        }
    }

    /// What we are not allowed to do, if that is what the server says.
    fn permission(&self, code: &str, detail: &str) -> Option<String> {
        // Within a script the code is another one, but the words are these.
        let within_script = code == "ERR" && detail.contains("user executing the script");
        if code != "NOPERM" && !within_script {
            return None;
        }
        let Self { keys, channel, .. } = self;
        Some(if detail.contains("channel") {
            format!("use the channel `{channel}` (ACL rule `&{channel}`)")
        } else if detail.contains("key") {
            format!("use the keys `{keys}*` (ACL rule `~{keys}*`)")
        } else if within_script {
            format!(
                "run the commands of its scripts (ACL rules `{}`)",
                super::COMMANDS
            )
        } else {
            let command = detail.split('\'').nth(1).unwrap_or(self.command);
            format!("run the command `{command}` (ACL rules `{}`)", super::COMMANDS)
        })
    }
}

/// What to do about a refusal.
pub(crate) fn hint(reason: &str) -> Option<&'static str> {
    let hints = [
        (
            "NOAUTH",
            "give `passwordFile`, and `username` where the server has users",
        ),
        ("WRONGPASS", "check `username` and what is in `passwordFile`"),
        (
            "READONLY",
            "name the master in `url`, or the Sentinels that know it: `redis-sentinel://HOST/MASTER`",
        ),
        (
            "OOM",
            "give it more memory, or have it evict keys (`maxmemory-policy`)",
        ),
        ("LOADING", "wait until it has loaded them"),
        (
            "max number of clients",
            "have it take more (`maxclients`), or have some of them closed",
        ),
        ("BUSY", "have that script ended: `SCRIPT KILL`"),
        ("MISCONF", "its log says why; often its disk is full"),
        (
            "MASTERDOWN",
            "bring its master up, or name the Sentinels: `redis-sentinel://HOST/MASTER`",
        ),
        ("CLUSTERDOWN", "`CLUSTER INFO` says what is missing"),
        ("MOVED", "use `redis-cluster://` in `url`"),
        (
            "WRONGTYPE",
            "use another `namespace`, or remove it if nobody needs it",
        ),
        (
            "does not speak as Redis",
            "check the host and the port, and whether it wants TLS (`rediss://`)",
        ),
    ];
    hints
        .iter()
        .find(|(sign, _)| reason.contains(sign))
        .map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of an answer of the server.
    fn failure(answer: &str) -> Failure {
        let value = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        let error = value.extract_error().unwrap_err();
        let speaker = Speaker {
            directory: "Redis at redis://h:6379",
            url: "redis://h:6379",
            command: "EVALSHA",
            keys: "seaway:{lab}:",
            channel: "seaway:{lab}:events",
            secrets: &["sesame".to_owned()],
        };
        speaker.failure(&error)
    }

    #[test]
    fn troubles_are_in_words_with_a_hint_and_tried_again_where_that_helps() {
        for (answer, words, transient, broken) in [
            (
                "LOADING Redis is loading the dataset in memory",
                "loading its data (LOADING Redis",
                true,
                false,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                "cannot save its data",
                true,
                false,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:1.",
                "full (OOM command not allowed when used memory > 'maxmemory'.)",
                true,
                false,
            ),
            (
                "READONLY You can't write against a read only replica.",
                "only its master",
                true,
                true,
            ),
            ("CLUSTERDOWN Hash slot not served", "not complete", true, true),
            (
                "MASTERDOWN Link with MASTER is down",
                "lost its master",
                true,
                true,
            ),
            ("NOAUTH Authentication required.", "who we are", false, true),
            (
                "WRONGPASS invalid username-password pair",
                "user name and password",
                false,
                true,
            ),
            ("WRONGTYPE Operation against a key", "not Seaway's", false, false),
        ] {
            let failure = failure(answer);
            let text = failure.error.to_string();
            assert!(
                text.starts_with("Redis at redis://h:6379 refused EVALSHA: "),
                "{text}"
            );
            assert!(text.contains(words), "{text}");
            assert!(failure.error.hint().is_some(), "{text}");
            assert_eq!((failure.transient, failure.broken), (transient, broken), "{text}");
        }
        // What nobody knows is shown as it is, without what is secret.
        let text = failure("ERR unknown command 'AUTH', with args beginning with: 'sesame'")
            .error
            .to_string();
        assert!(text.ends_with("'[redacted]'"), "{text}");
        assert_eq!(
            failure("MOVED 3999 10.0.0.1:6381").moved.as_deref(),
            Some("10.0.0.1:6381")
        );
    }

    #[test]
    fn missing_permissions_are_named() {
        for (answer, permission) in [
            (
                "NOPERM this user has no permissions to run the 'eval' command",
                "run the command `eval`",
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                "`~seaway:{lab}:*`",
            ),
            (
                "NOPERM this user has no permissions to access one of the channels used as arguments",
                "`&seaway:{lab}:events`",
            ),
            (
                "ERR The user executing the script can't run this command or subcommand script: 1f",
                "commands of its scripts",
            ),
            (
                "ERR The user executing the script can't access at least one of the keys mentioned",
                "`~seaway:{lab}:*`",
            ),
            (
                "ERR The user executing the script can't publish to the channel mentioned",
                "`&seaway:{lab}:events`",
            ),
        ] {
            let failure = failure(answer);
            assert!(matches!(failure.error, Error::Forbidden { .. }), "{failure:?}");
            assert!(
                failure.error.to_string().contains(permission),
                "{}",
                failure.error
            );
        }
    }
}
