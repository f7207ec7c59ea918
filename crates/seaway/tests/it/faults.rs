//! A hundred kills: the agent, the engine, the API server, Consul and Redis, each twenty times at random moments. While
//! the engine lives its entry comes back everywhere; when it is dead no entry outlives its lease; and never does an
//! entry name anything but what its owner said.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rand::{RngExt, seq::SliceRandom};
use seaway_discovery::{Defaults, Directory, Variables};
use seaway_model::discovery::{ConsulDirectory, DirectorySpec, KubernetesDirectory, RedisDirectory};

use crate::harness::{
    Heavy, Home, PATIENCE, Running, dice, processes,
    services::{self, Cluster, Service},
    until,
};

/// Short, so that what runs out need not be waited for long.
const LEASE: Duration = Duration::from_secs(3);
/// Time between two looks of the observer.
const LOOK: Duration = Duration::from_millis(100);
/// Rounds, in each of which everybody is killed once.
const ROUNDS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Agent,
    Engine,
    ApiServer,
    Consul,
    Redis,
}

const VICTIMS: [Victim; 5] = [
    Victim::Agent,
    Victim::Engine,
    Victim::ApiServer,
    Victim::Consul,
    Victim::Redis,
];

/// All three directories, and what runs.
struct Stage {
    home: Home,
    kubernetes: Cluster,
    consul: Service,
    redis: Service,
    ports: Ports,
    agent: Option<Running>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    consul: u16,
    redis: u16,
    engine: u16,
}

impl Stage {
    fn new() -> Self {
        let home = Home::new();
        let ports = Ports {
            consul: services::free_port(),
            redis: services::free_port(),
            engine: services::free_port(),
        };
        Self {
            kubernetes: Cluster::control_plane(),
            consul: services::consul(&home, ports.consul),
            redis: services::redis(&home, ports.redis),
            ports,
            home,
            agent: None,
        }
    }

    /// Starts the agent with its engine, as whatever started the one before would.
    fn start_agent(&mut self) {
        self.agent = Some(agent(&self.home, &self.kubernetes.kubeconfig, self.ports));
    }

    /// The process of the engine, while there is one.
    fn engine(&self) -> Option<i32> {
        engines(&self.home, self.ports).first().copied()
    }

    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Agent => {
                if let Some(agent) = self.agent.take() {
                    processes::kill_hard(agent.pid());
                    drop(agent);
                }
            }
            Victim::Engine => {
                // The agent may only just be starting it, after one that was left has been ended.
                let engine = until(PATIENCE, || {
                    let all = engines(&self.home, self.ports);
                    match (all.as_slice(), &self.agent) {
                        ([one], Some(agent)) if parent(*one) == Some(agent.pid()) => Ok(*one),
                        _ => Err(format!("engines: {all:?}")),
                    }
                });
                processes::kill_hard(engine.unwrap_or_else(|why| panic!("{why}")));
            }
            Victim::ApiServer => self.kubernetes.kill_api_server(),
            Victim::Consul => self.consul.kill(),
            Victim::Redis => self.redis.kill(),
        }
    }

    /// What watches over each of them starts it again.
    fn restore(&mut self, victim: Victim) {
        match victim {
            Victim::Agent => self.start_agent(),
            // The agent ends with its engine.
            Victim::Engine => {
                if let Some(agent) = self.agent.take() {
                    agent.finish();
                }
                self.start_agent();
            }
            Victim::ApiServer => self.kubernetes.start_api_server(),
            Victim::Consul => self.consul.start(),
            Victim::Redis => self.redis.start(),
        }
    }
}

/// The processes of engines of a home.
fn engines(home: &Home, ports: Ports) -> Vec<i32> {
    let port = ports.engine.to_string();
    home.processes()
        .into_iter()
        .filter(|process| {
            process.words.contains(&port) && process.words.get(1).is_some_and(|word| word == "-m")
        })
        .map(|process| process.pid)
        .collect()
}

fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn agent(home: &Home, kubeconfig: &Path, ports: Ports) -> Running {
    let lease = format!("{}s", LEASE.as_secs());
    let endpoint = format!("client=192.0.2.7:{}", ports.engine);
    let probe = format!("tcp:127.0.0.1:{}", ports.engine);
    home.seaway([
        "run",
        "--name",
        "eng",
        "--register",
        "kubernetes,consul,redis",
        "--lease",
        &lease,
        "--endpoint",
        &endpoint,
        "--probe",
        &probe,
        "--probe-interval",
        "500ms",
        "--",
        "python3",
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        &ports.engine.to_string(),
    ])
    .env("KUBECONFIG", kubeconfig)
    .env("NAMESPACE", "default")
    .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", ports.consul))
    .env("REDIS_URL", format!("redis://127.0.0.1:{}", ports.redis))
    .within(Duration::from_secs(3600))
    .start()
}

