//! The Debian package: built, checked by lintian, and used as an administrator uses it, in a Debian that boots.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Runs a program to its end, and gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of these tests, kept from one run to the next.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A path with what packages are built with, fetched once.
fn path_with(tool: &str, version: &str) -> String {
    let tools = folder().join("tools");
    if !tools.join("bin").join(tool).exists() {
        let mut cargo = Command::new("cargo");
        run(cargo.args(["install", "--quiet", "--locked", tool, "--version", version, "--root"]).arg(&tools));
    }
    format!("{}:{}", tools.join("bin").display(), std::env::var("PATH").unwrap())
}

/// The package, and another that is newer.
fn packages() -> (PathBuf, PathBuf) {
    let path = path_with("cargo-deb", "3.8.0");
    let copied = |name: &str, built: &str| {
        let package = folder().join(name);
        std::fs::copy(built.lines().last().unwrap().trim(), &package).unwrap();
        package
    };
    let built = run(Command::new("packaging/deb/build").current_dir(root()).env("PATH", &path));
    let older = copied("older.deb", &built);
    let mut newer = Command::new("cargo");
    newer.args(["deb", "--locked", "--no-build", "--deb-version", "0.1.1-1"]);
    let newer = copied("newer.deb", &run(newer.current_dir(root()).env("PATH", &path)));
    (older, newer)
}

/// A repository of these packages, signed by a key that is made for it.
fn repository(packages: &[&PathBuf]) -> PathBuf {
    let repository = folder().join("repository");
    let _ = std::fs::remove_dir_all(&repository);
    let keys = tempfile::tempdir().unwrap();
    const KEY: &str = "Taffrail's tests <tests@example.org>";
    let mut gpg = Command::new("gpg");
    gpg.args(["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", KEY, "ed25519", "sign", "1d"]);
    run(gpg.env("GNUPGHOME", keys.path()));
    let mut make = Command::new(root().join("packaging/deb/repo"));
    let told = run(make.arg(&repository).arg(KEY).args(packages).env("GNUPGHOME", keys.path()));
    assert!(told.contains("has 2 packages"), "{told}");
    // gpg leaves an agent behind, which ends with its folder.
    run(Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", keys.path()));
    repository
}

#[test]
#[ignore = "needs Debian's packages systemd-container, debootstrap and lintian: tests/run"]
fn with_systemd_container_the_package_is_installed_edited_upgraded_and_purged() {
    run(Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(&PACKAGES[0]));
    play_scene("nspawn", None);
}

#[test]
#[ignore = "needs Debian's packages qemu-system-x86 and systemd-container: tests/run"]
fn with_qemu_system_x86_the_package_is_installed_edited_upgraded_and_purged() {
    play_scene("qemu", None);
}

#[test]
#[ignore = "takes more than five minutes: TAFFRAIL_TESTS=all tests/run"]
fn with_systemd_container_in_full_other_releases_of_debian_and_ubuntu_do_the_same() {
    for release in ["trixie", "jammy", "noble"] {
        play_scene("nspawn", Some(release));
    }
}

/// The package, a newer one, and a repository of both.
static PACKAGES: LazyLock<[PathBuf; 3]> = LazyLock::new(|| {
    let (older, newer) = packages();
    let repository = repository(&[&older, &newer]);
    [older, newer, repository]
});

/// Boots a Debian in this way, or another release, where an administrator does what there is to do with the packages.
fn play_scene(way: &str, release: Option<&str>) {
    let booted = folder().join(release.unwrap_or(way));
    run(Command::new(root().join("tests/deb/boot")).arg(way).arg(&booted).args(&*PACKAGES).args(release));
    let left = |name: &str| std::fs::read_to_string(booted.join("result").join(name)).unwrap();
    let result = left("result");
    let failed: Vec<&str> = result.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(failed.is_empty(), "{}: {failed:#?}\n{}", release.unwrap_or(way), left("journal"));
    let scene = std::fs::read_to_string(root().join("tests/deb/scene")).unwrap();
    // One of them only with a kernel of the guest's own.
    let is_step = |line: &&str| line.starts_with("step \"") || (way == "qemu" && line.contains("|| step \""));
    assert_eq!(result.lines().count(), scene.lines().filter(is_step).count());
}

#[test]
#[ignore = "needs Debian's packages systemd-container, debootstrap and lintian: tests/run"]
fn with_systemd_container_the_units_are_exposed_little() {
    for (unit, most) in [("taffrail", 2.0), ("taffrail-gateway", 1.5)] {
        let file = root().join("packaging/systemd").join(format!("{unit}.service"));
        let told = run(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(file));
        let level = told.split("exposure level for").nth(1).unwrap().split_whitespace().nth(1).unwrap();
        assert!(level.parse::<f64>().unwrap() <= most, "{unit}: {level}");
    }
}

/// The files of a package, with their modes, as `rpm` and `dpkg-deb` list them.
fn files(listed: &str, mode: usize, path: usize) -> BTreeSet<(String, String)> {
    let of = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[mode].to_owned(), format!("/{}", fields[path].trim_start_matches("./").trim_start_matches('/')))
    };
    listed.lines().filter(|line| line.starts_with('-')).map(of).collect()
}

#[test]
#[ignore = "needs Debian's packages rpm and systemd-container: tests/run"]
fn with_systemd_container_the_rpm_has_the_same_files_as_the_deb() {
    let deb = run(Command::new("dpkg-deb").arg("-c").arg(&PACKAGES[0]));
    let path = path_with("cargo-generate-rpm", "0.21.0");
    let built = run(Command::new("packaging/rpm/build").current_dir(root()).env("PATH", &path));
    let rpm = root().join(built.lines().last().unwrap());
    let query = |options: &[&str]| run(Command::new("rpm").args(["-qp", "--nosignature"]).args(options).arg(&rpm));
    // At the places that each kind of system has for them.
    let only_debs = [
        "/usr/share/doc/taffrail/copyright",
        "/usr/share/doc/taffrail/changelog.Debian.gz",
        "/usr/share/lintian/overrides/taffrail",
    ];
    let only_rpms = ["/usr/share/licenses/taffrail/LICENSE-APACHE", "/usr/share/licenses/taffrail/LICENSE-MIT"];
    let mut ours = files(&deb, 0, 5);
    ours.retain(|(_, path)| !only_debs.contains(&path.as_str()));
    let ours: BTreeSet<(String, String)> = ours
        .into_iter()
        .map(|(mode, path)| {
            (mode, path.replace("zsh/vendor-completions", "zsh/site-functions").trim_end_matches(".gz").to_owned())
        })
        .collect();
    let mut theirs = files(&query(&["-lv"]), 0, 8);
    theirs.retain(|(_, path)| !only_rpms.contains(&path.as_str()));
    assert_eq!(ours, theirs);
    assert_eq!(query(&["--configfiles"]), "/etc/taffrail/conf.d/README\n/etc/taffrail/taffrail.toml\n");
    assert!(query(&["--requires"]).contains("libc.so.6(GLIBC_2.34)(64bit)"));
    let scripts = query(&["--scripts"]);
    for (script, says) in [("post", "systemd-sysusers"), ("preun", "disable --now"), ("postun", "try-restart")] {
        let file = std::fs::read_to_string(root().join("packaging/rpm/scripts").join(script)).unwrap();
        assert!(file.contains(says) && scripts.contains(file.trim_end()), "{script}: {scripts}");
        run(Command::new("sh").arg("-n").arg(root().join("packaging/rpm/scripts").join(script)));
    }
}
