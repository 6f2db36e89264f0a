//! Patterns of targets that `GET /probe` may name.

use regex::Regex;

/// A target with `*`.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// The pattern that `text` is; none if it has no `*`.
    pub(super) fn new(text: &str) -> Option<Pattern> {
        /// What `*` matches in a host and a port: nothing that ends them, so that no other host can be requested.
        const IN_HOST: &str = r"[0-9A-Za-z._-]*";
        if !text.contains('*') {
            return None;
        }
        if text == "*" {
            return Regex::new(".").ok().map(Pattern);
        }
        let start = text.find("://").map_or(0, |at| at + "://".len());
        let end = text[start..].find(['/', '?', '#', '\\']).map_or(text.len(), |at| start + at);
        let (host, rest) = text.split_at(end);
        let part = |text: &str, any: &str| text.split('*').map(regex::escape).collect::<Vec<_>>().join(any);
        Regex::new(&format!("(?s)^{}{}$", part(host, IN_HOST), part(rest, ".*"))).ok().map(Pattern)
    }

    /// Whether it matches the whole target.
    pub(super) fn matches(&self, target: &str) -> bool {
        self.0.is_match(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_matches_within_the_host_or_the_rest() {
        for (pattern, target, expected) in [
            ("https://*.example.org/*", "https://a.b.example.org/x/y?z", true),
            ("https://*.example.org/*", "https://evil.example/.example.org/", false),
            ("https://*.example.org/*", "https://evil.example?.example.org/", false),
            ("https://*.example.org/*", "https://evil.example\\.example.org/", false),
            ("https://*.example.org/*", "https://u:p@evil.example.org/", false),
            ("https://*.example.org/*", "https://evil.example:1#.example.org/", false),
            ("https://*.example.org/*", "https://a.example.org", false),
            ("https://*.example.org/*", "http://a.example.org/", false),
            ("example.org/*", "example.org/\n", true),
            ("example.org/*", "example.org.evil.example/", false),
            ("*.example.org:25", "a.example.org:25", true),
            ("*.example.org:25", "axexample.org:25", false),
            ("10.0.0.*", "10.0.0.7", true),
            ("10.0.0.*", "10.0.0.7/x", false),
            ("*", "https://anything", true),
            ("*", "", false),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(target), expected, "{pattern} {target}");
        }
        assert!(Pattern::new("https://example.org/").is_none());
    }
}
