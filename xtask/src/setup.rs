//! `cargo xtask setup`: what the machine must have, found by looking, installed where we may.

use std::path::Path;

use chaperone_tests::{is_root, postgres_programs};

use crate::failure::Failure;
use crate::{fuzz, run};

/// What the machine is made ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// The demonstration: build, run a private PostgreSQL, call it with `psql`.
    Demonstration,
    /// Every test: other people's drivers and verifiers too.
    Testing,
    /// The figures: the proxies we are compared with, and who vouches for those who call tools.
    Benchmark,
    /// Two databases that must not be told apart: a driver, and a generator of statements.
    Worlds,
}

/// One thing that must be there, and the Debian packages that bring it.
struct Need {
    what: &'static str,
    packages: &'static [&'static str],
    is_there: fn() -> bool,
}

const BUILD: &[Need] = &[
    // bindgen (pg_query) loads the library and reads the compiler's own headers; these live in two packages.
    Need { what: "libclang", packages: &["libclang-dev"], is_there: has_libclang },
    Need {
        what: "a C compiler",
        packages: &["gcc", "g++", "libc6-dev", "make"],
        is_there: || on_path("cc") && on_path("make"),
    },
    Need {
        what: "PostgreSQL's server programs",
        packages: &["postgresql"],
        is_there: || postgres_programs().is_ok(),
    },
    Need {
        what: "psql and pgbench",
        packages: &["postgresql-client", "postgresql-contrib"],
        is_there: || on_path("psql"),
    },
];

/// What other people's MCP servers run on.
const NODE: Need = Need {
    what: "Node.js and npm",
    packages: &["nodejs", "npm"],
    is_there: || on_path("node") && on_path("npm"),
};

/// What keeps hosted servers and commands apart from everything else.
const BUBBLEWRAP: Need =
    Need { what: "bubblewrap", packages: &["bubblewrap"], is_there: || on_path("bwrap") };

const CURL: Need = Need { what: "curl", packages: &["curl"], is_there: || on_path("curl") };

const TEST: &[Need] = &[
    NODE,
    BUBBLEWRAP,
    CURL,
    Need { what: "openssl", packages: &["openssl"], is_there: || on_path("openssl") },
    Need { what: "Go", packages: &["golang-go"], is_there: || on_path("go") },
    Need {
        what: "Go's transparency-log library",
        packages: &["golang-golang-x-mod-dev"],
        is_there: || Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog").exists(),
    },
    Need { what: "a Java compiler", packages: &["default-jdk-headless"], is_there: || on_path("javac") },
    Need {
        what: "PostgreSQL's JDBC driver",
        packages: &["libpostgresql-jdbc-java"],
        is_there: || Path::new("/usr/share/java/postgresql.jar").exists(),
    },
    Need {
        what: "a Secret Service and a session bus",
        packages: &["gnome-keyring", "dbus-daemon"],
        is_there: || on_path("gnome-keyring-daemon") && on_path("dbus-run-session"),
    },
];

const PYTHON: Need = Need {
    what: "Python with venv",
    packages: &["python3", "python3-venv"],
    is_there: || run::succeeds(&["python3", "-c", "import venv, ensurepip"]),
};

const WORLDS: &[Need] =
    &[PYTHON, Need { what: "SQLsmith", packages: &["sqlsmith"], is_there: || on_path("sqlsmith") }];

const BENCHMARK: &[Need] = &[
    PYTHON,
    NODE,
    BUBBLEWRAP,
    CURL,
    Need { what: "haproxy", packages: &["haproxy"], is_there: || on_path("haproxy") },
    Need { what: "pgbouncer", packages: &["pgbouncer"], is_there: || on_path("pgbouncer") },
];

/// Find what is missing and install it (as root), or say which line to run.
///
/// # Errors
/// Something is missing and could not be installed: exit code 2, with the line to run.
pub(crate) fn setup(purpose: For) -> Result<(), Failure> {
    let needs: Vec<&Need> = match purpose {
        For::Demonstration => BUILD.iter().chain([&NODE, &BUBBLEWRAP, &CURL]).collect(),
        For::Testing => BUILD.iter().chain(TEST).chain(WORLDS).collect(),
        For::Worlds => BUILD.iter().chain(WORLDS).collect(),
        For::Benchmark => BUILD.iter().chain(BENCHMARK).collect(),
    };
    packages(&needs)?;
    if matches!(purpose, For::Demonstration | For::Testing) {
        demonstrated();
    }
    if matches!(purpose, For::Testing | For::Worlds) {
        python_drivers()?;
    }
    if purpose == For::Benchmark {
        issuer()?;
    }
    if purpose == For::Testing {
        nextest()?;
        node_drivers()?;
        issuer()?;
        mcp_clients()?;
        players()?;
        mcp_servers()?;
        rust_drivers()?;
        fuzzer()?;
    }
    Ok(())
}

fn packages(needs: &[&Need]) -> Result<(), Failure> {
    let missing: Vec<&&Need> = needs.iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    let what: Vec<&str> = missing.iter().map(|need| need.what).collect();
    eprintln!("note: missing: {}", what.join(", "));
    let install = [["apt-get", "install", "-y", "--no-install-recommends"].as_slice(), &names].concat();
    if !on_path("apt-get") || !is_root() {
        let line = format!("sudo apt-get update && sudo {}", install.join(" "));
        return Err(Failure::usage(format!("packages are missing\nhint: run `{line}`")));
    }
    run::show(run::command(&["apt-get", "update"]))?;
    let mut command = run::command(&install);
    // Debian's postgresql makes and starts a cluster of its own on installation: we neither use nor want it.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("PG_CREATE_MAIN_CLUSTER", "false");
    run::show(command)?;
    match missing.iter().find(|need| !(need.is_there)()) {
        None => Ok(()),
        Some(need) => Err(Failure::usage(format!(
            "{} is still not found after installing {}\nhint: install it by hand and run this again",
            need.what,
            need.packages.join(", ")
        ))),
    }
}

