//! The options of a push besides its body: the time to live of its group, how it is merged, and its idempotency key.

use axum::http::{HeaderMap, Method};

use super::query::Query;
use super::refusal::Refusal;
use crate::config::duration;
use crate::gateway::groups::change::Replace;
use crate::gateway::groups::merge::{GaugeMode, Mode};
use crate::gateway::job_rules::{Rule, gauges_of, mode_of};
use crate::gateway::key::Key;

/// The options of one push.
#[derive(Clone, Debug, PartialEq)]
pub struct PushOptions {
    /// Which families it replaces.
    pub replace: Replace,
    /// How the families that it names are merged.
    pub mode: Mode,
    /// Seconds until the group expires.
    pub ttl: Option<f64>,
    /// The digest of its idempotency key, which identifies a repeated push.
    pub idempotency: Option<u128>,
}

/// The query parameters of a push. Deletions accept them too, since `taffrail push` sends them.
pub const PARAMETERS: &[&str] = &["ttl", "mode", "merge", "gauges", "idempotency_key"];

impl PushOptions {
    /// The options of a request; the first rule that matches the job has the defaults.
    ///
    /// # Errors
    /// An invalid option.
    pub fn new(
        key: &Key,
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        rules: &[Rule],
    ) -> Result<PushOptions, Refusal> {
        let query = Query::of(query, PARAMETERS)?;
        let rule = rules.iter().find(|rule| rule.job.matches(key.job()));
        let ttl = match query.one_or_header(&["ttl"], headers, "x-taffrail-ttl")? {
            Some(text) => Some(time_to_live(&text)?),
            None => rule.and_then(|rule| rule.ttl).map(|ttl| ttl.as_secs_f64()),
        };
        let default_mode = rule.map(|rule| rule.mode).unwrap_or_default();
        let gauges = match (query.one(&["gauges"])?, default_mode) {
            (Some(name), _) => gauges_of(name).map_err(|error| Refusal::bad(format!("gauges: {error}")))?,
            (None, Mode::Aggregate(gauges)) => gauges,
            (None, _) => GaugeMode::default(),
        };
        let requested = query.one(&["mode", "merge"])?;
        let mode = match (requested, default_mode) {
            (Some(name), _) => mode_of(name, gauges).map_err(|error| Refusal::bad(format!("mode: {error}")))?,
            (None, Mode::Aggregate(_)) => Mode::Aggregate(gauges),
            (None, default_mode) => default_mode,
        };
        let is_put = *method == Method::PUT;
        if is_put && mode == Mode::Series && requested.is_some() {
            return Err(Refusal::bad("PUT takes the place of the whole group; series are merged with POST"));
        }
        let replace = match mode {
            Mode::Families | Mode::Series if is_put => Replace::Everything,
            _ => Replace::Named,
        };
        // A PUT replaces the group even if a rule merges the job's series.
        let mode = if replace == Replace::Everything { Mode::Families } else { mode };
        let idempotency =
            query.one_or_header(&["idempotency_key"], headers, "idempotency-key")?.map(|key| digest(&key));
        Ok(PushOptions { replace, mode, ttl, idempotency })
    }
}

fn time_to_live(text: &str) -> Result<f64, Refusal> {
    let invalid =
        |reason: &str| Refusal::bad(format!("expected a time to live such as ttl=90m, found {text:?}{reason}"));
    let duration = duration(text).map_err(|reason| match reason.as_str() {
        "" => invalid(""),
        reason => invalid(&format!(": {reason}")),
    })?;
    if duration.is_zero() { Err(invalid("")) } else { Ok(duration.as_secs_f64()) }
}

/// The first 128 bits of a key's SHA-256 digest.
fn digest(key: &str) -> u128 {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    digest.as_ref()[..16].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(method: Method, query: &str, rules: &[Rule]) -> Result<PushOptions, String> {
        let key = Key::from_path("job/backup").unwrap();
        PushOptions::new(&key, &method, query, &HeaderMap::new(), rules).map_err(|refused| refused.1)
    }

    #[test]
    fn a_push_says_more_than_a_rule() {
        let rule = |pattern: &str, mode| Rule {
            job: crate::config::Pattern::new(pattern).unwrap(),
            ttl: Some(std::time::Duration::from_secs(60)),
            mode,
        };
        let rules =
            [rule("back", Mode::Series), rule("back.*", Mode::Aggregate(GaugeMode::Max)), rule(".*", Mode::Series)];
        let defaults = options(Method::PUT, "", &rules).unwrap();
        assert_eq!(
            (defaults.replace, defaults.mode, defaults.ttl),
            (Replace::Named, Mode::Aggregate(GaugeMode::Max), Some(60.0))
        );
        let explicit = options(Method::PUT, "ttl=1h&gauges=sum", &rules).unwrap();
        assert_eq!((explicit.mode, explicit.ttl), (Mode::Aggregate(GaugeMode::Sum), Some(3600.0)));
        let explicit = options(Method::PUT, "mode=families", &rules).unwrap();
        assert_eq!((explicit.replace, explicit.mode), (Replace::Everything, Mode::Families));
        let explicit = options(Method::POST, "merge=series", &[]).unwrap();
        assert_eq!((explicit.replace, explicit.mode, explicit.ttl), (Replace::Named, Mode::Series, None));
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (method, query, error) in [
            (Method::PUT, "mode=series", "PUT takes the place"),
            (Method::POST, "mode=all", "mode: expected families, series or aggregate"),
            (Method::POST, "gauges=mean", "gauges: expected last, sum, max or min"),
            (Method::POST, "tll=1h", "unknown query parameter \"tll\""),
            (Method::POST, "ttl=1h&ttl=1h", "ttl is said twice"),
            (Method::POST, "mode=series&merge=series", "mode is said twice"),
            (Method::POST, "ttl=0s", "expected a time to live"),
            (Method::POST, "ttl=1", "expected a time to live"),
            (Method::POST, "ttl=-1s", "expected a time to live"),
            (Method::POST, "ttl=1e400s", "expected a time to live"),
            (Method::POST, "ttl=NaN", "expected a time to live"),
            (Method::POST, "ttl=99999999999999d", "expected a time to live"),
            (
                Method::POST,
                "ttl=101y",
                "expected a time to live such as ttl=90m, found \"101y\": it is longer than 100 years",
            ),
            (Method::POST, "ttl=99999999999999999999999999s", "expected a time to live"),
        ] {
            let found = options(method, query, &[]).unwrap_err();
            assert!(found.starts_with(error), "{query}: {found}");
        }
    }
}
