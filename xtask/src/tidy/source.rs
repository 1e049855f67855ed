//! Rules on Rust source: lengths, marks of unfinished work, names that mean nothing, files that nothing compiles, purity of codecs.

use super::{Files, Finding};

/// Longest file, in lines, its tests apart.
const FILE_LINES_MAX: usize = 800;
/// Longest function, in lines of code: comments and blank lines are free, since they say why, and so is what an arm only lists.
const FUNCTION_LINES_MAX: usize = 70;

/// Names under which anything could stand, so that nobody knows what does.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "core", "helper", "helpers", "manager", "misc"];

/// Code that says "later".
const UNFINISHED_CODE: &[&str] = &["todo!", "unimplemented!"];
/// Comments that say "later".
const UNFINISHED_COMMENTS: &[&str] = &["FIXME", "XXX", "TODO"];

/// Where no clock is asked and no file or socket opened: whole pure rooms, and every codec.
const PURE_FOLDERS: &[&str] =
    &["crates/access/src/", "crates/sql/src/", "crates/scope/src/", "crates/masking/src/"];
const IMPURE_CODE: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "OffsetDateTime::now",
    "std::fs",
    "File::open",
    "TcpStream",
    "UdpSocket",
    "tokio::",
];

/// Check every Rust file, and the names of all files.
pub(super) fn findings(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files {
        findings.extend(empty_name(path));
        if path.ends_with(".rs") {
            findings.extend(rust(path, text));
            findings.extend(left_out(path, files));
        }
    }
    findings
}

/// A file that no module names is not compiled: tests in it are never run, and nothing says so.
fn left_out(path: &str, files: &Files) -> Option<Finding> {
    let within = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs"))?;
    let (folder, name) = within.rsplit_once('/')?;
    let is_root = matches!(name, "lib" | "main") || folder.ends_with("/src/bin");
    if is_root || !folder.split('/').any(|part| part == "src") {
        return None;
    }
    let above = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].map(|end| format!("{folder}{end}"));
    let declares = |line: &str| {
        let declared = line.trim_end().strip_suffix(';').and_then(|line| line.strip_suffix(name));
        declared.is_some_and(|before| before.ends_with("mod "))
    };
    let named = |(path, text): &(String, String)| above.contains(path) && text.lines().any(declares);
    let message = format!("no module above says `mod {name};`, so that it is not compiled");
    (!files.iter().any(named)).then(|| Finding::new(path, 0, message))
}

fn empty_name(path: &str) -> Option<Finding> {
    let parts = path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let found = parts.into_iter().find(|part| EMPTY_NAMES.contains(part))?;
    Some(Finding::new(path, 0, format!("`{found}` says nothing: name it after what it does")))
}

fn rust(path: &str, text: &str) -> Vec<Finding> {
    let blanked = Blanked::of(text);
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(blanked.code.lines()) {
        for mark in UNFINISHED_CODE.iter().filter(|mark| line.contains(**mark)) {
            findings.push(Finding::new(path, number, format!("unfinished: `{mark}`")));
        }
    }
    for (number, line) in (1..).zip(blanked.comments.lines()) {
        for mark in UNFINISHED_COMMENTS.iter().filter(|mark| has_word(line, mark)) {
            findings.push(Finding::new(path, number, format!("unfinished: `{mark}`")));
        }
    }
    if is_test_file(path) {
        return findings;
    }
    let code = without_tests(&blanked.code);
    let lines = text.lines().count()
        - (blanked.code.lines().count() - code.lines().filter(|line| *line != REMOVED).count());
    if lines > FILE_LINES_MAX {
        findings.push(Finding::new(
            path,
            0,
            format!("file has {lines} lines without its tests, more than {FILE_LINES_MAX}"),
        ));
    }
    for (number, name, lines) in functions(&code) {
        if lines > FUNCTION_LINES_MAX {
            let message =
                format!("function `{name}` has {lines} lines of code, more than {FUNCTION_LINES_MAX}");
            findings.push(Finding::new(path, number, message));
        }
    }
    let is_codec =
        path.starts_with("protocols/") && (path.contains("/codec/") || path.ends_with("/codec.rs"));
    if is_codec || PURE_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        for (number, line) in (1..).zip(code.lines()) {
            for mark in IMPURE_CODE.iter().filter(|mark| line.contains(**mark)) {
                findings.push(Finding::new(path, number, format!("`{mark}` in a pure room")));
            }
        }
    }
    findings
}

