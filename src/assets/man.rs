//! The man pages: of each command, from its help and what [`super::pages`] adds, and of the configuration.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, Command};
use taffrail::reference::sections;

use super::pages::{self, Page};
use super::roff::{Roff, bold, escaped, italic};

/// Writes the pages of `command`, of all its subcommands, and of the configuration.
pub(super) fn write(command: &Command, folder: &Path) -> io::Result<()> {
    let date = date();
    write_commands(command, "taffrail", &date, folder)?;
    std::fs::write(folder.join("taffrail.toml.5"), configuration(&date))
}

/// The date of the pages: that of the source, for packages that are built reproducibly.
fn date() -> String {
    let source = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let time = source.map_or_else(SystemTime::now, |seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    humantime::format_rfc3339_seconds(time).to_string().chars().take("2026-01-01".len()).collect()
}

fn write_commands(command: &Command, name: &str, date: &str, folder: &Path) -> io::Result<()> {
    std::fs::write(folder.join(format!("{name}.1")), page(command, name, date))?;
    for subcommand in shown(command) {
        write_commands(subcommand, &format!("{name}-{}", subcommand.get_name()), date, folder)?;
    }
    Ok(())
}

/// The page of the command that this one belongs to. A command's own name may have hyphens.
fn above<'n>(command: &Command, name: &'n str) -> Option<&'n str> {
    name.strip_suffix(command.get_name())?.strip_suffix('-')
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|each| !each.is_hide_set() && each.get_name() != "help")
}

fn page(command: &Command, name: &str, date: &str) -> String {
    let page = pages::of(name);
    let mut roff = Roff::new(name, 1, date);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    roff.heading("NAME");
    roff.fill(&format!("{} \\- {}", escaped(name), escaped(about.trim_end_matches('.'))));
    roff.heading("SYNOPSIS");
    roff.lines(synopsis(command, name, &page));
    roff.heading("DESCRIPTION");
    // A long description begins with the short one.
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let long = long.split_once("\n\n").map(|(_, more)| more.to_owned());
    roff.text(&long.unwrap_or_else(|| format!("{}.", about.trim_end_matches('.'))));
    options(&mut roff, command);
    commands(&mut roff, command, name);
    for (heading, items) in [
        ("EXIT STATUS", page.exit_status),
        ("SIGNALS", page.signals),
        ("ENVIRONMENT", page.environment),
        ("FILES", page.files),
    ] {
        if !items.is_empty() {
            roff.heading(heading);
            items.iter().for_each(|(term, text)| roff.item(&bold(term), text));
        }
    }
    if !page.examples.is_empty() {
        roff.heading("EXAMPLES");
        page.examples.iter().for_each(|(text, code)| roff.example(text, code));
    }
    see_also(&mut roff, command, name, &page);
    roff.finish()
}

/// The forms of a command, one a line.
fn synopsis(command: &Command, name: &str, page: &Page) -> Vec<String> {
    let own = page.synopsis.iter().map(|form| (*form).to_owned());
    let forms: Vec<String> = if page.synopsis.is_empty() {
        let positionals = command.get_positionals().map(|arg| format!(" {}", value_names(arg)));
        let has_commands = shown(command).next().is_some();
        let more = if has_commands { " COMMAND".to_owned() } else { positionals.collect() };
        let above = above(command, name).map(|above| above.replace('-', " ") + " ").unwrap_or_default();
        vec![format!("{above}{} [OPTIONS]{more}", command.get_name())]
    } else {
        own.collect()
    };
    forms.iter().map(|form| styled(form)).collect()
}

