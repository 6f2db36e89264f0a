//! What a push says of itself beside its body: how long its group lives, what it does to what is there, and by which key it
//! is known if it comes again.

use axum::http::{HeaderMap, Method};

use super::answer::Refused;
use super::change::Replace;
use super::key::Key;
use super::merge::{Gauges, Mode};
use super::rules::{Rule, gauges_of, mode_of};

/// What holds for one push.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Which families go.
    pub replace: Replace,
    /// What becomes of those that are named.
    pub mode: Mode,
    /// Seconds until the group ends.
    pub ttl: Option<f64>,
    /// What the push is known by if it comes again.
    pub repeats: Option<u128>,
}

impl Options {
    /// What the request says, and where it does not, the first rule that matches the job.
    ///
    /// # Errors
    /// What it says that nobody understands.
    pub fn new(
        key: &Key,
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        rules: &[Rule],
    ) -> Result<Options, Refused> {
        let parameter = |wanted: &str| {
            let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.into_owned())
        };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let rule = rules.iter().find(|rule| rule.job.matches(key.job()));
        let ttl = match parameter("ttl").or_else(|| header("x-taffrail-ttl")) {
            Some(text) => Some(time_to_live(&text)?),
            None => rule.and_then(|rule| rule.ttl).map(|ttl| ttl.as_secs_f64()),
        };
        let ruled = rule.map(|rule| rule.mode).unwrap_or_default();
        let gauges = match (parameter("gauges"), ruled) {
            (Some(name), _) => gauges_of(&name).map_err(|error| Refused::bad(format!("gauges: {error}")))?,
            (None, Mode::Aggregate(gauges)) => gauges,
            (None, _) => Gauges::default(),
        };
        let asked = parameter("mode").or_else(|| parameter("merge"));
        let mode = match (&asked, ruled) {
            (Some(name), _) => mode_of(name, gauges).map_err(|error| Refused::bad(format!("mode: {error}")))?,
            (None, Mode::Aggregate(_)) => Mode::Aggregate(gauges),
            (None, ruled) => ruled,
        };
        let is_put = *method == Method::PUT;
        if is_put && mode == Mode::Series && asked.is_some() {
            return Err(Refused::bad("PUT takes the place of the whole group; series are merged with POST"));
        }
        let replace = match mode {
            Mode::Families | Mode::Series if is_put => Replace::Everything,
            _ => Replace::Named,
        };
        // A PUT of a job whose series are merged by rule still takes the place of the group.
        let mode = if replace == Replace::Everything { Mode::Families } else { mode };
        let repeats = header("idempotency-key").or_else(|| parameter("idempotency_key")).map(|key| digest(&key));
        Ok(Options { replace, mode, ttl, repeats })
    }
}

fn time_to_live(text: &str) -> Result<f64, Refused> {
    let wrong = || Refused::bad(format!("expected a time to live such as ttl=90m, found {text:?}"));
    let duration = humantime::parse_duration(text).map_err(|_| wrong())?;
    if duration.is_zero() { Err(wrong()) } else { Ok(duration.as_secs_f64()) }
}

/// A key of any length as a number that no other key has.
fn digest(key: &str) -> u128 {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    digest.as_ref()[..16].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(method: Method, query: &str, rules: &[Rule]) -> Result<Options, String> {
        let key = Key::from_path("job/backup").unwrap();
        Options::new(&key, &method, query, &HeaderMap::new(), rules).map_err(|refused| refused.1)
    }

    #[test]
    fn a_push_says_more_than_a_rule() {
        let rule = |pattern: &str, mode| Rule {
            job: crate::config::Pattern::new(pattern).unwrap(),
            ttl: Some(std::time::Duration::from_secs(60)),
            mode,
        };
        let rules =
            [rule("back", Mode::Series), rule("back.*", Mode::Aggregate(Gauges::Max)), rule(".*", Mode::Series)];
        let ruled = options(Method::PUT, "", &rules).unwrap();
        assert_eq!((ruled.replace, ruled.mode, ruled.ttl), (Replace::Named, Mode::Aggregate(Gauges::Max), Some(60.0)));
        let said = options(Method::PUT, "ttl=1h&gauges=sum", &rules).unwrap();
        assert_eq!((said.mode, said.ttl), (Mode::Aggregate(Gauges::Sum), Some(3600.0)));
        let said = options(Method::PUT, "mode=families", &rules).unwrap();
        assert_eq!((said.replace, said.mode), (Replace::Everything, Mode::Families));
        let said = options(Method::POST, "merge=series", &[]).unwrap();
        assert_eq!((said.replace, said.mode, said.ttl), (Replace::Named, Mode::Series, None));
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (method, query, error) in [
            (Method::PUT, "mode=series", "PUT takes the place"),
            (Method::POST, "mode=all", "mode: expected families, series or aggregate"),
            (Method::POST, "gauges=mean", "gauges: expected last, sum, max or min"),
            (Method::POST, "ttl=0s", "expected a time to live"),
            (Method::POST, "ttl=1", "expected a time to live"),
        ] {
            let found = options(method, query, &[]).unwrap_err();
            assert!(found.starts_with(error), "{query}: {found}");
        }
    }
}