/// Files that are tests from the first line to the last, and examples (benches).
fn is_test_file(path: &str) -> bool {
    let in_folder = path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples" | "fuzz"));
    in_folder || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|character: char| !character.is_alphanumeric() && character != '-' && character != '_')
        .any(|part| part == word)
}

/// Source as two texts of the same shape: one with only code, one with only comments; all else is spaces.
struct Blanked {
    /// Comments and the insides of strings and characters are spaces.
    code: String,
    comments: String,
}

/// What the reader of source is inside of.
#[derive(Clone, Copy)]
enum Inside {
    Code,
    LineComment,
    /// Depth, since block comments nest.
    BlockComment(usize),
    Text,
    /// Number of `#` that close it.
    RawText(usize),
}

impl Blanked {
    fn of(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let mut this = Self { code: String::new(), comments: String::new() };
        let mut inside = Inside::Code;
        let mut rest = characters.as_slice();
        while !rest.is_empty() {
            let (next, taken) = this.step(inside, rest);
            inside = next;
            rest = rest.get(taken..).unwrap_or_default();
        }
        this
    }

    /// Take what begins here: what comes after it, and how many characters it was.
    fn step(&mut self, inside: Inside, rest: &[char]) -> (Inside, usize) {
        match (inside, rest) {
            (Inside::Code, ['/', '/', ..]) => self.comment(Inside::LineComment, rest, 2),
            (Inside::Code, ['/', '*', ..]) => self.comment(Inside::BlockComment(1), rest, 2),
            (Inside::Code, ['"', ..]) => self.code(Inside::Text, rest, 1),
            (Inside::Code, ['r', tail @ ..]) if raw_hashes(tail).is_some() && !self.ends_in_name() => {
                let hashes = raw_hashes(tail).unwrap_or(0);
                self.code(Inside::RawText(hashes), rest, hashes + 2)
            }
            (Inside::Code, ['\'', '\\', _, tail @ ..]) => {
                let length = tail.iter().position(|character| *character == '\'').unwrap_or(0);
                self.blank(Inside::Code, rest, length + 4)
            }
            (Inside::Code, ['\'', _, '\'', ..]) => self.blank(Inside::Code, rest, 3),
            (Inside::Code, _) => self.code(Inside::Code, rest, 1),
            (Inside::LineComment, ['\n', ..]) => self.code(Inside::Code, rest, 1),
            (Inside::LineComment, _) => self.comment(inside, rest, 1),
            (Inside::BlockComment(depth), ['/', '*', ..]) => {
                self.comment(Inside::BlockComment(depth + 1), rest, 2)
            }
            (Inside::BlockComment(1), ['*', '/', ..]) => self.comment(Inside::Code, rest, 2),
            (Inside::BlockComment(depth), ['*', '/', ..]) => {
                self.comment(Inside::BlockComment(depth - 1), rest, 2)
            }
            (Inside::BlockComment(_), _) => self.comment(inside, rest, 1),
            (Inside::Text, ['\\', _, ..]) => self.blank(inside, rest, 2),
            (Inside::Text, ['"', ..]) => self.code(Inside::Code, rest, 1),
            (Inside::Text, _) => self.blank(inside, rest, 1),
            (Inside::RawText(hashes), ['"', tail @ ..])
                if tail.iter().take_while(|character| **character == '#').count() >= hashes =>
            {
                self.code(Inside::Code, rest, hashes + 1)
            }
            (Inside::RawText(_), _) => self.blank(inside, rest, 1),
        }
    }

    /// Whether an `r` here would belong to a longer name rather than begin a raw string.
    fn ends_in_name(&self) -> bool {
        self.code.ends_with(|last: char| last.is_alphanumeric() && last != 'b' && last != 'c' || last == '_')
    }

    fn code(&mut self, next: Inside, rest: &[char], count: usize) -> (Inside, usize) {
        self.put(rest, count, true, false);
        (next, count)
    }

