//! Files of packages other than the program: man pages and shell completions.

mod completions;
mod man;
mod pages;
mod roff;

use std::io;
use std::path::Path;

use clap::CommandFactory;

/// Writes all of them into `folder`, which is created if missing.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    completions::write(super::CommandLine::command(), folder)?;
    let mut command = super::CommandLine::command().disable_help_subcommand(true);
    command.build();
    man::write(&command, folder)
}
