//! Rules on everything that is not code: manifests, pages, the glossary, what each protocol must bring.

use std::collections::BTreeSet;

use super::{Files, Finding};

/// More words than this nobody keeps in their head.
const GLOSSARY_WORDS_MAX: usize = 60;
const GLOSSARY: &str = "docs/GLOSSARY.md";

/// Paths of one machine or person, which mean nothing on another.
const MACHINE_PATHS: &[&str] = &["/root/", "/work/", "/home/", "/Users/"];

/// Check all rules on pages and manifests.
pub(super) fn findings(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let paths: BTreeSet<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    for (path, text) in files {
        // This file names what it looks for.
        if !path.starts_with("xtask/src/tidy/") {
            findings.extend(machine_paths(path, text));
        }
        // A package with a workspace of its own is none of ours.
        if path.ends_with("/Cargo.toml") && !text.lines().any(|line| line == "[workspace]") {
            findings.extend(manifest(path, text));
        }
        if path.ends_with(".md") {
            findings.extend(links(path, text, files, &paths));
        }
        if path == GLOSSARY {
            findings.extend(glossary(text));
        }
    }
    if !paths.contains(GLOSSARY) {
        findings.push(Finding::new(GLOSSARY, 0, "there is no glossary"));
    }
    findings.extend(protocols(&paths));
    findings
}

fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let lines = (1..).zip(text.lines());
    let found = lines.filter_map(|(number, line)| {
        let mark = MACHINE_PATHS.iter().find(|mark| {
            // `../work/x` and `https://host/home/` are no paths of a machine: it must begin the word.
            line.match_indices(**mark).any(|(at, _)| {
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                before.is_none_or(|before| !before.is_alphanumeric() && !"./}_-*$".contains(before))
            })
        })?;
        Some(Finding::new(path, number, format!("`{mark}` is a path of one machine")))
    });
    found.collect()
}

/// Every crate takes the workspace's lints and the workspace's dependencies: one version and one feature set each.
fn manifest(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut section = "";
    let mut has_lints = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[lints]" && line == "workspace = true" {
            has_lints = true;
        } else if section.ends_with("dependencies]") && !line.is_empty() && !line.starts_with('#') {
            let shared =
                line.ends_with(".workspace = true") || line.contains("workspace = true, optional = true");
            if !shared {
                findings.push(Finding::new(
                    path,
                    number,
                    "a dependency must be the workspace's: `name.workspace = true`",
                ));
            }
        }
    }
    if !has_lints {
        findings.push(Finding::new(
            path,
            0,
            "does not take the workspace's lints: `[lints] workspace = true`",
        ));
    }
    findings
}

/// Each protocol explains itself and is fuzzed.
fn protocols(paths: &BTreeSet<&str>) -> Vec<Finding> {
    let names: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| path.strip_prefix("protocols/")?.split_once('/').map(|(name, _)| name))
        .collect();
    let mut findings = Vec::new();
    for name in names {
        let folder = format!("protocols/{name}");
        if !paths.contains(format!("{folder}/README.md").as_str()) {
            findings.push(Finding::new(&folder, 0, "a protocol brings a README.md"));
        }
        let target = format!("fuzz/fuzz_targets/{name}_");
        if !paths.iter().any(|path| path.starts_with(&target)) {
            findings.push(Finding::new(
                &folder,
                0,
                format!("a protocol brings a fuzz target `{target}*.rs`"),
            ));
        }
    }
    findings
}

/// A word of the glossary has a row of its table: `| word | meaning |`.
fn glossary(text: &str) -> Option<Finding> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    // The head of the table is a row as well; the rule below it begins `|-`.
    let count = rows.count().saturating_sub(1);
    match count {
        0 => Some(Finding::new(GLOSSARY, 0, "no words found: each has a row, `| word | meaning |`")),
        1..=GLOSSARY_WORDS_MAX => None,
        _ => Some(Finding::new(GLOSSARY, 0, format!("{count} words, more than {GLOSSARY_WORDS_MAX}"))),
    }
}

/// Links inside the project lead to a file that is there, and to a heading of it.
fn links(path: &str, text: &str, files: &Files, paths: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in outside_code(text) {
        for link in targets(line) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let Some(file) = (if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) })
            else {
                findings.push(Finding::new(path, number, format!("link `{link}` leads out of the project")));
                continue;
            };
            let is_folder = paths.iter().any(|known| known.starts_with(&format!("{file}/")));
            if !paths.contains(file.as_str()) && !is_folder {
                findings.push(Finding::new(path, number, format!("link `{link}` leads nowhere")));
                continue;
            }
            let page = files.iter().find(|(known, _)| *known == file).map(|(_, page)| page.as_str());
            if !heading.is_empty()
                && file.ends_with(".md")
                && !page.is_some_and(|page| has_heading(page, heading))
            {
                findings.push(Finding::new(
                    path,
                    number,
                    format!("link `{link}` names no heading of `{file}`"),
                ));
            }
        }
    }
    findings
}

