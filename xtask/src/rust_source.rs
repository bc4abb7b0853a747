//! Just enough of Rust's lexical structure for the checks: tokens with lines, paths, functions, what is test code.
//!
//! Comments, strings and character literals produce no tokens, so that a word in a comment is never taken for code.
//! Start with [`tokens`]; [`without_tests`], [`paths`] and [`functions`] work on its result.

/// An identifier or one character of punctuation, and the line that it stands on (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Word(String),
    Mark(char),
}

impl Token {
    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::Mark(_) => None,
        }
    }

    fn opens(&self) -> bool {
        matches!(self.kind, Kind::Mark('(' | '[' | '{'))
    }

    fn closes(&self) -> bool {
        matches!(self.kind, Kind::Mark(')' | ']' | '}'))
    }
}

/// The tokens of a source file.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn advance(&mut self) {
        if self.peek(0) == '\n' {
            self.line += 1;
        }
        self.at += 1;
    }

    fn advance_by(&mut self, count: usize) {
        for _ in 0..count {
            self.advance();
        }
    }

    fn step(&mut self) {
        match self.peek(0) {
            '/' if self.peek(1) == '/' => self.skip_while(|c| c != '\n'),
            '/' if self.peek(1) == '*' => self.skip_block_comment(),
            '"' => self.skip_string(),
            '\'' => self.skip_character_or_lifetime(),
            c if c.is_alphabetic() || c == '_' => self.word(),
            c if c.is_ascii_digit() => self.skip_while(|c| c.is_alphanumeric() || c == '_'),
            c if c.is_whitespace() => self.advance(),
            c => {
                self.tokens.push(Token { kind: Kind::Mark(c), line: self.line });
                self.advance();
            }
        }
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.at < self.chars.len() && keep(self.peek(0)) {
            self.advance();
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.advance_by(2);
                }
                ('*', '/') => {
                    depth -= 1;
                    self.advance_by(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.advance(),
            }
        }
    }

    fn skip_string(&mut self) {
        self.advance();
        while self.at < self.chars.len() && self.peek(0) != '"' {
            self.advance_by(if self.peek(0) == '\\' { 2 } else { 1 });
        }
        self.advance();
    }

    /// `r"..."`, `r#"..."#`, `br##"..."##`: the cursor stands on the first `#` or quote.
    fn skip_raw_string(&mut self) {
        let mut hashes = 0;
        while self.peek(0) == '#' {
            hashes += 1;
            self.advance();
        }
        self.advance();
        while self.at < self.chars.len() {
            let closed = self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#');
            self.advance();
            if closed {
                self.advance_by(hashes);
                return;
            }
        }
    }

    fn skip_character_or_lifetime(&mut self) {
        let escaped = self.peek(1) == '\\';
        if escaped || self.peek(2) == '\'' {
            self.advance_by(if escaped { 3 } else { 2 });
            self.skip_while(|c| c != '\'');
            self.advance();
        } else {
            self.advance();
            self.skip_while(|c| c.is_alphanumeric() || c == '_');
        }
    }

    fn word(&mut self) {
        let (start, line) = (self.at, self.line);
        self.skip_while(|c| c.is_alphanumeric() || c == '_');
        let word: String = self.chars[start..self.at].iter().collect();
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        match self.peek(0) {
            '"' if raw => self.skip_raw_string(),
            '#' if raw && matches!(self.peek(1), '"' | '#') => self.skip_raw_string(),
            '"' if matches!(word.as_str(), "b" | "c") => self.skip_string(),
            '\'' if word == "b" => self.skip_character_or_lifetime(),
            _ => self.tokens.push(Token { kind: Kind::Word(word), line }),
        }
    }
}

/// The same tokens without items marked `#[cfg(test)]`, `#[test]` or the like.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = attribute_end(tokens, at) {
            if is_test_attribute(&tokens[at..end]) {
                at = item_end(tokens, end);
            } else {
                kept.extend_from_slice(&tokens[at..end]);
                at = end;
            }
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Where the attribute that starts at `at` ends; `None` when none starts there.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let starts = tokens[at].is_mark('#') && tokens.get(at + 1).is_some_and(|next| next.is_mark('['));
    starts.then(|| group_end(tokens, at + 1))
}

fn is_test_attribute(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().filter_map(Token::word).collect();
    match words.as_slice() {
        ["cfg", rest @ ..] => rest.contains(&"test") && !rest.contains(&"not"),
        [.., last] => *last == "test",
        [] => false,
    }
}

/// The index after the bracket that closes the one at `at`.
fn group_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return index + 1;
            }
        }
    }
    tokens.len()
}

