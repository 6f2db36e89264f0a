//! What the log is told of requests that would have changed something, and were refused.

use std::net::{IpAddr, SocketAddr};

use axum::http::{Method, StatusCode};

use crate::log::Limited;

/// Refused requests, of which each kind is told once a minute at the most.
pub struct Refusals(Limited<Kind>);

/// Refusals that are told as one: whose, of what, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    client: Option<IpAddr>,
    path: String,
    status: StatusCode,
}

impl Default for Refusals {
    fn default() -> Self {
        /// So many kinds are told apart.
        const MOST: usize = 64;
        Refusals(Limited::new(MOST))
    }
}

impl Refusals {
    /// Tells of one.
    pub fn tell(&self, client: Option<SocketAddr>, method: &Method, path: &str, status: StatusCode, reason: &str) {
        let kind = Kind { client: client.map(|address| address.ip()), path: shown(path), status };
        let Some(left_out) = self.0.tell(&kind) else { return };
        let (client, path, reason) = (name(kind.client), kind.path, shown(reason));
        let status = status.as_u16();
        tracing::warn!("{method} {path} of {client} was refused with {status}: {reason}{left_out}");
    }

    /// Tells how many came since that were not told, where none came later.
    pub fn tell_rest(&self) {
        for (kind, count) in self.0.overdue() {
            match kind {
                Some(Kind { client, path, status }) => {
                    let (client, status) = (name(client), status.as_u16());
                    tracing::warn!("{count} more requests of {client} for {path} were refused with {status}");
                }
                None => tracing::warn!("{count} more requests of others were refused"),
            }
        }
    }
}

fn name(client: Option<IpAddr>) -> String {
    client.map_or_else(|| "somebody who went away".to_owned(), |client| client.to_string())
}

/// A text of others, in one line that is not too long.
fn shown(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut shown: String =
        text.trim_end().chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.trim_end().len() && shown.chars().count() == LONGEST {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_one_line_and_short() {
        assert_eq!(shown("a\nb\u{1b}[31m\n"), "a b [31m");
        assert_eq!(shown(&"ü".repeat(400)).chars().count(), 301);
        assert_eq!(shown(&"ü".repeat(300)).chars().count(), 300);
    }
}
