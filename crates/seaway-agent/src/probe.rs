//! Asks a task whether it is ready, over its own protocol.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use seaway_model::plan::{Check, Expectation, Template};
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpStream;

use crate::{
    Exit,
    http::{self, HttpError},
    process::{Launch, Output, Process, StartError},
};

/// Why a task is not ready.
#[derive(Debug, Error)]
pub enum NotReady {
    /// The protocol's question failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer is not JSON although it should be.
    #[error("{address}{path} did not answer with JSON: {reason}")]
    Json {
        /// `host:port`.
        address: String,
        /// The path asked.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer is right in form and says no.
    #[error("{0}")]
    Expectation(String),
    /// The probe's command did not end well.
    #[error("probe `{command}` {exit}")]
    Command {
        /// The command.
        command: String,
        /// How it ended.
        exit: Exit,
    },
    /// The probe's command took too long.
    #[error("probe `{command}` took longer than {} ms", after.as_millis())]
    CommandTimeout {
        /// The command.
        command: String,
        /// The time given.
        after: Duration,
    },
    /// The probe's command cannot be started.
    #[error("probe: {0}")]
    Start(#[from] StartError),
    /// The plan refers to something that is not assigned.
    #[error("{0} is not assigned")]
    Unassigned(String),
}

/// A question with all its references resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Nothing to ask: a process that runs is ready.
    Running,
    /// A connection.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// A GET.
    Http {
        /// `host:port`.
        address: String,
        /// Path and query.
        path: String,
    },
    /// A command.
    Command {
        /// Program and arguments.
        command: Vec<String>,
    },
}

impl Question {
    /// The question of a check; `address` gives `host:port` of a port, `text` resolves a template.
    pub fn of(
        check: &Check,
        address: impl Fn(&seaway_model::plan::PortReference) -> Result<String, NotReady>,
        text: impl Fn(&Template) -> Result<String, NotReady>,
    ) -> Result<Self, NotReady> {
        Ok(match check {
            Check::Running => Self::Running,
            Check::Tcp(port) => Self::Tcp {
                address: address(port)?,
            },
            Check::Http(http) => Self::Http {
                address: address(&http.at)?,
                path: http.path.clone(),
            },
            Check::Command(command) => Self::Command {
                command: command.iter().map(text).collect::<Result<_, _>>()?,
            },
        })
    }

    /// Asks. Answers that are the same for several tasks (the list of workers) need to be asked only once.
    pub async fn ask(
        &self,
        timeout: Duration,
        environment: &BTreeMap<OsString, OsString>,
        path: &[PathBuf],
    ) -> Result<Answer, NotReady> {
        match self {
            Self::Running => Ok(Answer::Yes),
            Self::Tcp { address } => {
                let late = |_| HttpError::Timeout {
                    address: address.clone(),
                    after: timeout,
                };
                let refused = |source| HttpError::Connect {
                    address: address.clone(),
                    source,
                };
                let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
                    .await
                    .map_err(late)?
                    .map_err(refused)?;
                // A port of the range for outgoing connections that nobody listens on can be given to the very
                // connection that asks for it, which is then connected to itself.
                if stream.local_addr().ok() == stream.peer_addr().ok() {
                    return Err(refused(std::io::ErrorKind::ConnectionRefused.into()).into());
                }
                Ok(Answer::Yes)
            }
            Self::Http { address, path } => Ok(Answer::Body(
                http::request(address, path, None, timeout).await?.to_vec(),
            )),
            Self::Command { command } => {
                let shown = command.join(" ");
                let mut process = Process::start(&Launch {
                    command: command.clone(),
                    environment: environment.clone(),
                    path: path.to_vec(),
                    working_directory: None,
                    output: Output::File("/dev/null".into()),
                    inherit_input: false,
                })?;
                match tokio::time::timeout(timeout, process.wait()).await {
                    Ok(exit) if exit.success() => Ok(Answer::Yes),
                    Ok(exit) => Err(NotReady::Command { command: shown, exit }),
                    Err(_) => {
                        let _ = process.identity().signal_group(nix::sys::signal::Signal::SIGKILL);
                        process.wait().await;
                        Err(NotReady::CommandTimeout {
                            command: shown,
                            after: timeout,
                        })
                    }
                }
            }
        }
    }
}

/// A question, and what its answer must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The question.
    pub question: Question,
    /// What the JSON in the answer must say, without references; any answer will do when absent.
    pub expect: Option<Expectation>,
}

impl From<Question> for Probe {
    fn from(question: Question) -> Self {
        Self {
            question,
            expect: None,
        }
    }
}

impl Probe {
    /// Asks, and looks at the answer.
    pub async fn ask(
        &self,
        timeout: Duration,
        environment: &BTreeMap<OsString, OsString>,
        path: &[PathBuf],
    ) -> Result<(), NotReady> {
        let answer = self.question.ask(timeout, environment, path).await?;
        let plain = |template: &Template| {
            template.resolve(|reference| Err(NotReady::Unassigned(format!("`${{{reference}}}`"))))
        };
        match &self.expect {
            Some(expect) => answer.meets(expect, &self.question, plain),
            None => Ok(()),
        }
    }

