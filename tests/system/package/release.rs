//! packaging/release: the files of a release, and that a second run makes the same.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::{is_of_what_is_shipped, packing, root, run};

/// Makes the release of the last commit. Returns its folder and the digests of its files.
fn release() -> (PathBuf, String) {
    let mut release = packing("packaging/release", "cargo-generate-rpm", "0.21.0");
    // The other tool.
    packing("packaging/release", "cargo-deb", "3.8.0");
    release.args(["--head", "--only", "x86_64-unknown-linux-gnu"]);
    if is_of_what_is_shipped() {
        release.env("NO_BUILD", "1");
    } else {
        release.args(["--profile", "dev", "--fast"]);
    }
    let printed = run(&mut release);
    let folder = Path::new(printed.lines().next().unwrap()).parent().unwrap().to_owned();
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    (folder, sums)
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[ignore = "needs Debian's packages rpm and systemd-container: tests/run"]
fn with_systemd_container_a_release_is_whole_and_the_same_twice() {
    let (folder, sums) = release();
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let names: Vec<&str> = sums.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    let expected = [
        "changes.md".to_owned(),
        format!("taffrail-{VERSION}-1.x86_64.rpm"),
        format!("taffrail-{VERSION}-image-amd64.tar"),
        format!("taffrail-{VERSION}-x86_64-unknown-linux-gnu.tar.gz"),
        format!("taffrail-chart-{VERSION}.tgz"),
        format!("taffrail-node-exporter_{VERSION}-1_all.deb"),
        format!("taffrail-pushgateway_{VERSION}-1_all.deb"),
        format!("taffrail_{VERSION}-1_amd64.deb"),
    ];
    assert_eq!(names, expected);
    for (sum, name) in sums.lines().zip(&names) {
        assert!(sum.starts_with(&hex(&std::fs::read(folder.join(name)).unwrap())), "{name}");
    }
    is_an_image(&folder.join(&expected[2]), &format!("taffrail:{VERSION}"));
    runs(&folder.join(&expected[3]), VERSION);
    is_the_chart(&folder.join(&expected[4]));
    assert_eq!(release().1, sums);
}

/// The tarball has the program, which has its version.
fn runs(tarball: &Path, version: &str) {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("-xzf").arg(tarball).arg("-C").arg(folder.path()));
    let tree = folder.path().join(format!("taffrail-{version}-x86_64-unknown-linux-gnu"));
    assert_eq!(run(Command::new(tree.join("taffrail")).arg("--version")), format!("taffrail {version}\n"));
    for file in ["README.md", "LICENSE-MIT", "man/taffrail.1", "systemd/taffrail.service", "taffrail.toml"] {
        assert!(tree.join(file).exists(), "{file}");
    }
}

/// The chart has the files of the last commit, and no links.
fn is_the_chart(archive: &Path) {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()));
    let chart = folder.path().join("taffrail");
    assert_eq!(run(Command::new("find").arg(&chart).args(["-type", "l"])), "");
    for (file, original) in [
        ("Chart.yaml", "deploy/helm/taffrail/Chart.yaml"),
        ("templates/_helpers.tpl", "deploy/helm/taffrail/templates/_helpers.tpl"),
        ("files/dashboards/hosts.json", "deploy/grafana/prometheus/hosts.json"),
        ("files/rules/hosts.yaml", "deploy/prometheus/rules/hosts.yaml"),
    ] {
        let committed = run(Command::new("git").args(["show", &format!("HEAD:{original}")]).current_dir(root()));
        assert_eq!(std::fs::read_to_string(chart.join(file)).unwrap(), committed, "{file}");
    }
}

/// The archive is an OCI image, version 1.0: from its index to the files of its layer, each blob has its digest. It runs as
/// the Dockerfile says.
fn is_an_image(archive: &Path, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder.path()));
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = std::fs::read(folder.path().join("blobs/sha256").join(digest)).unwrap();
        assert_eq!((hex(&bytes), bytes.len()), (digest.to_owned(), descriptor["size"].as_u64().unwrap() as usize));
        bytes
    };
    let index = json(&std::fs::read(folder.path().join("index.json")).unwrap());
    let descriptor = &index["manifests"][0];
    assert_eq!(descriptor["annotations"]["io.containerd.image.name"], format!("docker.io/library/{name}"));
    let manifest = json(&blob(descriptor));
    // What Docker reads.
    let path = |descriptor: &Value| format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"));
    let docker = json(&std::fs::read(folder.path().join("manifest.json")).unwrap());
    let layers = [path(&manifest["layers"][0])];
    assert_eq!(
        docker,
        serde_json::json!([{"Config": path(&manifest["config"]), "RepoTags": [name], "Layers": layers}])
    );
    let config = json(&blob(&manifest["config"]));
    let expected = serde_json::json!({
        "User": "65534:65534",
        "ExposedPorts": {"9100/tcp": {}, "9091/tcp": {}},
        "Entrypoint": ["/usr/bin/taffrail"],
        "Cmd": ["run", "--config", "/etc/taffrail"],
        "Healthcheck": {
            "Test": ["CMD", "/usr/bin/taffrail", "health"],
            "Interval": 30_000_000_000_u64,
            "Timeout": 6_000_000_000_u64
        },
    });
    let set: BTreeMap<&str, &Value> =
        expected.as_object().unwrap().keys().map(|key| (key.as_str(), &config["config"][key])).collect();
    assert_eq!(serde_json::to_value(set).unwrap(), expected);
    let mut layer = Vec::new();
    GzDecoder::new(&*blob(&manifest["layers"][0])).read_to_end(&mut layer).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&layer)));
    let tar = folder.path().join("layer");
    std::fs::write(&tar, layer).unwrap();
    let listed = run(Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&tar));
    let owner = |path: &str| listed.lines().find(|line| line.ends_with(&format!(" .{path}"))).unwrap().to_owned();
    assert!(owner("/usr/bin/taffrail").starts_with("-rwxr-xr-x 0/0 "), "{listed}");
    assert!(owner("/var/lib/taffrail/").contains(" 65534/65534 "), "{listed}");
    assert!(owner("/etc/ssl/certs/ca-certificates.crt").contains(" 0/0 "));
}
