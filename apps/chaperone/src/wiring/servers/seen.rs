//! What of the machine a run behind walls sees beside the system's own programs: what its launch line is made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chaperone_command::walls::is_of_system;

/// Where npm puts what a program needs.
const NODE_MODULES: &str = "node_modules";
/// What stands in the folder of a Python environment of its own.
const VENV: &str = "pyvenv.cfg";

/// The files that a launch line names, each with what it was installed with, and what is declared.
pub(super) fn seen(command: &[String], declared: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let files = command.iter().map(Path::new).filter(|file| file.is_absolute() && file.is_file());
    for file in files {
        // What a link leads to was installed with something else.
        for file in [Some(file.to_owned()), file.canonicalize().ok()].into_iter().flatten() {
            installed_with(&file, &mut seen);
        }
    }
    seen.extend(declared);
    let within =
        |path: &&PathBuf| !is_of_system(path) && !path.ancestors().skip(1).any(|above| seen.contains(above));
    seen.iter().filter(within).cloned().collect()
}

fn installed_with(file: &Path, seen: &mut BTreeSet<PathBuf>) {
    let above = || file.ancestors().skip(1);
    let modules = above().filter(|folder| folder.file_name().is_some_and(|name| name == NODE_MODULES)).last();
    let environment = above().find(|folder| folder.join(VENV).is_file());
    if let Some(environment) = environment {
        seen.extend(python_of(&environment.join(VENV)));
    }
    seen.insert(modules.or(environment).unwrap_or(file).to_owned());
}

/// The Python that an environment was made with: the folder above that of its programs.
fn python_of(file: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(file).ok()?;
    let home = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"))?.1;
    let programs = Path::new(home.trim());
    programs.parent().filter(|above| above.is_absolute() && above.parent().is_some()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_seen_with_what_it_was_installed_with() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let put = |name: &str, text: &str| {
            let file = home.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
            file
        };
        let script = put("npm/node_modules/a/node_modules/b/index.js", "");
        let python = put("python/bin/python3", "");
        put("venv/pyvenv.cfg", &format!("version = 3.12\nhome = {}\n", python.parent().unwrap().display()));
        std::fs::create_dir(home.join("venv/bin")).unwrap();
        std::os::unix::fs::symlink(&python, home.join("venv/bin/python")).unwrap();
        let alone = put("alone/server.py", "");
        let sees = |words: &[&Path], more: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| word.display().to_string()).collect();
            let found = seen(&words, more.iter().map(|name| home.join(name)));
            let shown = found.iter().map(|path| path.strip_prefix(&home).unwrap().display().to_string());
            shown.collect::<Vec<_>>()
        };
        assert_eq!(sees(&[Path::new("/bin/sh"), &script], &[]), ["npm/node_modules"]);
        let venv = home.join("venv/bin/python");
        assert_eq!(sees(&[&venv], &[]), ["python", "venv"]);
        // A word that is no file, or no whole path, names nothing. What lies within another is seen with it.
        assert_eq!(sees(&[&alone, Path::new("--x"), Path::new("{url}")], &[]), ["alone/server.py"]);
        assert_eq!(sees(&[&alone], &["alone", "more"]), ["alone", "more"]);
    }
}
