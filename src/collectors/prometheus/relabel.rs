//! Relabelling: `relabel_configs` and `metric_relabel_configs`, with all actions of Prometheus.

use std::collections::BTreeMap;

use regex::Regex;

use super::md5;
use crate::config::{Key, KeyInfo, Pattern, Section};
use crate::encode::names::check_any_label_name;

/// Labels by name. An empty value is the same as no label, so there is none.
pub(super) type Labels = BTreeMap<String, String>;

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    sources: Vec<String>,
    separator: String,
    pattern: Pattern,
    regex: Regex,
    target: String,
    replacement: String,
    modulus: u64,
    action: Action,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        let key = |rule: &Rule| (rule.modulus, rule.action);
        let texts = |rule: &Rule| (rule.sources.clone(), rule.separator.clone(), rule.target.clone());
        (key(self), texts(self), &self.replacement, &self.pattern)
            == (key(other), texts(other), &other.replacement, &other.pattern)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

const SOURCE_LABELS: Key<Vec<String>> =
    Key::optional("source_labels", "Labels whose values are joined; an absent one is empty.");
const SEPARATOR: Key<String> = Key::new("separator", "\";\"", "Separator of the joined values.");
const REGEX: Key<Pattern> = Key::new(
    "regex",
    "\"(.*)\"",
    "Regular expression, anchored at both ends, for the joined values or for label names.",
);
const TARGET_LABEL: Key<String> = Key::optional("target_label", "Label that is set.");
const REPLACEMENT: Key<String> = Key::new("replacement", "\"$1\"", "New value; `$1` or `${1}` is the first group.");
const MODULUS: Key<usize> = Key::optional("modulus", "Modulus of `hashmod`.");
const ACTION: Key<String> = Key::new(
    "action",
    "\"replace\"",
    "replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase or uppercase.",
);

/// The settings of a rule.
pub(super) const KEYS: &[KeyInfo] = &[
    SOURCE_LABELS.info(),
    SEPARATOR.info(),
    REGEX.info(),
    TARGET_LABEL.info(),
    REPLACEMENT.info(),
    MODULUS.info(),
    ACTION.info(),
];

impl Rule {
    /// The rule in a section.
    pub(super) fn new(section: &mut Section<'_>) -> Rule {
        let name = section.get(&ACTION);
        let action = ACTIONS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, action)| *action);
        if action.is_none() {
            let known: Vec<&str> = ACTIONS.iter().map(|(known, _)| *known).collect();
            section.wrong("action", format!("expected one of {}, found {name:?}", known.join(", ")));
        }
        let target = section.optional(&TARGET_LABEL);
        let modulus = section.optional(&MODULUS);
        let needs_target = matches!(
            action,
            Some(
                Action::Replace
                    | Action::HashMod
                    | Action::Lowercase
                    | Action::Uppercase
                    | Action::KeepEqual
                    | Action::DropEqual
            )
        );
        if needs_target && target.as_ref().is_none_or(String::is_empty) {
            section.wrong("target_label", format!("required: the action is {name}"));
        }
        if let Some(action) = action {
            refuse_unused(section, action, &name);
        }
        let action = action.unwrap_or(Action::Replace);
        if action == Action::HashMod && modulus.is_none() {
            section.wrong("modulus", "required: the action is hashmod");
        }
        let sources = section.optional(&SOURCE_LABELS).unwrap_or_default();
        for (index, name) in sources.iter().enumerate() {
            if let Err(expected) = check_any_label_name(name) {
                section.wrong_element("source_labels", index, expected);
            }
        }
        let (pattern, replacement) = (section.get(&REGEX), section.get(&REPLACEMENT));
        if action == Action::LabelMap
            && let Err(expected) = check_any_label_name(&replacement)
        {
            section.wrong("replacement", expected);
        }
        Rule {
            sources,
            separator: section.get(&SEPARATOR),
            regex: pattern.clone().into_regex(),
            pattern,
            target: target.unwrap_or_default(),
            replacement,
            modulus: modulus.unwrap_or(1) as u64,
            action,
        }
    }

    fn joined(&self, labels: &Labels) -> String {
        let values: Vec<&str> = self.sources.iter().map(|name| labels.get(name).map_or("", String::as_str)).collect();
        values.join(&self.separator)
    }

    /// Applies the rule. Returns false if the labels are dropped.
    fn apply(&self, labels: &mut Labels) -> bool {
        match self.action {
            Action::LabelMap => {
                let mapped: Vec<(String, String)> = labels
                    .iter()
                    .filter(|(name, _)| self.regex.is_match(name))
                    .map(|(name, value)| {
                        (self.regex.replace_all(name, self.replacement.as_str()).into_owned(), value.clone())
                    })
                    .collect();
                mapped.into_iter().for_each(|(name, value)| set(labels, name, value));
            }
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
            _ => return self.apply_to_value(labels),
        }
        true
    }

    fn apply_to_value(&self, labels: &mut Labels) -> bool {
        let value = self.joined(labels);
        let of_target = |labels: &Labels| labels.get(&self.target).cloned().unwrap_or_default();
        match self.action {
            Action::Keep => return self.regex.is_match(&value),
            Action::Drop => return !self.regex.is_match(&value),
            Action::KeepEqual => return of_target(labels) == value,
            Action::DropEqual => return of_target(labels) != value,
            Action::Lowercase => set(labels, self.target.clone(), value.to_lowercase()),
            Action::Uppercase => set(labels, self.target.clone(), value.to_uppercase()),
            Action::HashMod => {
                let [.., a, b, c, d, e, f, g, h] = md5::digest(value.as_bytes());
                let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) % self.modulus;
                set(labels, self.target.clone(), number.to_string());
            }
            _ => {
                if let Some(groups) = self.regex.captures(&value) {
                    let (mut target, mut result) = (String::new(), String::new());
                    groups.expand(&self.target, &mut target);
                    groups.expand(&self.replacement, &mut result);
                    if !target.is_empty() {
                        set(labels, target, result);
                    }
                }
            }
        }
        true
    }
}

