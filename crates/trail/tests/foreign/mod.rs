//! The checker that shares no code with ours.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Build it in a folder; the program.
pub(crate) fn checker(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/foreign/go/main.go");
    let program = folder.join("foreign-check");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(source)
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", folder.join("cache"))
        .env("GOFLAGS", "")
        .output()
        .expect("apt-get install golang-go golang-golang-x-mod-dev");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}
