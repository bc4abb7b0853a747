//! Just enough of Python's structure to measure functions: by indentation, docstrings and multi-line strings aside.

use crate::rust_source::Function;

/// All functions of a source file, nested ones too. Lines of the docstring and blank lines at the end do not count.
pub(crate) fn functions(source: &str) -> Vec<Function> {
    let lines: Vec<&str> = source.lines().collect();
    let inside_string = lines_inside_strings(&lines);
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if inside_string[at] {
            continue;
        }
        if let Some(name) = function_name(line) {
            let body = body_start(&lines, at);
            let end = block_end(&lines, &inside_string, body, indentation(line));
            let length = end - at - docstring_lines(&lines, &inside_string, body, end);
            found.push(Function { name: name.to_owned(), line: at + 1, length });
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let text = line.trim_start();
    let text = text.strip_prefix("async ").unwrap_or(text).strip_prefix("def ")?;
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&text[..end])
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The index after the line that closes the signature.
fn body_start(lines: &[&str], at: usize) -> usize {
    let mut depth = 0_i32;
    for (index, line) in lines.iter().enumerate().skip(at) {
        for c in line.chars() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                '#' => break,
                _ => {}
            }
        }
        if depth <= 0 {
            return index + 1;
        }
    }
    lines.len()
}

/// The index after the last line that belongs to a block indented deeper than `outer`.
fn block_end(lines: &[&str], inside_string: &[bool], start: usize, outer: usize) -> usize {
    let mut end = start;
    for index in start..lines.len() {
        let blank = lines[index].trim().is_empty();
        if !blank && !inside_string[index] && indentation(lines[index]) <= outer {
            break;
        }
        if !blank {
            end = index + 1;
        }
    }
    end
}

fn docstring_lines(lines: &[&str], inside_string: &[bool], start: usize, end: usize) -> usize {
    let Some(first) = lines.get(start).filter(|_| start < end) else { return 0 };
    let text = first.trim_start().trim_start_matches(['r', 'R']);
    if !text.starts_with("\"\"\"") && !text.starts_with("'''") {
        return 0;
    }
    1 + (start + 1..end).take_while(|&index| inside_string[index]).count()
}

/// For each line: whether it starts inside a triple-quoted string.
fn lines_inside_strings(lines: &[&str]) -> Vec<bool> {
    let mut inside: Option<&str> = None;
    let mut starts = Vec::with_capacity(lines.len());
    for line in lines {
        starts.push(inside.is_some());
        inside = after_line(line, inside);
    }
    starts
}

/// The triple quote that is open after `line`, when `open` was open before it.
fn after_line<'a>(line: &str, mut open: Option<&'a str>) -> Option<&'a str> {
    let mut rest = line;
    loop {
        if let Some(quote) = open {
            match rest.find(quote) {
                Some(at) => rest = &rest[at + 3..],
                None => return open,
            }
            open = None;
            continue;
        }
        let at = rest.find(['"', '\'', '#'])?;
        let tail = &rest[at..];
        if tail.starts_with('#') {
            return None;
        }
        if tail.starts_with("\"\"\"") || tail.starts_with("'''") {
            open = Some(if tail.starts_with('"') { "\"\"\"" } else { "'''" });
            rest = &tail[3..];
        } else {
            rest = &tail[short_string_length(tail)..];
        }
    }
}

/// The length of the one-line string at the start of `text`, quotes included.
fn short_string_length(text: &str) -> usize {
    let quote = text.chars().next().unwrap_or('"');
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(source: &str) -> Vec<(String, usize, usize)> {
        functions(source).into_iter().map(|f| (f.name, f.line, f.length)).collect()
    }

    #[test]
    fn bodies_end_where_the_indentation_does() {
        let source =
            "def a(\n    x,\n):\n    y = 1\n\n    return y\n\n\nclass B:\n    async def c(self): return 1\n    z = 2\n";
        assert_eq!(measured(source), [("a".into(), 1, 6), ("c".into(), 10, 1)]);
    }

    #[test]
    fn docstrings_do_not_count_and_strings_hide_their_text() {
        let source =
            "def a():\n    \"\"\"First.\n\ndef not_a_function():\n    \"\"\"\n    return '''\ntext\n'''\nx = 1\n";
        assert_eq!(measured(source), [("a".into(), 1, 4)]);
    }

    #[test]
    fn quotes_in_comments_and_short_strings_open_nothing() {
        let source = "def a():\n    # it's\n    x = 'say \\'\"\"\"'\n    return x\n";
        assert_eq!(measured(source), [("a".into(), 1, 4)]);
    }
}
