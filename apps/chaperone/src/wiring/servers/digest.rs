//! What a server's launch comes to, as one digest: the record says what was run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

/// Files below `tree`.
const FILES_MAX: usize = 100_000;
/// Folders within folders below `tree`.
const DEPTH_MAX: usize = 64;

/// SHA-256 over the launch line, the variables and files as they are declared, the content of every file that the line
/// names, and that of every file below `tree`. In lower-case hexadecimal.
///
/// What is hashed can be read in one way only: four lists, each with its number of items before it; each item's parts with
/// their lengths before them; and a byte before what may be there or not.
pub(super) fn of(
    command: &[String],
    environment: &BTreeMap<String, String>,
    files: &BTreeMap<String, String>,
    tree: Option<&Path>,
) -> Result<String, String> {
    let mut context = Context::new(&SHA256);
    number(&mut context, command.len());
    for word in command {
        part(&mut context, word.as_bytes());
        let file = Path::new(word);
        let is_file = file.is_absolute() && file.is_file();
        context.update(&[u8::from(is_file)]);
        if is_file {
            content(&mut context, file)?;
        }
    }
    for declared in [environment, files] {
        number(&mut context, declared.len());
        for (name, value) in declared {
            part(&mut context, name.as_bytes());
            part(&mut context, value.as_bytes());
        }
    }
    context.update(&[u8::from(tree.is_some())]);
    if let Some(tree) = tree {
        let mut found = Vec::new();
        below(tree, 0, &mut found)?;
        found.sort();
        number(&mut context, found.len());
        for file in found {
            let name = file.strip_prefix(tree).unwrap_or(&file);
            part(&mut context, name.as_os_str().as_encoded_bytes());
            content(&mut context, &file)?;
        }
    }
    Ok(hex::encode(context.finish()))
}

fn number(context: &mut Context, number: usize) {
    context.update(&(number as u64).to_be_bytes());
}

pub(super) fn part(context: &mut Context, bytes: &[u8]) {
    number(context, bytes.len());
    context.update(bytes);
}

fn unread(file: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("cannot read `{}`: {error}", file.display())
}

pub(super) fn content(context: &mut Context, file: &Path) -> Result<(), String> {
    let mut open = File::open(file).map_err(unread(file))?;
    // Of one length, whatever the file's: it may grow while it is read.
    let mut inner = Context::new(&SHA256);
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = open.read(&mut piece).map_err(unread(file))?;
        match piece.get(..length) {
            None | Some([]) => break,
            Some(read) => inner.update(read),
        }
    }
    context.update(inner.finish().as_ref());
    Ok(())
}

/// Every file below a folder. A link counts as what it leads to, unless that is a folder: circles end.
fn below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("`{}` is deeper than {DEPTH_MAX} folders", folder.display()));
    }
    for entry in std::fs::read_dir(folder).map_err(unread(folder))? {
        let entry = entry.map_err(unread(folder))?;
        let (kind, path) = (entry.file_type().map_err(unread(folder))?, entry.path());
        if kind.is_dir() {
            below(&path, depth + 1, found)?;
        } else if path.is_file() {
            if found.len() >= FILES_MAX {
                return Err(format!("`tree` has more than {FILES_MAX} files"));
            }
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_launched_counts() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("server.js");
        let inner = folder.path().join("modules");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(&script, "one").unwrap();
        std::fs::write(inner.join("a.js"), "a").unwrap();
        let digest = |words: &[&str], tree: bool| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            of(&words, &BTreeMap::new(), &BTreeMap::new(), tree.then_some(folder.path())).unwrap()
        };
        let path = script.to_str().unwrap();
        let first = digest(&[path], true);
        assert_eq!(first, digest(&[path], true));
        assert_ne!(first, digest(&[path, ""], true));
        std::fs::write(inner.join("a.js"), "b").unwrap();
        let second = digest(&[path], true);
        assert_ne!(first, second);
        let line = digest(&[path], false);
        std::fs::write(&script, "two").unwrap();
        assert_ne!(line, digest(&[path], false));
        std::fs::rename(inner.join("a.js"), inner.join("b.js")).unwrap();
        assert_ne!(second, digest(&[path], true));
    }

    #[test]
    fn no_two_launches_have_one_digest() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let pairs = |pairs: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            pairs.iter().map(pair).collect::<BTreeMap<_, _>>()
        };
        let empty = tempfile::tempdir().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let none: &[(&str, &str)] = &[];
        for (command, environment, files, tree) in [
            (&["x", "A", "b"][..], none, none, None),
            (&["x"], &[("A", "b")], none, None),
            (&["x"], none, &[("A", "b")], None),
            (&["x", "A"], none, &[("b", "")], None),
            (&["x"], &[("A", "b"), ("c", "d")], none, None),
            (&["x"], &[("A", "b")], &[("c", "d")], None),
            (&["x"], none, none, None),
            (&["x"], none, none, Some(empty.path())),
        ] {
            let digest = of(&words(command), &pairs(environment), &pairs(files), tree).unwrap();
            assert!(seen.insert(digest), "{command:?} {environment:?} {files:?} {tree:?}");
        }
        // A file's content is not what stands after its name.
        let file = empty.path().join("f");
        std::fs::write(&file, "content").unwrap();
        let path = file.to_str().unwrap();
        let whole = of(&words(&["x", path]), &pairs(none), &pairs(none), None).unwrap();
        std::fs::remove_file(&file).unwrap();
        let gone = of(&words(&["x", path]), &pairs(none), &pairs(none), None).unwrap();
        assert_ne!(whole, gone);
    }
}
