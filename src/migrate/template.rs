//! Templates that no program has rendered.

/// The error for a file with one.
pub const MESSAGE: &str = "a template: render the file first, and translate the result";

/// The number of the first line, from 1, with an expression or a statement of Jinja; comments have none.
pub fn line_of(text: &str) -> Option<usize> {
    let code = |line: &str| line.find(" #").map_or(line.len(), |comment| comment);
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    let mut lines = text.lines().zip(1..).filter(|(line, _)| !is_comment(line));
    lines.find(|(line, _)| is_jinja(&line[..code(line)])).map(|(_, number)| number)
}

/// Whether a text has an expression or a statement of Jinja, which Ansible and Salt render.
pub(super) fn is_jinja(text: &str) -> bool {
    start_of_jinja(text).is_some()
}

/// Where it starts, in bytes. Go's templates, which Telegraf and others have in strings, start differently.
pub(super) fn start_of_jinja(text: &str) -> Option<usize> {
    let mut expressions = text.match_indices("{{").map(|(at, _)| at);
    let expression = expressions.find(|at| !is_of_go(&text[at + 2..]));
    expression.into_iter().chain(text.find("{%")).min()
}

/// Whether a text behind `{{` is an action of Go's templates: a field, a variable, a keyword, or a function with an argument
/// after a blank, as Jinja has none.
fn is_of_go(text: &str) -> bool {
    let action = text.strip_prefix("- ").unwrap_or(text).trim_start();
    if action.starts_with(['.', '$', '/']) {
        return true;
    }
    let word = action.len() - action.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    let (word, behind) = action.split_at(word);
    let argument = behind.trim_start();
    match word {
        "" => false,
        "end" | "else" => argument.starts_with(['}', '-']) || argument.starts_with("if "),
        _ => argument.len() < behind.len() && argument.starts_with(['.', '$', '"', '`', '(']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_jinja_are_told_from_those_of_go() {
        for jinja in [
            "{{ x }}",
            "{{x}}",
            "{{ hostvars['a'].b }}",
            "{{- x -}}",
            "{{ 'a' }}",
            "{{ x | default('.y') }}",
            "{{ f(.1) }}",
            "{% if x %}",
            "{{ .Time }}/{{ x }}",
        ] {
            assert!(is_jinja(jinja), "{jinja}");
        }
        for go in [
            "{{.Time}}",
            "{{ .Tag \"host\" }}",
            "{{- .X -}}",
            "{{- range .X }}{{ . }}{{ end }}",
            "{{if .X}}a{{else}}b{{end}}",
            "{{json .}}",
            "{{ printf \"%s\" .Name }}",
            "{{/* a comment */}}",
            "{{ $x }}",
            "{ { x } }",
            "%{COMBINED}",
        ] {
            assert!(!is_jinja(go), "{go}");
        }
        assert_eq!(line_of("# {{ managed }}\na: 1 # {{ x }}\nb: \"{{ x }}\"\n"), Some(3));
        assert_eq!(line_of("a: '{{.Names}}'\n"), None);
    }
}
