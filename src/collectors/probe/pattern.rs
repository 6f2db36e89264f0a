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

    /// Whether a target is requested as it is written. Others would match one path, and request another: URLs lose line
    /// ends and tabs, and servers and clients resolve dots.
    pub(super) fn is_literal(target: &str) -> bool {
        let path = target.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let path = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
        !target.contains(|c: char| c.is_control())
            && !path.contains('\\')
            && !path.split('/').any(|part| matches!(part, "." | ".."))
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

    #[test]
    fn a_target_that_becomes_another_path_is_not_literal() {
        for target in
            ["http://h/public/a", "http://h/a..b/...", "http://h/?q=/../x", "10.0.0.7", "h:25", "http://h/%2e%2ex"]
        {
            assert!(Pattern::is_literal(target), "{target}");
        }
        for path in
            ["..", ".", "x/../../y", "%2e%2E/y", ".%2e", "..%2fy", "x\\..\\y", ".\n./y", "\t../y", "%5c..%5cy", "../?x"]
        {
            let target = format!("http://h/public/{path}");
            assert!(!Pattern::is_literal(&target), "{target}");
        }
    }
}
