//! The endpoints that delete groups: one, all, or those that match.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::forwarded::Needs;
use super::gateway::Gateway;
use super::{json as json_response, other_method};
use crate::gateway::groups::change::Plan;
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::selection::Selection;
use crate::gateway::groups::state::State;
use crate::gateway::key::Key;
use crate::gateway::request::matcher;
use crate::gateway::request::query::Query;
use crate::gateway::request::refusal::Refusal;
use crate::gateway::self_metrics::count_by;
use crate::http::access::{Right, Viewer};

impl Gateway {
    /// Deletes one group.
    pub(super) async fn delete(&self, key: &Key) -> Result<Response, Refusal> {
        self.remove(|state| state.select_keys(std::slice::from_ref(key))).await?;
        Ok(StatusCode::ACCEPTED.into_response())
    }

    /// `PUT /api/v1/admin/wipe` deletes all groups.
    pub(super) async fn wipe(
        &self,
        method: &Method,
        viewer: &Viewer,
        query: &str,
        request: Request,
    ) -> Result<Response, Refusal> {
        if *method != Method::PUT {
            return Ok(other_method(method, "PUT, OPTIONS"));
        }
        viewer.may(Right::Admin)?;
        Query::of(query, &[])?;
        let wipe = async |_| {
            self.remove(|state| state.select(|_, _| true)).await?;
            Ok(StatusCode::ACCEPTED.into_response())
        };
        self.at_writer(Needs::Change, request, wipe).await
    }

    /// `DELETE /api/v1/groups?match[]=job="x",instance=~"a.*"&dry_run=true` deletes the groups that any `match[]` matches.
    pub(super) async fn delete_matching(&self, query: &str) -> Result<Response, Refusal> {
        let query = Query::of(query, &["match[]", "dry_run"])?;
        let is_dry = query.switch("dry_run")?;
        let mut matchers = Vec::new();
        for text in query.all("match[]") {
            matchers.push(matcher::parse(text).map_err(Refusal::bad)?);
        }
        if matchers.is_empty() {
            let message = "expected match[], such as match[]=job=\"backup\",host=~\"web-.*\"".to_owned();
            return Err(Refusal::bad(message));
        }
        let is_wanted = |key: &Key| matchers.iter().any(|all| all.iter().all(|matcher| matcher.matches(key)));
        let count = match is_dry {
            true => self.store.read(|state| state.all().filter(|(key, _)| is_wanted(key)).count()),
            false => self.remove(|state| state.select(|key, _| is_wanted(key))).await?,
        };
        Ok(json_response(&json!({"status": "success", "data": {"groups": count, "dry_run": is_dry}})))
    }

    /// Removes the groups that `select` selects; returns their number.
    async fn remove(&self, select: impl FnOnce(&State) -> Selection) -> Result<usize, Refusal> {
        let plan = |state: &State| Ok::<_, Conflict>(Plan::Sweep(select(state)));
        let removed = self.store.change(plan).await?.unwrap_or(0);
        count_by(&self.counters.deleted, removed as u64);
        Ok(removed)
    }
}