fn nextest() -> Result<(), Failure> {
    if run::succeeds(&["cargo", "nextest", "--version"]) {
        return Ok(());
    }
    run::show(run::command(&["cargo", "install", "cargo-nextest", "--locked"]))
}

/// Fuzzing needs the nightly toolchain, which is not ours to install; where it is, cargo-fuzz is only a step away.
fn fuzzer() -> Result<(), Failure> {
    if !fuzz::has_nightly() || fuzz::missing().is_none() {
        return Ok(());
    }
    run::show(run::command(&["cargo", "install", "cargo-fuzz", "--locked"]))
}

/// tokio-postgres and sqlx, as their lock file says, in a target folder of their own.
fn rust_drivers() -> Result<(), Failure> {
    let mut command = run::command(&["cargo", "build", "--quiet", "--locked"]);
    command.current_dir(run::root().join("tests/drivers/rust"));
    command.arg("--target-dir").arg(run::target_dir().join("drivers/rust"));
    run::show(command)
}

/// The Python drivers, pinned, in an environment of their own under the target folder.
fn python_drivers() -> Result<(), Failure> {
    python_packages(&run::root().join("tests/drivers"), &run::target_dir().join("drivers/python"))
}

/// Other people's MCP clients, in Python and for Node.
fn mcp_clients() -> Result<(), Failure> {
    let (pins, home) = (run::root().join("tests/mcp"), run::target_dir().join("mcp"));
    python_packages(&pins, &home.join("python"))?;
    node_packages(&pins, &home.join("node"), &[])
}

/// What plays transcripts that were exported.
fn players() -> Result<(), Failure> {
    python_packages(&run::root().join("tests/command"), &run::target_dir().join("command/python"))
}

/// Other people's MCP servers, which an agent hosts.
fn mcp_servers() -> Result<(), Failure> {
    let (pins, home) = (run::root().join("tests/servers"), run::target_dir().join("servers"));
    python_packages(&pins, &home.join("python"))?;
    // What is optional there are the drivers of six other databases.
    node_packages(&pins, &home.join("node"), &["--omit=optional"])
}

/// The server of others that the demonstration puts behind its gateway, and the OpenID provider that vouches for whoever
/// uses it. It goes without where npm's registry is out of reach.
fn demonstrated() {
    let pins = run::root().join("demo/server");
    let installed = issuer().and_then(|()| node_packages(&pins, &run::target_dir().join("demo/node"), &[]));
    if let Err(error) = installed {
        eprintln!("note: no MCP server of others for the demonstration: {error}");
    }
}

/// What the requirements of `pins` say, into an environment in `home`.
fn python_packages(pins: &Path, home: &Path) -> Result<(), Failure> {
    installed_once(&pins.join("requirements.txt"), home, |pins, home| {
        run::show(run::command(&["python3", "-m", "venv", "--clear", home]))?;
        let pip = format!("{home}/bin/pip");
        run::show(run::command(&[
            &pip,
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
            pins,
        ]))
    })
}

/// node-postgres, as its lock file says, under the target folder.
fn node_drivers() -> Result<(), Failure> {
    node_packages(&run::root().join("tests/drivers"), &run::target_dir().join("drivers/node"), &[])
}

/// The OpenID provider that the tests log in with.
fn issuer() -> Result<(), Failure> {
    node_packages(&run::root().join("tests/oidc"), &run::target_dir().join("oidc"), &[])
}

/// What the lock file of `pins` says, into `home`.
fn node_packages(pins: &Path, home: &Path, more: &[&str]) -> Result<(), Failure> {
    installed_once(&pins.join("package-lock.json"), home, |_, home| {
        for file in ["package.json", "package-lock.json"] {
            let from = pins.join(file);
            std::fs::copy(&from, Path::new(home).join(file))
                .map_err(|error| Failure::new(format!("cannot copy `{}`: {error}", from.display())))?;
        }
        let mut command =
            run::command(&["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        command.args(more).current_dir(home);
        run::show(command)
    })
}

/// Run `install(pins, home)` unless the last installation there was made from these very pins.
fn installed_once(
    pins: &Path,
    home: &Path,
    install: impl FnOnce(&str, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let cannot = |path: &Path, error: std::io::Error| {
        Failure::new(format!("cannot use `{}`: {error}", path.display()))
    };
    let wanted = std::fs::read(pins).map_err(|error| cannot(pins, error))?;
    let stamp = home.join(".installed-from");
    if std::fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    std::fs::create_dir_all(home).map_err(|error| cannot(home, error))?;
    install(&pins.to_string_lossy(), &home.to_string_lossy())?;
    // Last, so that an interrupted installation is made again.
    std::fs::write(&stamp, wanted).map_err(|error| cannot(&stamp, error))
}

fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let folders = ["/usr/lib/llvm-", "/usr/lib64/llvm-"];
    let versions = 11..=30;
    versions.into_iter().any(|version| {
        folders.iter().any(|folder| {
            let lib = format!("{folder}{version}/lib");
            let headers = format!("{lib}/clang");
            Path::new(&lib).join("libclang.so.1").exists() && Path::new(&headers).exists()
        })
    })
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    // Debian keeps daemons where only root's PATH looks.
    folders.push("/usr/sbin".into());
    folders.iter().any(|folder| folder.join(program).is_file())
}
