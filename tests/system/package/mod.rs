//! The Debian package: built, checked by lintian, and used as an administrator uses it, in a Debian that boots.

mod release;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

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

/// A command with a path where it finds what packages are built with, built once. It packs the program that is there for
/// the tests, or what is shipped if all tests are asked for.
fn packing(program: &str, tool: &str, version: &str) -> Command {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _alone = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let tools = folder().join("tools");
    if !tools.join("bin").join(tool).exists() {
        let mut cargo = Command::new("cargo");
        // Quick to build, and quick enough.
        cargo.args(["install", "--quiet", "--locked", "--debug", "--config", "profile.dev.opt-level=1"]);
        cargo.args([tool, "--version", version, "--target-dir"]).arg(folder().join("build"));
        run(cargo.arg("--root").arg(&tools));
    }
    let mut command = Command::new(program);
    command.env("PATH", format!("{}:{}", tools.join("bin").display(), std::env::var("PATH").unwrap()));
    if !is_of_what_is_shipped() {
        command.env("PROFILE", "dev").env("NO_BUILD", "1");
    }
    command.current_dir(root());
    command
}

fn is_of_what_is_shipped() -> bool {
    std::env::var("TAFFRAIL_TESTS").is_ok_and(|tests| tests == "all")
}

/// The package, and another that is newer.
fn packages() -> (PathBuf, PathBuf) {
    // cargo-deb removes what other tests build meanwhile from its own folder.
    let (older, newer) = (folder().join("older.deb"), folder().join("newer.deb"));
    let packed = |program: &str, arguments: &[&str], package: &Path| {
        let quickly: &[&str] = if is_of_what_is_shipped() { &[] } else { &["--fast", "--strip"] };
        let mut command = packing(program, "cargo-deb", "3.8.0");
        run(command.args(arguments).args(quickly).arg("--output").arg(package));
    };
    packed("packaging/deb/build", &[], &older);
    let profile = if is_of_what_is_shipped() { "dist" } else { "dev" };
    packed("cargo", &["deb", "--locked", "--profile", profile, "--no-build", "--deb-version", "0.1.1-1"], &newer);
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
    let reported = run(make.arg(&repository).arg(KEY).args(packages).env("GNUPGHOME", keys.path()));
    assert!(reported.contains("has 2 packages"), "{reported}");
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
    let booted = folder().with_file_name(format!("package-{}", release.unwrap_or(way)));
    run(Command::new(root().join("tests/system/package/boot")).arg(way).arg(&booted).args(&*PACKAGES).args(release));
    let result = result_of(&booted, release.unwrap_or(way));
    let scene = std::fs::read_to_string(root().join("tests/system/package/scene")).unwrap();
    // One of them only with a kernel of the guest's own.
    let is_step = |line: &&str| line.starts_with("step \"") || (way == "qemu" && line.contains("|| step \""));
    assert_eq!(result.lines().count(), scene.lines().filter(is_step).count());
}

/// The steps of a scene that was played in this folder, all of which succeeded.
fn result_of(booted: &Path, way: &str) -> String {
    let left = |name: &str| std::fs::read_to_string(booted.join("result").join(name)).unwrap();
    let result = left("result");
    let failed: Vec<&str> = result.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(failed.is_empty(), "{way}: {failed:#?}\n{}", left("journal"));
    result
}

/// Plays a scene in a Debian that boots in this folder, with these files and Debian's packages. Returns its steps.
fn play_in_a_container(booted: &Path, scene: &str, packages: &str, files: &[&Path]) -> String {
    let mut boot = Command::new(root().join("tests/system/package/boot_container"));
    run(boot.arg(booted).args([scene, packages]).args(files));
    result_of(booted, scene)
}

#[test]
#[ignore = "needs Debian's packages systemd-container, debootstrap and lintian: tests/run"]
fn with_systemd_container_the_drop_in_packages_keep_the_flags_of_debians() {
    let built = run(&mut Command::new(root().join("packaging/deb/drop-ins/build")));
    let drop_ins: Vec<PathBuf> = built.lines().map(|line| root().join(line)).collect();
    assert_eq!(drop_ins.len(), 2, "{built}");
    run(Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).args(&drop_ins));
    let booted = folder().with_file_name("package-drop-ins");
    // The scene installs taffrail*.deb.
    let taffrail = folder().join("taffrail.deb");
    std::fs::copy(&PACKAGES[0], &taffrail).unwrap();
    let files: Vec<&Path> = std::iter::once(&taffrail).chain(&drop_ins).map(PathBuf::as_path).collect();
    let packages = "prometheus-node-exporter prometheus-pushgateway";
    let result = play_in_a_container(&booted, "scene_drop_ins", packages, &files);
    // Steps of a loop are indented; each loop is over both packages.
    let scene = std::fs::read_to_string(root().join("tests/system/package/scene_drop_ins")).unwrap();
    let steps = |start: &str| scene.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(result.lines().count(), steps("step \"") + 2 * steps("    step \""), "{result}");
}