    fn comment(&mut self, next: Inside, rest: &[char], count: usize) -> (Inside, usize) {
        self.put(rest, count, false, true);
        (next, count)
    }

    fn blank(&mut self, next: Inside, rest: &[char], count: usize) -> (Inside, usize) {
        self.put(rest, count, false, false);
        (next, count)
    }

    fn put(&mut self, rest: &[char], count: usize, in_code: bool, in_comments: bool) {
        for character in rest.iter().take(count) {
            let or_space = |shown: bool| if shown || *character == '\n' { *character } else { ' ' };
            self.code.push(or_space(in_code));
            self.comments.push(or_space(in_comments));
        }
    }
}

/// After an `r`: the number of `#` of a raw string that begins here.
fn raw_hashes(tail: &[char]) -> Option<usize> {
    let hashes = tail.iter().take_while(|character| **character == '#').count();
    (tail.get(hashes) == Some(&'"')).then_some(hashes)
}

/// Stands for a line of a test module, so that line numbers stay.
const REMOVED: &str = "\u{0}";

/// Replace every `#[cfg(test)] mod ... { ... }` by [`REMOVED`] lines.
fn without_tests(code: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        let is_module = line.trim() == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.trim_start().starts_with("mod ") && next.contains('{'));
        if !is_module {
            kept.push(line);
            continue;
        }
        kept.push(REMOVED);
        let mut depth = 0_usize;
        for inner in lines.by_ref() {
            kept.push(REMOVED);
            depth += inner.matches('{').count();
            depth = depth.saturating_sub(inner.matches('}').count());
            if depth == 0 {
                break;
            }
        }
    }
    kept.join("\n")
}

/// Each function with a body: line, name, lines of code from its signature to its closing brace.
fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        if let Some(length) = body_length(lines.get(index..).unwrap_or_default()) {
            found.push((index + 1, name.to_owned(), length));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "const", "async", "unsafe", "extern", "default"];
    let is_start = before
        .split_whitespace()
        .all(|word| words.iter().any(|known| word.starts_with(known)) || word.starts_with("\""));
    let end = after.find(|character: char| !character.is_alphanumeric() && character != '_')?;
    let name = after.get(..end)?;
    (is_start && !name.is_empty()).then_some(name)
}

/// One more name that an arm of a match lists, and nothing else: whoever matches without a default arm pays for each kind with a
/// line that nobody has to think about.
fn is_further_pattern(line: &str) -> bool {
    let pattern = line.trim().strip_prefix("| ").and_then(|rest| rest.strip_suffix("(_)"));
    pattern.is_some_and(|path| path.chars().all(|c| c.is_alphanumeric() || c == ':'))
}

