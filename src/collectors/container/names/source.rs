//! What all sources have in common: what they are asked, and what they answer.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::crio::Crio;
use super::directory::Directory;
use super::docker::Docker;
use super::kubernetes::Kubernetes;
use super::{Named, PodNamed};

/// How many containers, and how many pods, are taken from one source.
pub(super) const MAX_ENTRIES: usize = 20_000;
/// How long an identifier may be; those of runtimes have 64 digits.
pub(super) const MAX_ID: usize = 256;
/// How long one request to a source, or one walk through its folder, may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Somebody who knows names.
pub(super) enum Source {
    Kubernetes(Kubernetes),
    Docker(Docker),
    Crio(Crio),
    /// containerd's tasks, and log folders.
    Directory(Directory),
}

/// What a source is asked.
#[derive(Debug, Default)]
pub(super) struct Question {
    /// Running containers that nobody knows, or that became known a short while ago.
    pub(super) wanted: HashSet<String>,
    /// Whether also what is known already is to be asked for again.
    pub(super) is_regular: bool,
}

/// What a source knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Containers by identifier.
    pub(super) containers: HashMap<String, Named>,
    /// Pods by uid.
    pub(super) pods: HashMap<String, PodNamed>,
    /// Whether the source was cut short, and is to be asked on soon.
    pub(super) is_partial: bool,
}

impl Answer {
    /// Adds a container, if something is known of it.
    pub(super) fn add(&mut self, id: &str, named: Named) {
        let is_sound = !id.is_empty() && id.len() <= MAX_ID;
        if is_sound && self.containers.len() < MAX_ENTRIES && named != Named::default() {
            self.containers.insert(id.to_owned(), named);
        }
    }

    /// Adds a pod, if its name is known.
    pub(super) fn add_pod(&mut self, uid: &str, pod: PodNamed) {
        let is_sound = !uid.is_empty() && uid.len() <= MAX_ID;
        if is_sound && self.pods.len() < MAX_ENTRIES && !pod.pod.is_empty() {
            self.pods.insert(uid.to_owned(), pod);
        }
    }
}

/// Why a source does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// What is wrong, and what helps, without the source's place.
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The host has no such source.
    Absent,
    /// The source answered with this HTTP status.
    Status(u16),
    /// Anything else.
    Other,
}

impl Failure {
    pub(super) fn absent() -> Failure {
        Failure { kind: FailureKind::Absent, message: "not on this host".to_owned() }
    }

    pub(super) fn other(message: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Other, message: message.into() }
    }
}

impl Source {
    /// Where it is asked.
    pub(super) fn place(&self) -> String {
        match self {
            Source::Kubernetes(source) => source.place(),
            Source::Docker(source) => source.place(),
            Source::Crio(source) => source.place(),
            Source::Directory(source) => source.place(),
        }
    }

    /// Whether it is asked for one container after the other, and not for all at once.
    pub(super) fn asks_for_each(&self) -> bool {
        matches!(self, Source::Crio(_))
    }

    /// The shortest pause between two questions.
    pub(super) fn shortest_pause(&self) -> Duration {
        match self {
            // Many nodes share one, and kubelets take about a second to tell of a new container.
            Source::Kubernetes(_) => Duration::from_secs(1),
            _ => Duration::from_millis(100),
        }
    }

    /// Everything that it knows.
    ///
    /// # Errors
    /// Why it does not answer.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<Answer, Failure> {
        match self {
            Source::Kubernetes(source) => source.ask().await,
            Source::Docker(source) => source.ask().await,
            Source::Crio(source) => source.ask(question).await,
            Source::Directory(source) => source.ask().await,
        }
    }

    /// What an answer holds, in a few words.
    pub(super) fn describe(&self, answer: &Answer) -> String {
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        match (self, answer.containers.len(), answer.pods.len()) {
            (Source::Crio(_), ..) => "answers; it is asked for each container".to_owned(),
            (_, containers, 0) => count(containers, "container"),
            (_, 0, pods) => count(pods, "pod"),
            (_, containers, pods) => format!("{}, {}", count(containers, "container"), count(pods, "pod")),
        }
    }
}
