//! The index template. Without it, a server guesses the type of a field from its first value.

use serde_json::{Value, json};

/// The version of [`template`]; raise it with every change.
const VERSION: u64 = 1;

/// The template for `data_stream`: tags and strings are keywords, integers longs, floats doubles.
pub(super) fn template(data_stream: &str) -> Value {
    let keyword = json!({"type": "keyword", "ignore_above": 1024});
    json!({
        "index_patterns": [data_stream],
        "data_stream": {},
        // Above the server's own template for metrics-*-*.
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

/// Whether to replace the server's template of that name: only if it is an older one of Taffrail's.
pub(super) fn is_outdated(response: &str) -> bool {
    let known: Value = serde_json::from_str(response).unwrap_or_default();
    let template = &known["index_templates"][0]["index_template"];
    template["_meta"]["managed_by"] == "taffrail" && template["version"].as_u64().unwrap_or(0) < VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_one_of_ours_is_replaced() {
        let response = |by: &str, version: u64| {
            json!({"index_templates": [{"name": "x", "index_template": {"version": version, "_meta": {"managed_by": by}}}]})
                .to_string()
        };
        assert!(is_outdated(&response("taffrail", VERSION - 1)));
        assert!(!is_outdated(&response("taffrail", VERSION)));
        assert!(!is_outdated(&response("us", 0)));
        assert!(!is_outdated("what?"));
    }
}
