//! Globs of names with dots, as a tree: a name is matched part by part, and not pattern by pattern.

use std::collections::HashMap;

/// Patterns in which `*` stands for a whole part.
#[derive(Debug)]
pub(super) struct Globs {
    root: Node,
    /// Whether the first pattern of the file wins, and not the one that is most specific.
    is_ordered: bool,
}

#[derive(Debug, Default)]
struct Node {
    /// The next part, if it is this text.
    literal: HashMap<String, Node, foldhash::fast::RandomState>,
    /// The next part, whatever it is.
    any: Option<Box<Node>>,
    /// The rules of patterns that end here, in order.
    rules: Vec<usize>,
}

impl Globs {
    pub(super) fn new(is_ordered: bool) -> Globs {
        Globs { root: Node::default(), is_ordered }
    }

    /// Adds a pattern of the rule `rule`.
    pub(super) fn push(&mut self, pattern: &str, rule: usize) {
        let mut node = &mut self.root;
        for part in pattern.split('.') {
            node = match part {
                "*" => node.any.get_or_insert_default(),
                part => node.literal.entry(part.to_owned()).or_default(),
            };
        }
        node.rules.push(rule);
    }

    /// The rule of a pattern that matches `name` and that `is_wanted`; the name, and what the asterisks stand for.
    pub(super) fn find<'n>(&self, name: &'n str, is_wanted: &dyn Fn(&usize) -> bool) -> Option<(usize, Vec<&'n str>)> {
        let mut search = Search { is_ordered: self.is_ordered, is_wanted, captures: vec![name], found: None };
        search.visit(&self.root, Some(name));
        search.found
    }
}

/// A search of the tree. It visits literal parts before asterisks, so the first match is the most specific one.
struct Search<'s, 'n> {
    is_ordered: bool,
    is_wanted: &'s dyn Fn(&usize) -> bool,
    captures: Vec<&'n str>,
    found: Option<(usize, Vec<&'n str>)>,
}

impl<'n> Search<'_, 'n> {
    /// Visits a node with the rest of the name; `None` at its end. The depth is that of the longest pattern.
    fn visit(&mut self, node: &Node, rest: Option<&'n str>) {
        let Some(rest) = rest else { return self.end(node) };
        let (part, rest) = match rest.split_once('.') {
            Some((part, rest)) => (part, Some(rest)),
            None => (rest, None),
        };
        if let Some(next) = node.literal.get(part) {
            self.visit(next, rest);
        }
        if !self.is_ordered && self.found.is_some() {
            return;
        }
        if let Some(next) = &node.any {
            self.captures.push(part);
            self.visit(next, rest);
            self.captures.pop();
        }
    }

    fn end(&mut self, node: &Node) {
        let first = node.rules.iter().copied().find(self.is_wanted);
        let is_better = |rule: &usize| self.found.as_ref().is_none_or(|(found, _)| rule < found);
        if let Some(rule) = first.filter(is_better) {
            self.found = Some((rule, self.captures.clone()));
        }
    }
}
