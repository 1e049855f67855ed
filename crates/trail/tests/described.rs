//! The reference of entries says what the declaration of the kinds says.

use std::path::Path;

/// The table of kinds, written from their declaration: a documentation line belongs to what follows it.
fn described(declaration: &str) -> String {
    let kinds = declaration.split_once("\nkinds! {\n").map(|(_, kinds)| kinds).unwrap_or_default();
    let (mut out, mut said) = (String::new(), Vec::new());
    for line in kinds.lines().take_while(|line| *line != "}").map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            said.push(text.trim());
        } else if let Some((_, kind)) = line.strip_suffix("\" {").and_then(|line| line.split_once(" = \"")) {
            out +=
                &format!("\n## {kind}\n\n{}\n\n| field | type | meaning |\n|---|---|---|\n", said.join(" "));
            said.clear();
        } else if let Some((field, kind)) = line.strip_suffix(',').and_then(|line| line.split_once(": ")) {
            out += &format!("| `{field}` | {kind} | {} |\n", said.join(" "));
            said.clear();
        }
    }
    out
}

#[test]
fn every_kind_and_field_is_described() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = here.join("../../docs/reference/entries.md");
    let written = described(&std::fs::read_to_string(here.join("src/entry/kinds.rs")).unwrap());
    let there = std::fs::read_to_string(&path).unwrap();
    let (begins, ends) = (there.find("\n## ").unwrap(), there.find("\n## What the reports").unwrap());
    if std::env::var_os("CHAPERONE_BLESS").is_some() {
        std::fs::write(&path, format!("{}{written}{}", &there[..begins], &there[ends..])).unwrap();
        return;
    }
    assert_eq!(
        there[begins..ends],
        written,
        "run the test once with CHAPERONE_BLESS=1 and review the difference"
    );
    for kind in chaperone_trail::Kind::ALL {
        assert!(written.contains(&format!("\n## {}\n", kind.as_str())), "{}", kind.as_str());
    }
}