fn readers(kubeconfig: &Path, ports: Ports) -> Vec<Box<dyn Directory>> {
    let defaults = Defaults {
        variables: [("KUBECONFIG", kubeconfig.display().to_string())]
            .into_iter()
            .collect::<Variables>(),
        ..Defaults::default()
    };
    let timeout = Some("2s".parse().unwrap());
    [
        DirectorySpec::Kubernetes(KubernetesDirectory {
            timeout,
            ..KubernetesDirectory::default()
        }),
        DirectorySpec::Consul(ConsulDirectory {
            url: Some(format!("http://127.0.0.1:{}", ports.consul)),
            timeout,
            ..ConsulDirectory::default()
        }),
        DirectorySpec::Redis(RedisDirectory {
            url: Some(format!("redis://127.0.0.1:{}", ports.redis)),
            timeout,
            ..RedisDirectory::default()
        }),
    ]
    .iter()
    .map(|spec| seaway_discovery::open(spec, &defaults).unwrap())
    .collect()
}

/// What was last seen in one directory.
#[derive(Debug, Clone, Default)]
struct Seen {
    kind: &'static str,
    /// Until when the entry is believed, while it is.
    live_until: Option<Timestamp>,
    port: u16,
    looks: usize,
    /// Why the last look failed.
    failure: Option<String>,
}

/// Looks into all directories all the time.
struct Observer {
    seen: Arc<Mutex<Vec<Seen>>>,
    owners: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Observer {
    fn start(kubeconfig: &Path, ports: Ports) -> Self {
        let directories = readers(kubeconfig, ports);
        let seen = directories
            .iter()
            .map(|directory| Seen {
                kind: directory.kind(),
                ..Seen::default()
            })
            .collect();
        let mut observer = Self {
            seen: Arc::new(Mutex::new(seen)),
            owners: Arc::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for (place, directory) in directories.into_iter().enumerate() {
            let (seen, owners, stop) = (
                Arc::clone(&observer.seen),
                Arc::clone(&observer.owners),
                Arc::clone(&observer.stop),
            );
            observer.threads.push(thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let found = runtime.block_on(directory.get(&"eng".parse().unwrap()));
                    {
                        let mut seen = seen.lock().unwrap();
                        let seen = &mut seen[place];
                        seen.looks += 1;
                        match found {
                            Ok(entry) => {
                                let entry = entry.filter(|entry| !entry.is_expired(Timestamp::now()));
                                seen.failure = None;
                                seen.live_until = entry.as_ref().map(|entry| entry.believed_until().unwrap());
                                if let Some(entry) = entry {
                                    owners.lock().unwrap().insert(entry.owner.to_string());
                                    seen.port = entry.endpoints[0].port;
                                }
                            }
                            Err(error) => {
                                seen.failure = Some(error.to_string());
                                seen.live_until = None;
                            }
                        }
                    }
                    thread::sleep(LOOK);
                }
            }));
        }
        observer
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// What is seen by looks that begin from now on.
    fn looks(&self) -> Vec<usize> {
        self.seen().iter().map(|seen| seen.looks).collect()
    }

    /// Waits until the entry is live in every directory.
    #[track_caller]
    fn live_everywhere(&self, what: &str) {
        let before = self.looks();
        until(PATIENCE, || {
            let seen = self.seen();
            let all = seen
                .iter()
                .zip(&before)
                // The look that was under way does not count.
                .all(|(seen, before)| seen.looks > before + 1 && seen.live_until.is_some());
            if all {
                Ok(())
            } else {
                Err(format!("{what}: {seen:?}"))
            }
        })
        .unwrap_or_else(|why| panic!("{why}"));
    }

