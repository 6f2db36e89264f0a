//! The replicas of the gateway on its page.

use std::fmt::Write;
use std::time::Instant;

use crate::gateway::replication::shared::Shared;
use crate::gateway::replication::status::{Role, Status};
use crate::http::page::{count, escaped};

/// The role of a replica, its writer, and why it has stopped or does not follow.
pub(super) fn summary(status: &Status) -> String {
    let class = match status.role {
        Role::Stopped => "bad",
        _ if status.shown_reason().is_some() => "warn",
        Role::Follower if status.lag() > 0 => "warn",
        Role::Follower | Role::Writer => "on",
    };
    let mut text = format!("Replica: {}", status.role);
    match &status.writer {
        Some(writer) if status.role == Role::Follower => text += &format!(" of {writer}"),
        None if status.role == Role::Follower => text += ", no writer",
        _ => {}
    }
    if status.lag() > 0 {
        text += &format!(", {} behind", count(status.lag() as usize, "message"));
    }
    if let Some(reason) = status.shown_reason() {
        text += &format!(": {reason}");
    }
    format!("<p class=\"state {class}\">{}</p>\n", escaped(&text))
}

/// All replicas, and the durability of the stream.
pub(super) fn table(out: &mut String, shared: &Shared) {
    let durability = shared.durability();
    let class = match durability.is_synced() {
        Some(true) => "on",
        Some(false) => "bad",
        None => "warn",
    };
    out.push_str(
        "<section class=\"card\"><h2>Replicas</h2>\n<table class=\"list\"><thead><tr><th scope=\"col\">Replica</th>\
         <th scope=\"col\">Role</th><th scope=\"col\" class=\"n\">Applied</th><th scope=\"col\" class=\"n\">Behind</th>\
         <th scope=\"col\" class=\"n\">On disk</th><th scope=\"col\">Reason</th></tr></thead><tbody>\n",
    );
    for peer in shared.peers.all(Instant::now()) {
        let replica = &peer.announced;
        let _ = writeln!(
            out,
            "<tr><td>{} <span class=\"mute\">{}</span></td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td>{}</td></tr>",
            escaped(&replica.name),
            escaped(&replica.url),
            escaped(&peer.state()),
            replica.applied,
            replica.lag(),
            replica.persisted,
            escaped(replica.reason.as_deref().unwrap_or_default()),
        );
    }
    let text = escaped(&durability.describe());
    let _ = write!(out, "</tbody></table>\n<p class=\"state {class}\">NATS servers sync {text}</p>");
    let warnings = shared.warnings();
    if !warnings.is_empty() {
        let text = escaped(&warnings.join("; "));
        let _ = write!(out, "\n<p class=\"state bad\">The stream may lose pushes, or refuse them: {text}</p>");
    }
    out.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::replication::peers::Announcement;

    #[test]
    fn a_replica_names_its_role_and_its_writer() {
        let follower = Status { writer: Some("gateway-1".to_owned()), applied: 1, last: 3, ..Status::default() };
        let reason = Some("no stream <a>".to_owned());
        for (status, expected) in [
            (follower.clone(), "<p class=\"state warn\">Replica: follower of gateway-1, 2 messages behind</p>\n"),
            (Status { applied: 3, ..follower.clone() }, "<p class=\"state on\">Replica: follower of gateway-1</p>\n"),
            (Status { role: Role::Writer, applied: 3, ..follower }, "<p class=\"state on\">Replica: writer</p>\n"),
            (
                Status { copy_failure: reason.clone(), ..Status::default() },
                "<p class=\"state warn\">Replica: follower, no writer: no stream &lt;a&gt;</p>\n",
            ),
            (
                Status { role: Role::Stopped, reason, ..Status::default() },
                "<p class=\"state bad\">Replica: stopped: no stream &lt;a&gt;</p>\n",
            ),
        ] {
            assert_eq!(summary(&status), expected);
        }
    }

    #[test]
    fn the_table_has_all_replicas_and_the_durability() {
        let shared = Shared::default();
        let announced = Announcement {
            name: "r<1".to_owned(),
            url: "http://r1:9091".to_owned(),
            applied: 3,
            last: 5,
            persisted: 2,
            ..Announcement::default()
        };
        _ = shared.peers.hear(&announced.encode(), Instant::now());
        let mut out = String::new();
        table(&mut out, &shared);
        let row = "<tr><td>r&lt;1 <span class=\"mute\">http://r1:9091</span></td><td>follower</td><td class=\"n\">3</td>\
                   <td class=\"n\">2</td><td class=\"n\">2</td><td></td></tr>\n";
        assert!(out.contains(row), "{out}");
        assert!(out.ends_with("<p class=\"state warn\">NATS servers sync unknown</p></section>\n"), "{out}");
    }
}
