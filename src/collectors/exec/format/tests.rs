//! Formats as settings, points and families.

use super::*;
use crate::collectors::foreign::Retained;
use crate::collectors::foreign::Sources;
use crate::config::Document;
use crate::encode::FamilyWriter;
use crate::encode::parse::line::shown;
use crate::encode::text::{Dialect, TextEncoder};

fn format(settings: &str) -> Result<Format, String> {
    let document = Document::parse("t", settings, &|_| None).unwrap();
    let format = Section::check(&document, |section| {
        section.open();
        Format::new(section, "exec", "json")
    });
    format.map_err(|problems| problems.to_string())
}

fn read(settings: &str, output: &str) -> Content {
    format(settings).unwrap().read(output.as_bytes(), Some(0), &[]).unwrap()
}

fn lines(content: &Content) -> Vec<String> {
    content.points.iter().map(shown).collect()
}

/// The samples of an exposition of the content.
fn series(content: &Content) -> Vec<String> {
    let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
    let mut out = FamilyWriter::new(&mut encoder);
    let retained: Retained = Sources::new("exec", "programs").update(vec![("a".into(), content.families.clone())]);
    if let Some(named) = retained.shared(&out) {
        named.write_others(&mut out);
    }
    let text = String::from_utf8(encoder.finish()).unwrap();
    text.lines().filter(|line| !line.starts_with("# HELP")).map(str::to_owned).collect()
}

#[test]
fn an_invalid_line_costs_itself() {
    let content =
        read("data_format = 'influx'", "a,x=1 v=1i,s=\"t\",b=t\nbroken\nb value=2.5,u=7u 1700000000000000000\n");
    assert_eq!(lines(&content), ["a,x=1 v=1i,s=\"t\",b=true", "b value=2.5f,u=7u 1700000000000000000"]);
    let problems: Vec<String> = content.problems.messages().collect();
    assert_eq!(problems, ["an invalid line is left out: missing fields: \"broken\""]);
    assert_eq!(
        series(&content),
        [
            "# TYPE a_b untyped",
            "a_b{x=\"1\"} 1",
            "# TYPE a_v untyped",
            "a_v{x=\"1\"} 1",
            "# TYPE b untyped",
            "b 2.5",
            "# TYPE b_u untyped",
            "b_u 7"
        ]
    );
}

#[test]
fn names_and_tags_are_telegrafs() {
    let settings = "tag_keys = ['t*']\nname_prefix = 'p_'\nname_suffix = '_s'\n[tags]\ntop = 'no'\nroom = '1'";
    let content = read(settings, "{\"a\":1,\"top\":\"yes\"}");
    assert_eq!(lines(&content), ["p_exec_s,room=1,top=yes a=1f"]);
    let content = read("name_override = 'm'\ndata_format = 'value'", "12");
    assert_eq!(lines(&content), ["m value=12i"]);
    assert_eq!(series(&content), ["# TYPE m untyped", "m 12"]);
}

const PAGE: &str = "# TYPE requests_total counter\nrequests_total{code=\"200\",empty=\"\"} 5\n# TYPE temp gauge\ntemp NaN\n\
    # TYPE g2 gauge\ng2{a=\"b\"} 1.5 1700000000123\n# TYPE lat histogram\nlat_bucket{le=\"0.1\"} 1\nlat_bucket{le=\"+Inf\"} 3\n\
    lat_sum 2.5\nlat_count 3\n# TYPE q summary\nq{quantile=\"0.5\"} 0.25\nq{quantile=\"0.9\"} NaN\nq_sum 1\nq_count 2\nplain 7\n";

#[test]
fn an_exposition_is_points_of_both_versions() {
    let one = read("data_format = 'prometheus'\nprometheus_metric_version = 1", PAGE);
    assert_eq!(
        lines(&one),
        [
            "requests_total,code=200 counter=5f",
            "g2,a=b gauge=1.5f",
            "lat 0.1=1f,+Inf=3f,sum=2.5f,count=3f",
            "q 0.5=0.25f,sum=1f,count=2f",
            "plain value=7f"
        ]
    );
    let two = read("data_format = 'prometheus'", PAGE);
    assert_eq!(
        lines(&two),
        [
            "prometheus,code=200 requests_total=5f",
            "prometheus,a=b g2=1.5f",
            "prometheus,le=0.1 lat_bucket=1f",
            "prometheus,le=+Inf lat_bucket=3f",
            "prometheus lat_sum=2.5f,lat_count=3f",
            "prometheus,quantile=0.5 q=0.25f",
            "prometheus q_sum=1f,q_count=2f",
            "prometheus plain=7f"
        ]
    );
    assert_eq!(series(&two).len(), 18, "{:?}", series(&two));
}

#[test]
fn mistakes_in_settings_are_named() {
    for (settings, error) in [
        ("data_format = 'csv'", "expected influx, json, value, nagios or prometheus, found \"csv\""),
        ("data_type = 'auto_integer'", "found \"auto_integer\" (a field has one type for ever)"),
        ("json_query = 'a.#(b==1)'", "a query #(…) of GJSON is not supported"),
        ("json_time_key = 'at'", "it needs json_time_format"),
        ("json_time_key = 'at'\njson_time_format = 'never'", "expected unix, unix_ms"),
        ("prometheus_metric_version = 3", "expected 1 or 2, found 3"),
    ] {
        let found = format(settings).unwrap_err();
        assert!(found.contains(error), "{found}");
    }
}