    /// Waits until the entry is in no directory any more, and says whether that took longer than it may.
    #[track_caller]
    fn gone_everywhere(&self, what: &str, dead: Instant) {
        // What is believed now ends with its lease; a look takes a moment, on a busy machine a long one.
        let before = self.looks();
        until(PATIENCE, || {
            let seen = self.seen();
            let late = seen
                .iter()
                .filter_map(|seen| Some((seen.kind, seen.live_until?)))
                .find(|(_, until)| *until > Timestamp::now() + LEASE);
            assert!(late.is_none(), "{what}: believed longer than its lease: {late:?}");
            let all = seen.iter().zip(&before).all(|(seen, before)| {
                seen.looks > before + 1 && seen.live_until.is_none() && seen.failure.is_none()
            });
            if all {
                Ok(())
            } else {
                Err(format!("{what}: {seen:?}"))
            }
        })
        .unwrap_or_else(|why| panic!("{why}"));
        let after = dead.elapsed();
        assert!(
            after < LEASE + Duration::from_secs(20),
            "{what}: gone only after {after:?}"
        );
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_hundred_kills_leave_no_stale_entry_and_lose_none() {
    let _heavy = Heavy::wait();
    let mut dice = dice();
    let mut stage = Stage::new();
    stage.start_agent();
    let observer = Observer::start(&stage.kubernetes.kubeconfig, stage.ports);
    observer.live_everywhere("at the beginning");
    for round in 0..ROUNDS {
        let mut victims = VICTIMS;
        victims.shuffle(&mut dice);
        for victim in victims {
            // The moment is what is tested; nothing is waited for.
            thread::sleep(Duration::from_millis(dice.random_range(0..1000)));
            stage.kill(victim);
            let of_engine = matches!(victim, Victim::Agent | Victim::Engine);
            // Now and then nobody starts it again for longer than the lease.
            if of_engine && dice.random_bool(0.15) {
                let dead = Instant::now();
                if victim == Victim::Agent
                    && let Some(engine) = stage.engine()
                {
                    processes::kill_hard(engine);
                }
                observer.gone_everywhere(&format!("round {round}, after {victim:?}"), dead);
            }
            stage.restore(victim);
        }
        observer.live_everywhere(&format!("round {round}, after {victims:?}"));
        for seen in observer.seen() {
            assert_eq!(seen.port, stage.ports.engine, "{seen:?}");
        }
    }
    // Told to end, it takes everything out itself.
    let agent = stage.agent.take().unwrap();
    let asked = Instant::now();
    processes::signal(agent.pid(), nix::sys::signal::Signal::SIGTERM);
    agent.finish();
    observer.gone_everywhere("at the end", asked);
    // An agent that is killed comes back as the same owner. One whose engine ended has ended in order, and the next one is
    // somebody new.
    let owners = observer.owners.lock().unwrap().len();
    assert!(owners <= ROUNDS + 1, "{owners} owners");
    drop(observer);
    assert!(stage.engine().is_none());
    stage.home.nothing_is_left();
}

#[test]
fn of_two_agents_one_holds_the_name_until_it_dies() {
    let _heavy = Heavy::wait();
    let stage = Stage::new();
    // Two users: each has a state folder, an engine and an identity of its own.
    let other = Home::new();
    let ports = [
        stage.ports,
        Ports {
            engine: services::free_port(),
            ..stage.ports
        },
    ];
    let homes = [&stage.home, &other];
    let start = |which: usize| agent(homes[which], &stage.kubernetes.kubeconfig, ports[which]);
    let observer = Observer::start(&stage.kubernetes.kubeconfig, stage.ports);
    let mut agents = [Some(start(0)), None];
    observer.live_everywhere("the first holds it");
    agents[1] = Some(start(1));
    let holder_is = |which: usize, what: &str| {
        until(PATIENCE, || {
            let seen = observer.seen();
            let all = seen
                .iter()
                .all(|seen| seen.live_until.is_some() && seen.port == ports[which].engine);
            if all {
                Ok(())
            } else {
                Err(format!("{what}: {seen:?}"))
            }
        })
        .unwrap_or_else(|why| panic!("{why}"));
    };
    let mut left = [0, 0];
    for round in 0..4 {
        let holder = round % 2;
        holder_is(holder, "the holder");
        // For two leases nothing changes hands while the holder lives.
        let since = Instant::now();
        while since.elapsed() < LEASE * 2 {
            let seen = observer.seen();
            assert!(
                seen.iter().all(|seen| seen.port == ports[holder].engine),
                "round {round}: {seen:?}"
            );
            thread::sleep(LOOK);
        }
        left[holder] = *engines(homes[holder], ports[holder]).first().unwrap_or(&0);
        let dying = agents[holder].take().unwrap();
        processes::kill_hard(dying.pid());
        drop(dying);
        holder_is(1 - holder, "the other takes over");
        // It takes away the engine that the one before has left, and waits for its turn.
        agents[holder] = Some(start(holder));
        homes[holder].until("the engine is a new one", PATIENCE, || {
            let engines = engines(homes[holder], ports[holder]);
            match engines.as_slice() {
                [one] if *one != left[holder] => Ok(()),
                others => Err(format!("{others:?}")),
            }
        });
    }
    for agent in agents.iter().flatten() {
        processes::signal(agent.pid(), nix::sys::signal::Signal::SIGTERM);
    }
    for agent in agents.into_iter().flatten() {
        agent.finish();
    }
    observer.gone_everywhere("both have been told to end", Instant::now());
    assert_eq!(observer.owners.lock().unwrap().len(), 2);
    drop(observer);
    other.nothing_is_left();
    stage.home.nothing_is_left();
}
