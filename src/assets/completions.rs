//! Shell completions. Files are known by the types of the options; names are added here.

use std::io;
use std::path::Path;

use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::{Shell, generate_to};
use taffrail::collectors::list::COLLECTORS;
use taffrail::log::settings::LEVELS;
use taffrail::reference::tables;

/// Writes the completions of all shells.
pub(super) fn write(command: Command, folder: &Path) -> io::Result<()> {
    let mut command = with_names(visible(&command));
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "taffrail", folder)?;
    }
    Ok(())
}

/// The command without hidden commands and options, and without what completions do not need.
fn visible(command: &Command) -> Command {
    // A name of clap's is static.
    let name: &'static str = Box::leak(command.get_name().into());
    let mut shown = Command::new(name)
        .args(command.get_arguments().filter(|argument| !argument.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|below| !below.is_hide_set()).map(visible));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if command.get_version().is_some() { shown.version(env!("CARGO_PKG_VERSION")) } else { shown }
}

/// Adds the values that some options have. The options accept others, with an error message of their own.
fn with_names(command: Command) -> Command {
    let command = command.mut_args(|arg| match arg.get_id().as_str() {
        "collector" => arg.value_parser(PossibleValuesParser::new(COLLECTORS.iter().map(|entry| entry.about.name))),
        "section" => arg.value_parser(PossibleValuesParser::new(tables())),
        "log_level" => arg.value_parser(PossibleValuesParser::new(LEVELS.iter().map(|(name, _)| *name))),
        _ => arg,
    });
    command.mut_subcommands(with_names)
}
