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

/// What a run is shown holds nothing of the agent's own: neither its file, where secrets stand, nor its state, nor the folders
/// of other runs.
pub(super) fn check_shown(seen: &[PathBuf], own: &[PathBuf]) -> Result<(), String> {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let own: Vec<PathBuf> = own.iter().filter_map(|path| whole(path).ok()).collect();
    for path in seen {
        let shown = whole(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        if let Some(held) = own.iter().find(|own| own.starts_with(&shown)) {
            return Err(format!(
                "its runs would see `{}`, and in it `{}`, which is the agent's own (hint: name less in `read`, `tree` or \
                 `directory`, or install the server elsewhere)",
                path.display(),
                held.display()
            ));
        }
    }
    Ok(())
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

    #[test]
    fn nothing_of_the_agents_own_is_shown() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for folder in ["agent/state", "agent/node_modules", "other"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        std::fs::write(home.join("agent/agent.toml"), "").unwrap();
        std::os::unix::fs::symlink(home.join("agent"), home.join("link")).unwrap();
        let own = [home.join("link/agent.toml"), home.join("agent/state")];
        let check = |name: &str| check_shown(&[home.join("other"), home.join(name)], &own);
        for beside in ["other", "agent/node_modules", "link/node_modules"] {
            assert_eq!(check(beside), Ok(()));
        }
        for bad in ["agent", "link", "agent/agent.toml", "agent/state", "agent/node_modules/.."] {
            assert!(check(bad).unwrap_err().contains("the agent's own"), "{bad}");
        }
        assert!(check_shown(&[PathBuf::from("/")], &[home.join("none-yet")]).is_err());
    }
}