/// Reports settings that the action does not use. Most are a slip: a `labeldrop` without a `regex` drops every label.
fn refuse_unused(section: &Section<'_>, action: Action, name: &str) {
    let used: &[&str] = match action {
        Action::LabelDrop | Action::LabelKeep => &["action", "regex"],
        Action::KeepEqual | Action::DropEqual => &["action", "source_labels", "target_label"],
        _ => return,
    };
    let keys: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    for key in section.keys().filter(|key| keys.contains(key) && !used.contains(key)) {
        section
            .wrong(key, format!("expected only {} with the action {name}, as in Prometheus", used[1..].join(" and ")));
    }
}

/// Sets a label, or removes it if the value is empty.
pub(super) fn set(labels: &mut Labels, name: String, value: String) {
    match value.is_empty() {
        true => drop(labels.remove(&name)),
        false => drop(labels.insert(name, value)),
    }
}

/// Applies all rules in order. Returns false if the labels are dropped.
pub(super) fn apply(rules: &[Rule], labels: &mut Labels) -> bool {
    rules.iter().all(|rule| rule.apply(labels)) && !labels.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    fn rules(toml: &str) -> Result<Vec<Rule>, Vec<String>> {
        let document = Document::parse("test", toml, &|_| None).unwrap();
        let all = |root: &mut Section<'_>| root.tables("rules").iter_mut().map(Rule::new).collect();
        Section::check(&document, all).map_err(|problems| problems.lines().collect())
    }

    /// The labels after the rules, as `name=value`; `None` if they are dropped.
    fn relabelled(labels: &[(&str, &str)], toml: &str) -> Option<String> {
        let mut labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let rules = rules(&toml.replace("--", "[[rules]]\n")).unwrap();
        apply(&rules, &mut labels)
            .then(|| labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
    }

    /// The cases of Prometheus's `relabel_test.go`.
    #[test]
    fn actions_are_those_of_prometheus() {
        let abc = [("a", "foo"), ("b", "bar"), ("c", "baz")];
        for (toml, expected) in [
            (
                "--source_labels=['a']\nregex='f(.*)'\ntarget_label='d'\nreplacement='ch${1}-ch${1}'",
                Some("a=foo,b=bar,c=baz,d=choo-choo"),
            ),
            (
                "--source_labels=['a','b']\nregex='f(.*);(.*)r'\ntarget_label='a'\nreplacement='b${1}${2}m'",
                Some("a=boobam,b=bar,c=baz"),
            ),
            ("--source_labels=['a']\nregex='.*o.*'\naction='drop'", None),
            ("--source_labels=['a']\nregex='no-match'\naction='drop'", Some("a=foo,b=bar,c=baz")),
            ("--source_labels=['a']\nregex='f|o'\naction='drop'", Some("a=foo,b=bar,c=baz")),
            ("--source_labels=['a']\nregex='no-match'\naction='keep'", None),
            ("--source_labels=['a']\nregex='f.*'\naction='Keep'", Some("a=foo,b=bar,c=baz")),
            ("--source_labels=['a']\ntarget_label='b'\nregex='f'\nreplacement='bar'", Some("a=foo,b=bar,c=baz")),
            (
                "--source_labels=['c']\ntarget_label='d'\nmodulus=1000\naction='hashmod'",
                Some("a=foo,b=bar,c=baz,d=976"),
            ),
            ("--regex='(b.*)'\nreplacement='bar_${1}'\naction='labelmap'", Some("a=foo,b=bar,bar_b=bar,c=baz")),
            ("--regex='(b.*)'\naction='labeldrop'", Some("a=foo,c=baz")),
            ("--regex='(b.*)'\naction='labelkeep'", Some("b=bar")),
            ("--source_labels=['a']\ntarget_label='A'\naction='uppercase'", Some("A=FOO,a=foo,b=bar,c=baz")),
            ("--source_labels=['a']\ntarget_label='b'\naction='keepequal'", None),
            ("--source_labels=['a']\ntarget_label='b'\naction='dropequal'", Some("a=foo,b=bar,c=baz")),
            ("--source_labels=['missing']\ntarget_label='a'\nreplacement='$1'", Some("b=bar,c=baz")),
            (
                "--source_labels=['a']\nregex='(f).*'\ntarget_label='${1}'\nreplacement='x'",
                Some("a=foo,b=bar,c=baz,f=x"),
            ),
            // As in Go, `$1_x` is the group called 1_x, which does not exist.
            ("--source_labels=['a']\ntarget_label='d'\nreplacement='$1_x'", Some("a=foo,b=bar,c=baz")),
            (
                "--source_labels=['a','missing','b']\nseparator='/'\nregex='(.*)/(.*)/(.*)'\ntarget_label='d'\nreplacement='$3$2$1'",
                Some("a=foo,b=bar,c=baz,d=barfoo"),
            ),
        ] {
            assert_eq!(relabelled(&abc, toml).as_deref(), expected, "{toml}");
        }
    }

    #[test]
    fn a_target_of_blackbox_is_relabelled() {
        let labels = [("__address__", "https://example.org"), ("__param_module", "http_2xx")];
        let toml = "--source_labels=['__address__']\ntarget_label='__param_target'\n\
            --source_labels=['__param_target']\ntarget_label='instance'\n\
            --target_label='__address__'\nreplacement='127.0.0.1:9115'";
        let expected = "__address__=127.0.0.1:9115,__param_module=http_2xx,__param_target=https://example.org,instance=https://example.org";
        assert_eq!(relabelled(&labels, toml).as_deref(), Some(expected));
    }

    #[test]
    fn a_rule_without_what_it_needs_is_an_error() {
        for (toml, key) in [
            ("action = 'replace'", "target_label"),
            ("action = 'hashmod'\ntarget_label = 'a'", "modulus"),
            ("action = 'odd'\ntarget_label = 'a'", "action"),
            ("regex = '('\ntarget_label = 'a'", "regex"),
            ("action = 'odd'", "action"),
            (
                "action = 'labeldrop'\nsource_labels = ['a']",
                "source_labels: expected only regex with the action labeldrop",
            ),
            ("action = 'labelkeep'\nregex = 'a'\ntarget_label = 'a'", "target_label: expected only regex"),
            ("action = 'dropequal'\nsource_labels = ['a']\ntarget_label = 'a'\nregex = 'a'", "regex: expected only"),
        ] {
            let found = rules(&format!("[[rules]]\n{toml}")).unwrap_err();
            assert!(found.len() == 1 && found[0].contains(key), "{found:?}");
        }
    }
}
