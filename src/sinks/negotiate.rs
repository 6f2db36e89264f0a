//! Which format a scraper wants: `Accept` and `Accept-Encoding` of RFC 9110, section 12.5.

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Delimited protobuf.
    Protobuf,
}

impl Format {
    /// The answer's content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The format that an `Accept` header likes best; text where it likes none, or there is no header. Of those that it
    /// likes equally, the first that it names.
    pub fn from_accept(accept: &str) -> Format {
        let mut best = (0.0, Format::Text);
        for range in accept.split(',') {
            let (format, quality) = Format::from_range(range);
            if let Some(format) = format.filter(|_| quality > best.0) {
                best = (quality, format);
            }
        }
        best.1
    }

    fn from_range(range: &str) -> (Option<Format>, f32) {
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
            "text/plain" if version_is_among(&["0.0.4"]) => Some(Format::Text),
            "application/openmetrics-text" if version_is_among(&["1.0.0", "0.0.1"]) => Some(Format::OpenMetrics),
            "application/vnd.google.protobuf"
                if parameter("proto").is_none_or(|proto| proto == "io.prometheus.client.MetricFamily")
                    && parameter("encoding") == Some("delimited") =>
            {
                Some(Format::Protobuf)
            }
            _ => None,
        };
        (format, parse_quality(parameter("q")))
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
    fn gzip_is_used_only_where_it_is_accepted() {
        let accepted = ["gzip", "deflate, gzip;q=0.5", "*", "identity, GZIP"];
        let refused = ["", "identity", "gzip;q=0", "*;q=0", "gzip;q=0, *", "br"];
        assert!(accepted.into_iter().all(accepts_gzip));
        assert!(!refused.into_iter().any(accepts_gzip));
    }
}