/// Numbered lines of a page that are not in a fenced block.
fn outside_code(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    });
    lines.collect()
}

/// What stands in `](...)` on a line, code spans left out.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((link, tail)) = after.split_once(')') else { break };
        if before.matches('`').count().is_multiple_of(2) {
            found.push(link.split_whitespace().next().unwrap_or_default());
        }
        rest = tail;
    }
    found
}

/// `from`'s folder joined with a relative link; none when it climbs out of the root.
fn resolve(from: &str, link: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Whether a page has the heading that forges turn into this anchor.
fn has_heading(page: &str, anchor: &str) -> bool {
    let headings = outside_code(page).into_iter().filter(|(_, line)| line.starts_with('#'));
    let mut slugs = headings.map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept =
            title.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
        kept.map(|character| if character == ' ' { '-' } else { character }).collect::<String>()
    });
    slugs.any(|slug| slug == anchor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    fn found(list: &[(&str, &str)]) -> Vec<String> {
        findings(&files(list)).iter().map(ToString::to_string).collect()
    }

    const WORDS: (&str, &str) =
        ("docs/GLOSSARY.md", "| word | meaning |\n|---|---|\n| trail | the record |\n");

    #[test]
    fn paths_of_a_machine_are_found() {
        let text = "cd /home/ana\nsee https://example.org/home/x\n\"/root/.ssh\"\n../work/x\n";
        let numbers: Vec<_> = machine_paths("a", text).into_iter().map(|finding| finding.line).collect();
        assert_eq!(numbers, [1, 3]);
    }

    #[test]
    fn links_lead_to_files_and_headings() {
        let page = "[a](b.md) [c](../README.md#what-it-is) [d](gone.md) [e](b.md#no) [f](https://example.org)\n\
                    `[g](gone.md)` [h](#own) [i](../../x)\n```\n[j](gone.md)\n```\n# Own\n";
        let list = [("docs/a.md", page), ("docs/b.md", "# B\n"), ("README.md", "## What *it* is\n"), WORDS];
        assert_eq!(
            found(&list),
            [
                "docs/a.md:1: link `gone.md` leads nowhere",
                "docs/a.md:1: link `b.md#no` names no heading of `docs/b.md`",
                "docs/a.md:2: link `../../x` leads out of the project",
            ]
        );
    }

    #[test]
    fn the_glossary_is_short() {
        assert_eq!(found(&[]), ["docs/GLOSSARY.md: there is no glossary"]);
        assert_eq!(found(&[WORDS]), Vec::<String>::new());
        let long = format!("{}{}", WORDS.1, "| word | meaning |\n".repeat(GLOSSARY_WORDS_MAX));
        assert_eq!(found(&[("docs/GLOSSARY.md", &long)]), ["docs/GLOSSARY.md: 61 words, more than 60"]);
        assert!(glossary("nothing here").is_some());
    }

    #[test]
    fn a_protocol_brings_its_readme_and_fuzz_target() {
        let bare = found(&[("protocols/ssh/src/lib.rs", ""), WORDS]);
        assert_eq!(bare.len(), 2, "{bare:?}");
        let whole = [
            ("protocols/ssh/src/lib.rs", ""),
            ("protocols/ssh/README.md", ""),
            ("fuzz/fuzz_targets/ssh_packet.rs", ""),
            WORDS,
        ];
        assert_eq!(found(&whole), Vec::<String>::new());
    }

    #[test]
    fn a_manifest_takes_what_the_workspace_says() {
        let good = "[lints]\nworkspace = true\n\n[dependencies]\na.workspace = true\n";
        assert_eq!(manifest("crates/a/Cargo.toml", good), Vec::new());
        let own = "[lints]\nworkspace = true\n[dev-dependencies]\na = \"1\"\nb = { workspace = true, features = [\"c\"] }\n";
        let lines: Vec<_> =
            manifest("crates/a/Cargo.toml", own).into_iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [4, 5]);
        assert_eq!(found(&[("crates/a/Cargo.toml", "[dependencies]\n"), WORDS]).len(), 1);
        assert_eq!(
            found(&[("fuzz/Cargo.toml", "[workspace]\n[dependencies]\na = \"1\"\n"), WORDS]),
            Vec::<String>::new()
        );
    }
}
