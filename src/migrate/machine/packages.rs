//! Installed packages of the machine: of dpkg, apk and pacman by their databases, of RPM by its program.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::units::entries;

/// Whether programs with names such as `prometheus-node-exporter` are Debian's, with other defaults than upstream's. Fedora's
/// have these names too.
pub fn has_debian_programs(root: &Path) -> bool {
    root.join("etc/debian_version").exists() || !is_of_rpm(root)
}

/// The names and versions of installed packages that are among `names`.
pub(super) fn installed(root: &Path, names: &[&str]) -> Vec<(String, String)> {
    let mut packages = of_dpkg(root);
    packages.extend(of_apk(root));
    packages.extend(of_pacman(root));
    packages.extend(of_rpm(root, names));
    packages.retain(|(name, _)| names.contains(&name.as_str()));
    packages
}

fn of_dpkg(root: &Path) -> Vec<(String, String)> {
    let status = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap_or_default();
    let package = |paragraph: &str| {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        field("Status")?.ends_with(" installed").then_some(())?;
        Some((field("Package")?.to_owned(), field("Version")?.to_owned()))
    };
    status.split("\n\n").filter_map(package).collect()
}

fn of_apk(root: &Path) -> Vec<(String, String)> {
    let installed = fs::read_to_string(root.join("lib/apk/db/installed"))
        .or_else(|_| fs::read_to_string(root.join("usr/lib/apk/db/installed")))
        .unwrap_or_default();
    let package = |paragraph: &str| {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name));
        Some((field("P:")?.to_owned(), field("V:")?.to_owned()))
    };
    installed.split("\n\n").filter_map(package).collect()
}

/// A package has a folder `NAME-VERSION-RELEASE`.
fn of_pacman(root: &Path) -> Vec<(String, String)> {
    let package = |name: &str| {
        let (rest, release) = name.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        Some((name.to_owned(), format!("{version}-{release}")))
    };
    let folders = entries(&root.join("var/lib/pacman/local"));
    folders.iter().filter_map(|folder| package(folder.file_name()?.to_str()?)).collect()
}

/// The database has no text, so `rpm` reads it.
fn of_rpm(root: &Path, names: &[&str]) -> Vec<(String, String)> {
    if !is_of_rpm(root) {
        return Vec::new();
    }
    let Ok(root) = root.canonicalize() else { return Vec::new() };
    let format = "%{NAME} %{VERSION}-%{RELEASE}\n";
    let output = Command::new("rpm").arg("--root").arg(root).args(["-q", "--qf", format]).args(names).output();
    let printed = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    // Of a package that is not installed, it prints a sentence.
    let words = printed.lines().filter_map(|line| line.split_once(' '));
    words.filter(|(_, version)| !version.contains(' ')).map(|(name, version)| (name.into(), version.into())).collect()
}

fn is_of_rpm(root: &Path) -> bool {
    ["var/lib/rpm", "usr/lib/sysimage/rpm"].iter().any(|folder| !entries(&root.join(folder)).is_empty())
}