/// A form whose values are in capitals.
fn styled(form: &str) -> String {
    let word = |word: &str| {
        let inner = word.trim_matches(['[', ']', '|', '.']);
        let (before, after) = word.split_once(inner).unwrap_or(("", ""));
        let is_value = inner.chars().any(|c| c.is_uppercase()) && !inner.chars().any(|c| c.is_lowercase());
        let inner = if is_value { italic(inner) } else { bold(inner) };
        format!("{before}{inner}{after}")
    };
    form.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn value_names(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
}

fn options(roff: &mut Roff, command: &Command) {
    let args: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    if args.is_empty() {
        return;
    }
    roff.heading("OPTIONS");
    for arg in args {
        let short = arg.get_short().map(|short| bold(&format!("-{short}")));
        let long = arg.get_long().map(|long| bold(&format!("--{long}")));
        let names = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        let value = if takes_value { italic(&value_names(arg)) } else { String::new() };
        let mut text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if takes_value && !defaults.is_empty() && !arg.is_hide_default_value_set() {
            text = format!("{text} (default: {})", defaults.join(" "));
        }
        roff.item([names, value].join(" ").trim(), &text);
        let values: Vec<_> = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
        if takes_value && !values.is_empty() {
            roff.nested(|roff| {
                for value in values {
                    let help = value.get_help().map(ToString::to_string).unwrap_or_default();
                    roff.item(&bold(value.get_name()), &help);
                }
            });
        }
    }
}

fn commands(roff: &mut Roff, command: &Command, name: &str) {
    if shown(command).next().is_none() {
        return;
    }
    roff.heading("COMMANDS");
    for subcommand in shown(command) {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        roff.item(&format!("{}(1)", bold(&format!("{name}-{}", subcommand.get_name()))), &about);
    }
}

fn see_also(roff: &mut Roff, command: &Command, name: &str, page: &Page) {
    let own = page.see_also.iter().map(|page| (*page).to_owned());
    let below = shown(command).map(|subcommand| format!("{name}-{}(1)", subcommand.get_name()));
    let above = above(command, name).map(|above| format!("{above}(1)"));
    let mut pages: Vec<String> = own.chain(below).chain(above).collect();
    pages.push("taffrail.toml(5)".to_owned());
    pages.sort_by_key(|page| (page.ends_with("(5)"), page.clone()));
    pages.dedup();
    roff.heading("SEE ALSO");
    let reference = |page: &String| {
        let (name, section) = page.split_at(page.len() - "(1)".len());
        format!("{}{section}", bold(name))
    };
    let last = pages.len() - 1;
    let comma = |(index, page)| format!("{}{}", reference(page), if index < last { "," } else { "" });
    roff.lines([pages.iter().enumerate().map(comma).collect::<Vec<_>>().join("\n")]);
}

/// The page of the configuration.
fn configuration(date: &str) -> String {
    let mut roff = Roff::new("taffrail.toml", 5, date);
    roff.heading("NAME");
    roff.lines(["taffrail.toml \\- configuration of taffrail".to_owned()]);
    roff.heading("SYNOPSIS");
    roff.lines([styled("taffrail run --config /etc/taffrail/taffrail.toml")]);
    roff.heading("DESCRIPTION");
    roff.text(pages::CONFIGURATION);
    roff.heading("FILES");
    pages::CONFIGURATION_FILES.iter().for_each(|(file, about)| roff.item(&bold(file), about));
    roff.heading("EXAMPLES");
    pages::CONFIGURATION_EXAMPLES.iter().for_each(|(text, code)| roff.example(text, code));
    for section in sections() {
        roff.heading(&section.head);
        roff.text(&section.about);
        for key in section.keys {
            let default = if key.default.is_empty() { String::new() } else { format!(" Default: {}.", key.default) };
            roff.item(&bold(key.name), &format!("{}\n\nType: {}.{default}", key.help, key.expected));
        }
    }
    roff.heading("SEE ALSO");
    roff.lines([format!("{}(1), {}(1)", bold("taffrail"), bold("taffrail-check"))]);
    roff.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_examples_of_the_configuration_are_valid() {
        use taffrail::agent::variable_without_credentials;
        use taffrail::config::Document;
        use taffrail::settings::{Overrides, Settings};
        for (about, code) in pages::CONFIGURATION_EXAMPLES {
            let document = Document::parse(about, code, &variable_without_credentials).unwrap();
            if let Err(problems) = Settings::check(&document, &Overrides::default()) {
                panic!("{about} {problems}");
            }
        }
    }

    fn each(command: &Command, name: &str, check: &mut dyn FnMut(&Command, &str)) {
        check(command, name);
        for subcommand in shown(command) {
            each(subcommand, &format!("{name}-{}", subcommand.get_name()), check);
        }
    }

    #[test]
    fn every_form_fits_a_line_and_names_options_that_exist() {
        const WIDTH: usize = 73;
        let mut command = crate::CommandLine::command();
        command.build();
        let mut names = Vec::new();
        each(&command, "taffrail", &mut |command, name| {
            names.push(name.to_owned());
            let page = pages::of(name);
            for form in page.synopsis {
                assert!(form.len() <= WIDTH, "{form}");
                for option in form.split(' ').filter_map(|word| word.trim_start_matches('[').strip_prefix("--")) {
                    let option = option.trim_end_matches(']');
                    let known = |arg: &Arg| arg.get_long() == Some(option);
                    assert!(option.is_empty() || command.get_arguments().any(known), "{name} has no --{option}");
                }
            }
            assert!(!page.exit_status.is_empty(), "{name}");
        });
        for name in pages::names() {
            assert!(names.iter().any(|known| known == name), "{name} is no command");
        }
    }
}
