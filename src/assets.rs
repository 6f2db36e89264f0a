//! What a package has beside the program: man pages, made of what the program says of itself, and completions.

use std::fmt::Write;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use taffrail::reference::sections;

/// Writes all of them into `folder`, which is made.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut command = super::CommandLine::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "taffrail", folder)?;
    }
    command.build();
    write_pages(folder, "taffrail", &command)?;
    std::fs::write(folder.join("taffrail.toml.5"), configuration())
}

/// The page of a command, and those of its subcommands.
fn write_pages(folder: &Path, name: &str, command: &Command) -> io::Result<()> {
    let mut page = Vec::new();
    let source = format!("taffrail {}", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).title(name).source(source).render(&mut page)?;
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    for subcommand in command.get_subcommands().filter(|each| !each.is_hide_set() && each.get_name() != "help") {
        write_pages(folder, &format!("{name}-{}", subcommand.get_name()), subcommand)?;
    }
    Ok(())
}

fn configuration() -> String {
    let mut page = format!(
        ".TH taffrail.toml 5 \"\" \"taffrail {}\"\n.ad l\n.SH NAME\ntaffrail.toml \\- configuration of taffrail\n.SH DESCRIPTION\n",
        env!("CARGO_PKG_VERSION")
    );
    page.push_str(&text(
        "TOML files, and directories of *.toml files in the order of their names. Several are merged in order: later values \
         win, lists of tables append. In strings, ${VARIABLE} and ${VARIABLE:-default} are replaced by the environment's \
         values, ${file:PATH} by what a file holds, ${credential:NAME} by what systemd's LoadCredential= gave. An unknown key is a mistake; taffrail check shows all of them. \
         Everything that is not set has the default that is shown here.",
    ));
    page.push_str(".SH FILES\n");
    for (file, about) in [
        ("/etc/taffrail/taffrail.toml", "The configuration, with every setting in a comment."),
        ("/etc/taffrail/conf.d/*.toml", "More of it; what is here wins."),
        ("/etc/default/taffrail", "Variables for it, NAME=value in each line."),
    ] {
        let _ = write!(page, ".TP\n.I {}\n{}", escaped(file), text(about));
    }
    for (head, about, keys) in sections() {
        let _ = write!(page, ".SH {}\n{}", escaped(&head), text(&about));
        for key in keys {
            let default = if key.default.is_empty() { String::new() } else { format!("; {} if absent", key.default) };
            let takes = text(&format!("Takes {}{default}.", key.expected));
            let _ = write!(page, ".TP\n.B {}\n{}{takes}", escaped(key.name), text(key.help));
        }
    }
    page.push_str(".SH SEE ALSO\n.BR taffrail (1)\n");
    page
}

/// A line of text, without Markdown's quotes.
fn text(text: &str) -> String {
    format!("{}\n", escaped(&text.replace('`', "")))
}

fn escaped(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}