#[test]
#[ignore = "needs Debian's packages systemd-container, debootstrap and lintian: tests/run"]
fn with_systemd_container_the_units_are_exposed_little() {
    let units = [
        ("systemd/taffrail", 2.0),
        ("systemd/taffrail-gateway", 1.5),
        // What drop-ins for Debian's units may need is allowed.
        ("deb/drop-ins/prometheus-node-exporter", 5.2),
        ("deb/drop-ins/prometheus-pushgateway", 4.0),
    ];
    for (unit, most) in units {
        let file = root().join("packaging").join(format!("{unit}.service"));
        let reported =
            run(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(file));
        let level = reported.split("exposure level for").nth(1).unwrap().split_whitespace().nth(1).unwrap();
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

/// Builds the RPM with further options of cargo-generate-rpm. Returns what was printed.
fn build_rpm(options: &[&str]) -> String {
    let mut build = packing("packaging/rpm/build", "cargo-generate-rpm", "0.21.0");
    if !is_of_what_is_shipped() {
        build.args(["--payload-compress", "none"]);
    }
    run(build.args(options))
}

static RPM: LazyLock<PathBuf> = LazyLock::new(|| root().join(build_rpm(&[]).lines().last().unwrap()));

#[test]
#[ignore = "needs Debian's packages rpm and systemd-container: tests/run"]
fn with_systemd_container_the_rpm_is_installed_upgraded_and_removed() {
    let [taffrail, newer] = ["taffrail.rpm", "newer.rpm"].map(|name| folder().join(name));
    std::fs::copy(&*RPM, &taffrail).unwrap();
    build_rpm(&["--set-metadata", "version = \"0.1.1\"", "--output", newer.to_str().unwrap()]);
    let booted = folder().with_file_name("package-rpm");
    let result = play_in_a_container(&booted, "scene_rpm", "rpm", &[&taffrail, &newer]);
    let scene = std::fs::read_to_string(root().join("tests/system/package/scene_rpm")).unwrap();
    assert_eq!(result.lines().count(), scene.lines().filter(|line| line.starts_with("step \"")).count(), "{result}");
}

#[test]
#[ignore = "needs Debian's packages rpm and systemd-container: tests/run"]
fn with_systemd_container_the_rpm_has_the_same_files_as_the_deb() {
    let deb = run(Command::new("dpkg-deb").arg("-c").arg(&PACKAGES[0]));
    let query = |options: &[&str]| run(Command::new("rpm").args(["-qp", "--nosignature"]).args(options).arg(&*RPM));
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

/// Scripts of an RPM package, on a folder in place of the system's root.
fn script(rpm: &Path, tag: &str, root: &Path) -> String {
    let script = run(Command::new("rpm").args(["-qp", "--nosignature", "--qf", &format!("%{{{tag}}}")]).arg(rpm));
    let root = root.to_str().unwrap();
    // `$file` after a folder of the package's own is below the root already.
    script
        .replace(" /etc/", &format!(" {root}/etc/"))
        .replace(">/etc/", &format!(">{root}/etc/"))
        .replace("/var/lib/rpm-state", &format!("{root}/state"))
}

#[test]
#[ignore = "needs Debian's packages rpm and systemd-container: tests/run"]
fn with_systemd_container_the_drop_in_rpms_replace_the_distributions_packages() {
    let built = run(&mut Command::new(root().join("packaging/rpm/drop-ins/build")));
    let rpms: Vec<PathBuf> = built.lines().map(|line| root().join(line)).collect();
    let of = |program: &str, packages: [&str; 3], files: [&str; 3], command: &str| {
        let rpm = rpms.iter().find(|rpm| rpm.to_str().unwrap().contains(&format!("taffrail-{program}-"))).unwrap();
        let query = |options: &[&str]| run(Command::new("rpm").args(["-qp", "--nosignature"]).args(options).arg(rpm));
        let conflicts = query(&["--conflicts"]);
        for package in packages {
            assert!(conflicts.lines().any(|line| line == package), "{package} in {conflicts}");
        }
        assert!(query(&["--requires"]).contains("taffrail = "));
        let listed = query(&["-lv"]);
        let unit = format!("/usr/lib/systemd/system/prometheus-{program}.service");
        for file in [format!("prometheus-{program} -> taffrail"), unit.clone()] {
            assert!(listed.contains(&file), "{file} in {listed}");
        }
        let folder = tempfile::tempdir().unwrap();
        let extract = format!("rpm2archive - <{} | tar xz", rpm.display());
        run(Command::new("sh").args(["-c", &extract]).current_dir(&folder));
        let unit = std::fs::read_to_string(folder.path().join(&unit[1..])).unwrap();
        assert!(unit.contains(&format!("\nExecStart={command}\n")) && !unit.contains("ExecStartPre"), "{unit}");
        for file in files {
            assert!(unit.contains(&format!("\nEnvironmentFile=-{file}\n")), "{file} in {unit}");
        }
        // The other package's removal deletes the flags in the same transaction.
        let flags = folder.path().join(&files[0][1..]);
        std::fs::create_dir_all(flags.parent().unwrap()).unwrap();
        std::fs::write(&flags, "ARGS=--collector.wifi\n").unwrap();
        let play = |tag: &str| run(Command::new("sh").args(["-ec", &script(rpm, tag, folder.path()), "sh", "1"]));
        play("PREIN");
        std::fs::remove_file(&flags).unwrap();
        play("POSTTRANS");
        assert_eq!(std::fs::read_to_string(&flags).unwrap(), "ARGS=--collector.wifi\n");
        for tag in ["POSTIN", "PREUN", "POSTUN"] {
            run(Command::new("sh").args(["-nc", &script(rpm, tag, folder.path())]));
        }
    };
    of(
        "node-exporter",
        ["golang-github-prometheus-node-exporter", "golang-github-prometheus-node_exporter", "node_exporter"],
        [
            "/etc/sysconfig/node_exporter",
            "/etc/sysconfig/prometheus-node_exporter",
            "/etc/default/prometheus-node-exporter",
        ],
        "/usr/bin/node_exporter $ARGS $OPTIONS $NODE_EXPORTER_OPTS",
    );
    of(
        "pushgateway",
        ["golang-github-prometheus-pushgateway", "pushgateway", "prometheus-pushgateway"],
        ["/etc/sysconfig/pushgateway", "/etc/default/pushgateway", "/etc/default/prometheus-pushgateway"],
        "/usr/bin/pushgateway $ARGS $OPTIONS $PUSHGATEWAY_OPTS",
    );
}
