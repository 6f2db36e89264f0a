//! The modules whose level can be set are those that log.

use std::path::Path;

#[test]
fn every_module_that_logs_is_known() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut logging = Vec::new();
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if logs(&path) {
            logging.push(module);
        }
    }
    // Their lines belong to the process as a whole.
    let process = ["descriptors", "drop_in", "log", "main"];
    logging.retain(|module| !process.contains(&module.as_str()));
    logging.sort();
    logging.dedup();
    assert_eq!(logging, taffrail::log::settings::MODULES);
}

fn logs(path: &Path) -> bool {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().any(|entry| logs(&entry.unwrap().path()));
    }
    let text = std::fs::read_to_string(path).unwrap();
    ["error", "warn", "info", "debug"].iter().any(|level| text.contains(&format!("tracing::{level}!(")))
}