/// Lines of code until the braces of the function that begins on the first line close; none without a body.
fn body_length(lines: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    let mut opened = false;
    let mut length = 0;
    for line in lines {
        length += usize::from(!line.trim().is_empty() && !is_further_pattern(line));
        for character in line.chars() {
            match character {
                '{' => {
                    depth += 1;
                    opened = true;
                }
                '}' => depth = depth.saturating_sub(1),
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if !opened && brackets == 0 => return None,
                _ => {}
            }
        }
        if opened && depth == 0 {
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        rust(path, text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn strings_and_comments_are_told_from_code() {
        let blanked = Blanked::of(
            "let a = \"{ \\\" // {\"; // b }\nlet c = r#\"x \" {\"#; /* d /* e */ } */ f('{', '\\'', 'g)",
        );
        assert_eq!(blanked.code.matches('{').count(), 0);
        assert_eq!(blanked.code.matches('}').count(), 0);
        assert!(blanked.code.contains("let c = r#\""));
        assert!(blanked.code.contains("'g)"), "a lifetime is no character: {}", blanked.code);
        assert!(blanked.comments.contains("// b }"));
        assert!(blanked.comments.contains("d /* e */ }"));
        assert!(!blanked.comments.contains("let"));
    }

    #[test]
    fn a_long_function_is_found_and_its_comments_are_free() {
        let body = |code: usize, comments: usize| {
            format!(
                "impl A {{\n    pub(crate) async fn f(a: [u8; 3]) {{\n{}{}    }}\n}}\n",
                "        g();\n".repeat(code),
                "        // why\n\n".repeat(comments)
            )
        };
        assert_eq!(messages("crates/a/src/b.rs", &body(68, 50)), Vec::<String>::new());
        assert_eq!(
            messages("crates/a/src/b.rs", &body(69, 0)),
            ["crates/a/src/b.rs:2: function `f` has 71 lines of code, more than 70"]
        );
        assert_eq!(messages("tests/tests/b.rs", &body(69, 0)), Vec::<String>::new());
        let in_tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", body(69, 0));
        assert_eq!(messages("crates/a/src/b.rs", &in_tests), Vec::<String>::new());
    }

    #[test]
    fn what_an_arm_lists_is_free() {
        let listed = "            | Body::Gap(_)\n".repeat(90);
        let code = format!(
            "fn f() {{\n    match a {{\n        Body::A(_)\n{listed}            => b(),\n    }}\n}}\n"
        );
        assert_eq!(functions(&code), [(1, "f".to_owned(), 6)]);
        assert!(!is_further_pattern("| Body::Gap(gap) => drop(gap),"));
    }

    #[test]
    fn a_declaration_has_no_body() {
        let code = "trait T {\n    fn f(a: [u8; 2]) -> u8;\n    fn g() {\n        h();\n    }\n}\n";
        assert_eq!(functions(code), [(3, "g".to_owned(), 3)]);
    }

    #[test]
    fn a_long_file_is_found_without_its_tests() {
        let lines = |code: usize, tests: usize| {
            format!(
                "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
                "use a;\n".repeat(code),
                "    use b;\n".repeat(tests)
            )
        };
        assert_eq!(messages("crates/a/src/b.rs", &lines(800, 900)), Vec::<String>::new());
        assert_eq!(
            messages("crates/a/src/b.rs", &lines(801, 1)),
            ["crates/a/src/b.rs: file has 801 lines without its tests, more than 800"]
        );
    }

    #[test]
    fn unfinished_work_is_found_where_it_stands() {
        // Written in pieces, so that this file does not find itself.
        let text =
            format!("fn f() {{\n    {}!()\n}}\n// {}: later\nlet a = \"{}\";\n", "todo", "FIXME", "XXX");
        assert_eq!(messages("a.rs", &text), ["a.rs:2: unfinished: `todo!`", "a.rs:4: unfinished: `FIXME`"]);
        assert_eq!(messages("a.rs", "// shown as XXX-XX-1234\n"), Vec::<String>::new());
    }

    #[test]
    fn empty_names_are_found() {
        let files = vec![
            ("crates/core/src/lib.rs".to_owned(), "mod utils;\n".to_owned()),
            ("crates/core/src/utils.rs".to_owned(), String::new()),
        ];
        assert_eq!(findings(&files).len(), 2);
        assert!(empty_name("crates/score/src/corelation.rs").is_none());
    }

    #[test]
    fn a_file_that_nothing_compiles_is_found() {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let files = vec![
            file("crates/a/src/lib.rs", "pub(crate) mod b;\nmod other_c;\n"),
            file("crates/a/src/b.rs", "#[cfg(test)]\nmod tests;\n"),
            file("crates/a/src/b/tests.rs", ""),
            file("crates/a/src/b/lost.rs", ""),
            file("crates/a/src/c.rs", ""),
            file("crates/a/src/c/tests/mod.rs", ""),
            file("crates/a/src/bin/program.rs", ""),
            file("crates/a/tests/whole.rs", ""),
            file("crates/a/build.rs", ""),
        ];
        let found: Vec<_> = findings(&files).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["crates/a/src/b/lost.rs", "crates/a/src/c.rs", "crates/a/src/c/tests/mod.rs"]);
    }

    #[test]
    fn a_codec_asks_no_clock() {
        let text = "fn f() {\n    Instant::now();\n}\n";
        let found = ["protocols/postgres/src/codec/frame.rs:2: `Instant::now` in a pure room"];
        assert_eq!(messages("protocols/postgres/src/codec/frame.rs", text), found);
        assert_eq!(messages("protocols/postgres/src/client.rs", text), Vec::<String>::new());
    }
}
