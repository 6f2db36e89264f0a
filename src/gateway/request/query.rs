//! Query parameters. Unknown and repeated parameters are errors: ignoring them would do something else than the client
//! meant.

use std::borrow::Cow;

use axum::http::HeaderMap;

use super::refusal::Refusal;

/// The query parameters of a request.
pub struct Query<'q> {
    pairs: Vec<(Cow<'q, str>, Cow<'q, str>)>,
}

impl<'q> Query<'q> {
    /// Parses a query; unknown parameters are ignored.
    pub fn new(query: &'q str) -> Query<'q> {
        Query { pairs: form_urlencoded::parse(query.as_bytes()).collect() }
    }

    /// Parses a query with no parameters but `known`.
    ///
    /// # Errors
    /// An unknown parameter.
    pub fn of(query: &'q str, known: &[&str]) -> Result<Query<'q>, Refusal> {
        let query = Query::new(query);
        match query.pairs.iter().find(|(name, _)| !known.contains(&&**name)) {
            None => Ok(query),
            Some((name, _)) if known.is_empty() => {
                Err(Refusal::bad(format!("unknown query parameter {name:?}: this request takes none")))
            }
            Some((name, _)) => {
                let known = known.join(", ");
                Err(Refusal::bad(format!("unknown query parameter {name:?}: this request takes {known}")))
            }
        }
    }

    /// All values of a repeatable parameter.
    pub fn all<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n str> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The value of a parameter, under any of these names.
    ///
    /// # Errors
    /// It is given twice.
    pub fn one(&self, names: &[&str]) -> Result<Option<&str>, Refusal> {
        let mut found = self.pairs.iter().filter(|(name, _)| names.contains(&&**name));
        let (first, second) = (found.next(), found.next());
        match second {
            None => Ok(first.map(|(_, value)| &**value)),
            Some(_) => Err(twice(names[0])),
        }
    }

    /// The value of a parameter under any of these names, or of a header.
    ///
    /// # Errors
    /// It is given twice, or the header is not ASCII text.
    pub fn one_or_header(&self, names: &[&str], headers: &HeaderMap, header: &str) -> Result<Option<String>, Refusal> {
        let (parameter, mut values) = (self.one(names)?, headers.get_all(header).iter());
        match (parameter, values.next(), values.next()) {
            (parameter, None, _) => Ok(parameter.map(str::to_owned)),
            (None, Some(value), None) => {
                let invalid = |_| Refusal::bad(format!("the header {header} holds what is no ASCII text"));
                Ok(Some(value.to_str().map_err(invalid)?.to_owned()))
            }
            _ => Err(twice(header)),
        }
    }

    /// The value of a boolean parameter; false by default.
    ///
    /// # Errors
    /// It is none of `true`, `1`, `false` and `0`, or is given twice.
    pub fn switch(&self, name: &str) -> Result<bool, Refusal> {
        match self.one(&[name])? {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Refusal::bad(format!("{name}: expected true or false, found {other:?}"))),
        }
    }
}

fn twice(name: &str) -> Refusal {
    Refusal::bad(format!("{name} is said twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off_and_nothing_else() {
        for (query, expected) in [
            ("", Ok(false)),
            ("dry=true", Ok(true)),
            ("dry=1", Ok(true)),
            ("dry=%74rue", Ok(true)),
            ("dry=false", Ok(false)),
            ("dry=0", Ok(false)),
        ] {
            assert_eq!(Query::new(query).switch("dry").map_err(|refused| refused.1), expected, "{query}");
        }
        for invalid in ["True", "TRUE", "yes", "on", "t", "2", "", "true%20", "%00", "False", "no"] {
            let found = Query::new(&format!("dry={invalid}")).switch("dry").unwrap_err().1;
            assert!(found.starts_with("dry: expected true or false, found"), "{invalid}: {found}");
        }
        assert_eq!(Query::new("dry=true&dry=true").switch("dry").unwrap_err().1, "dry is said twice");
    }

    #[test]
    fn what_is_unknown_or_said_twice_is_told() {
        let unknown = |query| Query::of(query, &["mode", "ttl"]).err().map(|refused| refused.1);
        assert_eq!(unknown("mode=a&ttl=b&mode=c"), None);
        let message = "unknown query parameter \"tll\": this request takes mode, ttl";
        assert_eq!(unknown("mode=a&tll=1h").as_deref(), Some(message));
        assert!(unknown("Mode=a").is_some() && unknown("x").is_some() && unknown("%00=").is_some());
        assert!(Query::of("a", &[]).err().unwrap().1.ends_with("takes none"));
        let query = Query::new("mode=a&merge=b&l=1&l=2");
        assert!(query.one(&["mode", "merge"]).is_err());
        assert_eq!(query.one(&["merge"]).unwrap(), Some("b"));
        assert_eq!(query.all("l").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn a_header_says_the_same_as_a_parameter_and_not_beside_it() {
        let mut headers = HeaderMap::new();
        let value = |query: &str, headers: &HeaderMap| {
            Query::new(query).one_or_header(&["ttl"], headers, "x-ttl").map_err(|refused| refused.1)
        };
        assert_eq!(value("ttl=1h", &headers), Ok(Some("1h".to_owned())));
        headers.append("x-ttl", "2h".parse().unwrap());
        assert_eq!(value("", &headers), Ok(Some("2h".to_owned())));
        assert!(value("ttl=2h", &headers).is_err());
        headers.append("x-ttl", "2h".parse().unwrap());
        assert!(value("", &headers).is_err());
        headers.insert("x-ttl", axum::http::HeaderValue::from_bytes(b"\xb2h").unwrap());
        assert!(value("", &headers).unwrap_err().contains("no ASCII text"));
    }
}
