//! The index template, without which a server would guess what a field is from its first value.

use serde_json::{Value, json};

/// The version of [`template`]; to be raised with every change of it.
const VERSION: u64 = 1;

/// The template for `data_stream`: tags and strings are keywords, integers longs, floats doubles.
pub(super) fn template(data_stream: &str) -> Value {
    let keyword = json!({"type": "keyword", "ignore_above": 1024});
    json!({
        "index_patterns": [data_stream],
        "data_stream": {},
        // Above those that come with a server for metrics-*-*.
        "priority": 500,
        "version": VERSION,
        "_meta": {"managed_by": "taffrail", "description": "Points of hosts, containers and jobs"},
        "template": {
            "settings": {"index": {"mapping": {"total_fields": {"limit": 10_000}}}},
            "mappings": {
                "date_detection": false,
                "dynamic_templates": [
                    {"strings": {"match_mapping_type": "string", "mapping": keyword}},
                    {"integers": {"match_mapping_type": "long", "mapping": {"type": "long"}}},
                    {"floats": {"match_mapping_type": "double", "mapping": {"type": "double"}}},
                ],
                "properties": {
                    "@timestamp": {"type": "date"},
                    "measurement_name": keyword,
                    "host": {"properties": {"name": keyword}},
                    "container": {"properties": {
                        "id": keyword, "name": keyword, "image": {"properties": {"name": keyword}},
                    }},
                },
            },
        },
    })
}

/// Whether the template of that name which a server has is to be replaced: an older one of ours, and nobody else's.
pub(super) fn is_to_be_replaced(answer: &str) -> bool {
    let known: Value = serde_json::from_str(answer).unwrap_or_default();
    let template = &known["index_templates"][0]["index_template"];
    template["_meta"]["managed_by"] == "taffrail" && template["version"].as_u64().unwrap_or(0) < VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_one_of_ours_is_replaced() {
        let answer = |by: &str, version: u64| {
            json!({"index_templates": [{"name": "x", "index_template": {"version": version, "_meta": {"managed_by": by}}}]})
                .to_string()
        };
        assert!(is_to_be_replaced(&answer("taffrail", VERSION - 1)));
        assert!(!is_to_be_replaced(&answer("taffrail", VERSION)));
        assert!(!is_to_be_replaced(&answer("us", 0)));
        assert!(!is_to_be_replaced("what?"));
    }
}