/// The index after the item that starts at `at`, its further attributes included.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is_mark(';') {
            return at + 1;
        }
        let is_body = token.is_mark('{');
        at = if token.opens() { group_end(tokens, at) } else { at + 1 };
        if is_body {
            let semicolon = tokens.get(at).is_some_and(|next| next.is_mark(';'));
            return if semicolon { at + 1 } else { at };
        }
    }
    at
}

/// Every path in the tokens (`a::b::c`), with `use a::{b, c::d}` written out, and the line where it starts.
pub(crate) fn paths(tokens: &[Token]) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let after_dot = at > 0 && tokens[at - 1].is_mark('.');
        match tokens[at].word() {
            Some(_) if !after_dot => at = path(tokens, at, &[], &mut found),
            _ => at += 1,
        }
    }
    found
}

/// Reads the path that starts at `at`, below `prefix`; returns the index after it.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<(Vec<String>, usize)>) -> usize {
    let line = tokens[at].line;
    let mut segments = prefix.to_vec();
    while let Some(word) = tokens.get(at).and_then(Token::word) {
        segments.push(word.to_owned());
        at += 1;
        if !is_mark_at(tokens, at, ':') || !is_mark_at(tokens, at + 1, ':') {
            break;
        }
        at += 2;
        if is_mark_at(tokens, at, '{') {
            return path_group(tokens, at, &segments, found);
        }
    }
    found.push((segments, line));
    at
}

/// `{a, b::c, self}` below `prefix`; returns the index after the closing brace.
fn path_group(tokens: &[Token], at: usize, prefix: &[String], found: &mut Vec<(Vec<String>, usize)>) -> usize {
    let end = group_end(tokens, at);
    let mut inside = at + 1;
    while inside + 1 < end {
        inside = match tokens[inside].word() {
            Some("as") => inside + 2,
            Some(_) => path(tokens, inside, prefix, found),
            None => inside + 1,
        };
    }
    end
}

pub(crate) fn is_mark_at(tokens: &[Token], at: usize, mark: char) -> bool {
    tokens.get(at).is_some_and(|token| token.is_mark(mark))
}

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From the line of `fn` to that of the closing brace.
    pub(crate) length: usize,
}

/// All functions with a body, nested ones too.
pub(crate) fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let name = tokens.get(at + 1).and_then(Token::word);
        let (Some("fn"), Some(name)) = (token.word(), name) else { continue };
        let end = item_end(tokens, at);
        if end > at && tokens[end - 1].is_mark('}') {
            let length = tokens[end - 1].line + 1 - token.line;
            found.push(Function { name: name.to_owned(), line: token.line, length });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).iter().filter_map(|token| token.word().map(str::to_owned)).collect()
    }

    fn joined(source: &str) -> Vec<String> {
        paths(&tokens(source)).into_iter().map(|(path, _)| path.join("::")).collect()
    }

    #[test]
    fn comments_strings_and_characters_are_not_code() {
        let source = r##"a /* b /* c */ d */ "e \" f" r#"g " h"# 'i' '\'' b"j" 'k: l // m"##;
        assert_eq!(words(source), ["a", "l"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let found = tokens("\"1\n2\" /* \n */\nx");
        assert_eq!(found, [Token { kind: Kind::Word("x".into()), line: 4 }]);
    }

    #[test]
    fn test_items_are_left_out_and_others_kept() {
        let source =
            "#[cfg(test)] use a::{b}; #[inline] fn c() {} #[cfg(test)] mod d { fn e() { f } } #[test] fn g() {} h";
        assert_eq!(
            without_tests(&tokens(source)).iter().filter_map(Token::word).collect::<Vec<_>>(),
            ["inline", "fn", "c", "h"]
        );
        assert!(!without_tests(&tokens("#[cfg(not(test))] fn a() {}")).is_empty());
    }

    #[test]
    fn use_trees_are_written_out() {
        let source = "use std::{fs, time::{self, Instant}, collections::HashMap as Map};";
        assert_eq!(
            joined(source),
            ["use", "std::fs", "std::time::self", "std::time::Instant", "std::collections::HashMap"]
        );
        assert_eq!(joined("a.b::c(std::thread::spawn(f))"), ["a", "c", "std::thread::spawn", "f"]);
    }

    #[test]
    fn functions_are_measured_and_declarations_skipped() {
        let source =
            "trait T { fn a(&self) -> [u8; 4]; }\nfn b(f: fn(u8) -> u8) -> [u8; 2]\n{\n  let x = S { y: 1 };\n}\n";
        let found = functions(&tokens(source));
        assert_eq!(found, [Function { name: "b".into(), line: 2, length: 4 }]);
    }
}
