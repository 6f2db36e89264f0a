//! What the pages of the agent and of the gateway share: the style sheet, their policy, files of the binary, units.

mod units;

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};

use super::sha256;

pub use units::{ago, bytes, count, duration, grouped, rate};

/// The Content-Security-Policy of a page: it may load and request files of its own origin, and nothing else. Scripts and
/// styles in attributes or elements do not run.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A file of the binary that a page loads.
#[derive(Debug)]
pub struct Asset {
    /// Its name, relative to the page.
    pub name: &'static str,
    /// Its content type.
    pub content_type: &'static str,
    /// Its content.
    pub text: &'static str,
}

/// The style sheet of all pages.
pub static STYLE: Asset =
    Asset { name: "style.css", content_type: "text/css; charset=utf-8", text: include_str!("style.css") };

impl Asset {
    /// Identifies the content.
    fn digest(&self) -> String {
        sha256(self.text.as_bytes())[..8].iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The content without indentation, and without lines that are comments.
    fn compact(&self) -> String {
        let lines = self.text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        lines.fold(String::with_capacity(self.text.len()), |text, line| text + line + "\n")
    }

    /// The relative URL for a page. It changes with the content, so that browsers never mix versions.
    pub fn url(&self) -> String {
        format!("{}?{}", self.name, self.digest())
    }

    /// The response to a request with this query and these headers. The URL of the current content may be cached
    /// forever; any other is revalidated by its ETag.
    pub fn response(&self, query: Option<&str>, headers: &HeaderMap) -> Response {
        let digest = self.digest();
        let is_current = query == Some(digest.as_str());
        let cache = if is_current { "private, max-age=31536000, immutable" } else { "private, no-cache" };
        let tag = format!("\"{digest}\"");
        let known = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
        let is_known = known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
        let head = [(ETAG, tag.as_str()), (CACHE_CONTROL, cache), (CONTENT_TYPE, self.content_type)];
        match is_known {
            true => (StatusCode::NOT_MODIFIED, head).into_response(),
            false => (head, self.compact()).into_response(),
        }
    }
}

/// The start of a page up to its `<body>`, with the shared style sheet and the page's script, if it has one.
pub fn head(title: &str, script: Option<&Asset>) -> String {
    /// A wave below a rail.
    const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='none' \
                        stroke='%232b7de0' stroke-width='2' stroke-linecap='round'%3E%3Cpath d='M2 4h12M4 4v4m4-4v4m4-4v4M2 12q2-3 \
                        4 0t4 0 4 0'/%3E%3C/svg%3E";
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<link rel=\"icon\" href=\"{ICON}\">\n<link rel=\"stylesheet\" href=\"{}\">\n\
         {}",
        escaped(title),
        STYLE.url(),
        script.map_or_else(String::new, |script| format!("<script src=\"{}\" defer></script>\n", script.url())),
    )
}

/// The text for HTML, also in attributes with quotes.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_file_is_sent_once_and_then_revalidated() {
        let url = STYLE.url();
        let query = url.split_once('?').map(|(_, query)| query);
        let response = |query, known: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(known) = known {
                headers.insert(IF_NONE_MATCH, HeaderValue::from_str(known).unwrap());
            }
            STYLE.response(query, &headers)
        };
        let cache = |response: &Response| response.headers()[CACHE_CONTROL].to_str().unwrap().to_owned();
        let first = response(query, None);
        assert!(first.status() == 200 && cache(&first).contains("immutable"));
        let tag = first.headers()[ETAG].to_str().unwrap();
        for known in [tag.to_owned(), format!("\"x\", W/{tag}")] {
            assert_eq!(response(query, Some(&known)).status(), 304, "{known}");
        }
        let other = response(Some("other"), Some("\"other\""));
        assert!(other.status() == 200 && cache(&other).contains("no-cache"));
    }

    #[test]
    fn a_file_is_sent_without_indentation_and_comments() {
        let file = Asset { name: "a.js", content_type: "text/javascript", text: "// A.\nf(\n  1, // One.\n);\n" };
        assert_eq!(file.compact(), "f(\n1, // One.\n);\n");
    }

    #[test]
    fn names_are_text_wherever_they_stand() {
        assert_eq!(escaped("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
        assert!(head("<x>", None).contains("<title>&lt;x&gt;</title>"));
    }
}
