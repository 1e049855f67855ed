//! From the agent to a target that wants TLS and a client certificate, and to one that is not who it should be.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::fs;
use std::path::Path;
use std::process::Command;

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, capture, is_root, private_folder,
};

const ENGINEER: Caller = Caller { subject: "dora", groups: &["engineers"], client: None };

/// An authority, a server certificate for `localhost` and a client certificate for the agent's login, made by openssl.
fn certificates(folder: &Path) {
    let script = r#"
        set -e
        for ca in ca other; do
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$ca" \
                -addext "keyUsage=critical,keyCertSign" -keyout $ca.key -out $ca.crt
        done
        sign() { # name, subject, extension
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout $1.key -out $1.csr
            printf '%s\n' "$3" > $1.ext
            openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile $1.ext -out $1.crt
        }
        sign server /CN=localhost "subjectAltName=DNS:localhost"
        sign client /CN=chaperone "extendedKeyUsage=clientAuth"
        chmod 600 *.key
    "#;
    fs::create_dir_all(folder).unwrap();
    capture(Command::new("sh").args(["-c", script]).current_dir(folder)).unwrap();
}

/// Let the database speak TLS only, and take nothing but a certificate from the agent's login.
fn harden(cluster: &Cluster, data: &Path, certificates: &Path) {
    for name in ["server.crt", "server.key", "ca.crt"] {
        fs::copy(certificates.join(name), data.join(name)).unwrap();
        capture(Command::new("chmod").arg("600").arg(data.join(name))).unwrap();
        if is_root() {
            capture(Command::new("chown").arg("postgres:postgres").arg(data.join(name))).unwrap();
        }
    }
    let rules = data.join("pg_hba.conf");
    let old = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("hostssl all chaperone all cert\nhost all chaperone all reject\n{old}"))
        .unwrap();
    for setting in ["ssl = on", "ssl_ca_file = 'ca.crt'"] {
        cluster.sql(&format!("alter system set {setting}")).unwrap();
    }
    cluster.sql("select pg_reload_conf()").unwrap();
}

#[test]
fn the_agent_logs_in_with_a_certificate_and_trusts_nobody_else() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let place = home.path().join("chaperone");
    let mut boundary = Boundary::start(&place, &cluster, Layout::new(AgentPlace::InProcess)).unwrap();
    let url = boundary.credential(&ENGINEER).unwrap();
    certificates(&place.join("tls"));
    harden(&cluster, &home.path().join("postgres/data"), &place.join("tls"));
    let config = place.join("agent.toml");
    let plain = fs::read_to_string(&config).unwrap();
    let ask = || {
        let mut psql = Command::new("psql");
        let statement = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
        let output = psql.args(["-X", "-q", "-A", "-t", "-d", &url, "-c", statement]).output().unwrap();
        (
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let with = |host: &str, roots: &str, more: &str| {
        let lines: Vec<&str> = plain.lines().filter(|line| !line.starts_with("tls =")).collect();
        let text = lines.join("\n").replace("\"127.0.0.1\"", &format!("\"{host}\""));
        fs::write(&config, format!("{text}\ntls = \"verify-full\"\nroots = \"tls/{roots}.crt\"\n{more}"))
            .unwrap();
    };
    let own = "certificate = \"tls/client.crt\"\nkey = \"tls/client.key\"\n";

    // Without TLS the database refuses; with another authority, another name or no certificate nothing comes of it.
    boundary.restart_gateway().unwrap();
    assert!(ask().1.contains("cannot log in"), "{:?}", ask());
    for (host, roots, more) in
        [("localhost", "other", own), ("127.0.0.1", "ca", own), ("localhost", "ca", "")]
    {
        with(host, roots, more);
        boundary.restart_gateway().unwrap();
        let (rows, said) = ask();
        assert!(rows.is_empty() && said.contains("cannot log in"), "{host} {roots}: {rows} {said}");
    }
    with("localhost", "ca", own);
    boundary.restart_gateway().unwrap();
    let (rows, said) = ask();
    assert_eq!(rows, "t|TLSv1.3", "{said}");
}
