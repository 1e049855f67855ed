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
pub(super) fn of(
    command: &[String],
    environment: &BTreeMap<String, String>,
    files: &BTreeMap<String, String>,
    tree: Option<&Path>,
) -> Result<String, String> {
    let mut context = Context::new(&SHA256);
    for word in command {
        part(&mut context, word.as_bytes());
        let file = Path::new(word);
        if file.is_absolute() && file.is_file() {
            content(&mut context, file)?;
        }
    }
    for (name, value) in environment.iter().chain(files) {
        part(&mut context, name.as_bytes());
        part(&mut context, value.as_bytes());
    }
    if let Some(tree) = tree {
        let mut found = Vec::new();
        below(tree, 0, &mut found)?;
        found.sort();
        for file in found {
            let name = file.strip_prefix(tree).unwrap_or(&file);
            part(&mut context, name.as_os_str().as_encoded_bytes());
            content(&mut context, &file)?;
        }
    }
    Ok(hex::encode(context.finish()))
}

fn part(context: &mut Context, bytes: &[u8]) {
    context.update(&(bytes.len() as u64).to_be_bytes());
    context.update(bytes);
}

fn unread(file: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("cannot read `{}`: {error}", file.display())
}

fn content(context: &mut Context, file: &Path) -> Result<(), String> {
    let mut open = File::open(file).map_err(unread(file))?;
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
}