    /// `host:port` of what is asked, when it is one.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        match &self.question {
            Question::Tcp { address } | Question::Http { address, .. } => Some(address),
            Question::Running | Question::Command { .. } => None,
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, and there is nothing more to know.
    Yes,
    /// The body of an HTTP answer.
    Body(Vec<u8>),
}

impl Answer {
    /// Whether the answer satisfies what the check expects.
    pub fn satisfies(
        &self,
        check: &Check,
        question: &Question,
        text: impl Fn(&Template) -> Result<String, NotReady>,
    ) -> Result<(), NotReady> {
        match check {
            Check::Http(http) => http
                .expect
                .as_ref()
                .map_or(Ok(()), |expect| self.meets(expect, question, text)),
            Check::Running | Check::Tcp(_) | Check::Command(_) => Ok(()),
        }
    }

    /// Whether the JSON in the answer is as expected.
    fn meets(
        &self,
        expect: &Expectation,
        question: &Question,
        text: impl Fn(&Template) -> Result<String, NotReady>,
    ) -> Result<(), NotReady> {
        let (Self::Body(body), Question::Http { address, path }) = (self, question) else {
            return Ok(());
        };
        let document: Value = serde_json::from_slice(body).map_err(|error| NotReady::Json {
            address: address.clone(),
            path: path.clone(),
            reason: error.to_string(),
        })?;
        if expect.holds(&document, &text)? {
            Ok(())
        } else {
            Err(NotReady::Expectation(unmet(expect, path, &text)))
        }
    }
}

fn unmet(expect: &Expectation, path: &str, text: impl Fn(&Template) -> Result<String, NotReady>) -> String {
    use seaway_model::plan::Condition;
    let keys: Vec<String> = expect.select.iter().filter_map(|key| text(key).ok()).collect();
    let wanted = match &expect.condition {
        Condition::Is(template) => format!("does not list `{}`", text(template).unwrap_or_default()),
        Condition::Above(limit) => format!("is not above {limit}"),
    };
    format!("`{}` of {path} {wanted} yet", keys.join("/"))
}

#[cfg(test)]
mod tests {
    use seaway_model::{
        Name,
        plan::{Condition, HttpCheck, PortReference},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers every connection with the same bytes.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    fn workers() -> Check {
        Check::Http(HttpCheck {
            at: PortReference {
                role: None,
                port: Name::literal("http"),
            },
            path: "/workers".into(),
            expect: Some(Expectation {
                select: vec![
                    Template::literal("workers"),
                    Template::literal("*"),
                    Template::literal("name"),
                ],
                condition: Condition::Is("${task}".parse().unwrap()),
            }),
        })
    }

    async fn ask(check: &Check, address: &str) -> Result<(), NotReady> {
        let text = |template: &Template| template.resolve(|_| Ok("worker-1".to_owned()));
        let question = Question::of(check, |_| Ok(address.to_owned()), text)?;
        let answer = question
            .ask(Duration::from_secs(5), &BTreeMap::new(), &[])
            .await?;
        answer.satisfies(check, &question, text)
    }

    #[tokio::test]
    async fn ready_when_the_engine_lists_the_task() {
        let body = "HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n{\"workers\": [{\"name\": \"worker-1\"}]} ";
        ask(&workers(), &server(body).await).await.unwrap();
        let body = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"workers\": []}";
        let error = ask(&workers(), &server(body).await).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`workers/*/name` of /workers does not list `worker-1` yet"
        );
    }

    #[tokio::test]
    async fn what_is_expected_can_be_written_on_a_command_line() {
        let body =
            "HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\n{\"n\": 3, \"w\": [{\"name\": \"a-1\"}]}\r\n";
        let address = server(body).await;
        for (expected, right) in [
            ("n>2", true),
            ("n>3", false),
            ("w.*.name=a-1", true),
            ("w.*.name=a", false),
        ] {
            let probe = crate::run::options::probe(&format!("http://{address}/#{expected}")).unwrap();
            let answer = probe.ask(Duration::from_secs(5), &BTreeMap::new(), &[]).await;
            assert_eq!(answer.is_ok(), right, "{expected}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn says_why_not() {
        let error = ask(
            &workers(),
            &server("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await,
        )
        .await
        .unwrap_err();
        assert!(error.to_string().ends_with("/workers answered 503"), "{error}");
        let error = ask(
            &workers(),
            &server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await,
        )
        .await
        .unwrap_err();
        assert!(error.to_string().contains("did not answer with JSON"), "{error}");
        let error = ask(&workers(), &server("nonsense\r\n\r\n").await)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("not HTTP"), "{error}");
        let error = ask(&workers(), "127.0.0.1:1").await.unwrap_err();
        assert!(
            error.to_string().contains("does not accept connections"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_command_is_a_probe_too() {
        let path = [PathBuf::from("/bin"), PathBuf::from("/usr/bin")];
        let question = |word: &str| Question::Command {
            command: vec![word.to_owned()],
        };
        let second = Duration::from_secs(5);
        question("true")
            .ask(second, &BTreeMap::new(), &path)
            .await
            .unwrap();
        let error = question("false")
            .ask(second, &BTreeMap::new(), &path)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "probe `false` ended with code 1");
        let slow = Question::Command {
            command: vec!["sleep".into(), "60".into()],
        };
        let error = slow
            .ask(Duration::from_millis(50), &BTreeMap::new(), &path)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("longer than 50 ms"), "{error}");
    }
}
