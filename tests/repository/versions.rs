//! One version everywhere: crate, packages, image, chart and manifests.

use std::path::Path;

use regex::Regex;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The text files of a folder and those below it.
fn files_below(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            found.push((path.display().to_string(), text));
        }
    }
}

#[test]
fn crate_packages_image_and_chart_have_one_version() {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    assert!(read("packaging/deb/changelog").starts_with(&format!("taffrail ({VERSION}-1) ")));
    let chart = read("deploy/helm/taffrail/Chart.yaml");
    for line in [format!("version: {VERSION}"), format!("appVersion: {VERSION}")] {
        assert!(chart.lines().any(|of_chart| of_chart == line), "{line}: {chart}");
    }
    // Tags of the image, names of packages and tarballs.
    let named = Regex::new(r"(?:\btaffrail(?:-node-exporter|-pushgateway)?[:_-]|newTag: )(\d+\.\d+\.\d+)").unwrap();
    let mut files = vec![("README.md".to_owned(), read("README.md"))];
    for folder in ["deploy", "docs", "packaging"] {
        files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    let mut found = 0;
    for (file, text) in files {
        for version in named.captures_iter(&text) {
            assert_eq!(&version[1], VERSION, "{file}: {}", &version[0]);
            found += 1;
        }
    }
    assert!(found >= 10, "{found}");
}

#[test]
fn the_packages_name_one_maintainer() {
    let cargo = read("Cargo.toml");
    let maintainer = Regex::new(r#"(?m)^maintainer = "(.*)"$"#).unwrap().captures(&cargo).unwrap()[1].to_owned();
    assert!(read("packaging/deb/changelog").contains(&format!(" -- {maintainer}  ")), "{maintainer}");
    assert!(!maintainer.contains(".example"), "{maintainer}");
}
