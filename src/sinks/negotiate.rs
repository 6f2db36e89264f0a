//! Content negotiation: `Accept` and `Accept-Encoding` of RFC 9110, section 12.5.

use hyper::header::HeaderValue;

use crate::encode::names::Escaping;

/// An exposition format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Delimited protobuf.
    Protobuf,
}

impl Format {
    /// The content type of the response.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The preferred format of an `Accept` header, as [`Wanted::from_accept`].
    pub fn from_accept(accept: &str) -> Format {
        Wanted::from_accept(accept).format
    }
}

/// The format and the escaping that a scraper requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The format.
    pub format: Format,
    /// How names that are invalid in text 0.0.4 are escaped.
    pub escaping: Escaping,
    /// Whether the request names the escaping. Then the content type of the response names it too.
    names_escaping: bool,
    /// Whether the request names text 1.0.0, which is 0.0.4 with quoted names.
    is_text_1: bool,
}

impl From<Format> for Wanted {
    fn from(format: Format) -> Self {
        Wanted { format, ..Wanted::default() }
    }
}

impl Wanted {
    /// The preferred format of an `Accept` header; text if it accepts none, or is empty. Among formats of equal
    /// quality, the first wins.
    pub fn from_accept(accept: &str) -> Wanted {
        Wanted::among(accept, |_| true)
    }

    /// The same among the formats for which `is_available` is true. If it accepts none of them, text with the escaping
    /// of the preferred range.
    pub fn among(accept: &str, is_available: impl Fn(Format) -> bool) -> Wanted {
        let (mut best, mut preferred) = ((0.0, None), (0.0, Wanted::default()));
        for range in accept.split(',') {
            let (Some(wanted), quality) = Wanted::from_range(range) else { continue };
            if quality > preferred.0 {
                preferred = (quality, wanted);
            }
            if quality > best.0 && is_available(wanted.format) {
                best = (quality, Some(wanted));
            }
        }
        let fallback = Wanted { format: Format::Text, ..preferred.1 };
        best.1.unwrap_or(fallback)
    }

    /// The content type of the response.
    pub fn content_type(self) -> HeaderValue {
        let plain = self.format.content_type();
        let mut content_type = if self.is_text_1 { plain.replacen("0.0.4", "1.0.0", 1) } else { plain.to_owned() };
        if self.names_escaping {
            content_type.extend(["; escaping=", self.escaping.name()]);
        }
        HeaderValue::try_from(content_type).unwrap_or(HeaderValue::from_static(plain))
    }

    fn from_range(range: &str) -> (Option<Wanted>, f32) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<(String, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
            .collect();
        let parameter = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let version_is_among = |known: &[&str]| parameter("version").is_none_or(|version| known.contains(&version));
        let format = match media.as_str() {
            "*/*" | "text/*" => Some(Format::Text),
            "text/plain" if version_is_among(&["0.0.4", "1.0.0"]) => Some(Format::Text),
            "application/openmetrics-text" if version_is_among(&["1.0.0", "0.0.1"]) => Some(Format::OpenMetrics),
            "application/vnd.google.protobuf"
                if parameter("proto").is_none_or(|proto| proto == "io.prometheus.client.MetricFamily")
                    && parameter("encoding") == Some("delimited") =>
            {
                Some(Format::Protobuf)
            }
            _ => None,
        };
        // An unknown escaping is ignored, as in client_golang.
        let escaping = parameter("escaping").and_then(Escaping::named);
        let wanted = format.map(|format| Wanted {
            format,
            escaping: escaping.unwrap_or_default(),
            names_escaping: escaping.is_some(),
            is_text_1: format == Format::Text && parameter("version") == Some("1.0.0"),
        });
        (wanted, parse_quality(parameter("q")))
    }
}

/// Whether an `Accept-Encoding` header allows gzip.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let quality_of = |wanted: &str| {
        accept_encoding.split(',').find_map(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next()?;
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            name.eq_ignore_ascii_case(wanted).then(|| parse_quality(quality))
        })
    };
    quality_of("gzip").or_else(|| quality_of("*")).is_some_and(|quality| quality > 0.0)
}

fn parse_quality(quality: Option<&str>) -> f32 {
    quality.map_or(1.0, |quality| quality.parse::<f32>().unwrap_or(0.0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_format_is_chosen() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                          q=0.4,text/plain;version=1.0.0;q=0.35,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let cases = [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("image/png", Format::Text),
            (prometheus, Format::OpenMetrics),
            (&format!("{protobuf};q=0.7,{prometheus}"), Format::Protobuf),
            (&format!("{protobuf};q=0.1,{prometheus}"), Format::OpenMetrics),
            (&format!("{protobuf};q=0,text/plain;q=0.1"), Format::Text),
            ("application/openmetrics-text; version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;version=2.0.0,text/plain;q=0.5", Format::Text),
            ("application/openmetrics-text;q=0.5, text/plain", Format::Text),
            ("application/vnd.google.protobuf;encoding=text", Format::Text),
            ("application/openmetrics-text;q=nonsense", Format::Text),
        ];
        for (accept, format) in cases {
            assert_eq!(Format::from_accept(accept), format, "{accept}");
        }
    }

    #[test]
    fn what_is_not_there_is_passed_over() {
        let without = |accept: &str| Wanted::among(accept, |format| format != Format::OpenMetrics);
        let open_metrics = "application/openmetrics-text;version=1.0.0;escaping=dots";
        let wanted = without(&format!("{open_metrics},text/plain;escaping=allow-utf-8;q=0.2,text/plain;q=0.1"));
        assert_eq!((wanted.format, wanted.escaping), (Format::Text, Escaping::AllowUtf8));
        let wanted = without(open_metrics);
        assert_eq!((wanted.format, wanted.escaping), (Format::Text, Escaping::Dots));
        assert_eq!(without("text/plain;q=0,application/openmetrics-text;q=0"), Wanted::default());
        assert_eq!(without(""), Wanted::default());
    }

    #[test]
    fn names_are_written_as_is_asked_for() {
        // Prometheus 3.
        let ranges = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                      text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let cases = [
            ("", Escaping::Values, "text/plain; version=0.0.4; charset=utf-8"),
            ("*/*;escaping=dots", Escaping::Dots, "text/plain; version=0.0.4; charset=utf-8; escaping=dots"),
            ("text/plain;escaping=none", Escaping::Values, "text/plain; version=0.0.4; charset=utf-8"),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8",
                Escaping::AllowUtf8,
                "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            ),
            (
                ranges,
                Escaping::AllowUtf8,
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            ),
            (
                "application/vnd.google.protobuf;encoding=delimited;escaping=underscores",
                Escaping::Underscores,
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                 escaping=underscores",
            ),
        ];
        for (accept, escaping, content_type) in cases {
            let wanted = Wanted::from_accept(accept);
            assert_eq!(
                (wanted.escaping, wanted.content_type().to_str().unwrap()),
                (escaping, content_type),
                "{accept}"
            );
        }
    }

    #[test]
    fn gzip_is_used_only_where_it_is_accepted() {
        let accepted = ["gzip", "deflate, gzip;q=0.5", "*", "identity, GZIP"];
        let refused = ["", "identity", "gzip;q=0", "*;q=0", "gzip;q=0, *", "br"];
        assert!(accepted.into_iter().all(accepts_gzip));
        assert!(!refused.into_iter().any(accepts_gzip));
    }
}
