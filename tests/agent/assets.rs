//! Man pages and completions, in the programs that read them.

use std::path::Path;
use std::process::Command;

fn assets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    let status = command.arg("assets").arg(folder.path()).env("SOURCE_DATE_EPOCH", "1767225600").status().unwrap();
    assert!(status.success());
    folder
}

/// What a program prints; `None` if it is not installed.
fn output(program: &str, arguments: &[&str], folder: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().ok()?;
    assert!(output.stderr.is_empty(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The completions of the last word of a command line, as bash finds them.
fn completions_of_bash(line: &str, folder: &Path) -> Vec<String> {
    let script = r#"
        source taffrail.bash
        read -ra COMP_WORDS <<<"$1"
        [[ $1 != *' ' ]] || COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _taffrail taffrail "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let found = output("bash", &["--norc", "-c", script, "bash", line], folder).unwrap();
    found.lines().map(str::to_owned).collect()
}

#[test]
fn completions_know_commands_collectors_levels_and_files() {
    let assets = assets();
    let completed = |line: &str| completions_of_bash(line, assets.path());
    assert_eq!(completed("taffrail pus"), ["push"]);
    assert_eq!(completed("taffrail as"), [""]);
    assert_eq!(completed("taffrail migrate --ro"), [""]);
    assert_eq!(completed("taffrail config --section h"), ["http", "http.tls", "http.users", "host"]);
    assert_eq!(completed("taffrail print --collector lo"), ["loadavg", "logind"]);
    assert!(completed("taffrail print --collector ").contains(&"cpu".to_owned()));
    assert_eq!(completed("taffrail run --log-level "), ["error", "warn", "info", "debug"]);
    for command in ["run", "check", "print", "collectors", "gateway"] {
        assert_eq!(completed(&format!("taffrail {command} --config taffrail.tom")), ["taffrail.toml.5"], "{command}");
    }
    let fish = ["--no-config", "-c", "source taffrail.fish; complete -C 'taffrail print --collector loada'"];
    if let Some(found) = output("fish", &fish, assets.path()) {
        assert!(found.starts_with("loadavg"), "{found}");
    }
    if let Some(found) = output("zsh", &["-f", "-n", "_taffrail"], assets.path()) {
        assert_eq!(found, "");
    }
    for shell in ["taffrail.bash", "taffrail.fish", "_taffrail"] {
        let completions = std::fs::read_to_string(assets.path().join(shell)).unwrap();
        assert!(!completions.contains("assets") && !completions.contains("The machine's root"), "{shell}");
    }
    let zsh = std::fs::read_to_string(assets.path().join("_taffrail")).unwrap();
    assert!(zsh.contains(" loadavg ") && zsh.contains(":FILE:_files"));
}

#[test]
fn man_pages_have_all_sections_and_no_warnings() {
    let assets = assets();
    let read = |name: &str| std::fs::read_to_string(assets.path().join(name)).unwrap();
    for name in ["taffrail.1", "taffrail-run.1", "taffrail-push.1"] {
        let page = read(name);
        for heading in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXIT STATUS",
            "SIGNALS",
            "ENVIRONMENT",
            "FILES",
            "EXAMPLES",
            "SEE ALSO",
        ] {
            assert!(page.contains(&format!("\n.SH \"{heading}\"\n")), "{name}: {heading}");
        }
        assert!(page.contains(" \"2026-01-01\" "), "{page}");
    }
    let pages: Vec<String> = std::fs::read_dir(assets.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".1") || name.ends_with(".5"))
        .collect();
    let lint = ["-T", "lint", "-W", "style"].into_iter().chain(pages.iter().map(String::as_str)).collect::<Vec<_>>();
    if let Some(warnings) = output("mandoc", &lint, assets.path()) {
        assert_eq!(warnings, "");
    }
    for page in &pages {
        output("groff", &["-man", "-Tutf8", "-ww", "-Wbreak", "-z", page], assets.path());
        // Every page that is referred to is there.
        for reference in read(page).lines().filter_map(|line| line.strip_prefix("\\fB")?.split_once("\\fR(")) {
            let name = reference.0.replace("\\-", "-");
            let section = &reference.1[..1];
            assert!(pages.contains(&format!("{name}.{section}")), "{page}: {name}({section})");
        }
    }
}
