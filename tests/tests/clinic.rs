//! The synthetic clinic is the same on every machine, and nobody in it can be a real person.

use std::process::Command;

use chaperone_tests::{Cluster, Fsync, capture, private_folder, root};

#[test]
fn the_clinic_is_the_same_everywhere() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let url = cluster.superuser_url().unwrap();
    let sums = capture(
        Command::new("psql").args(["-X", "-A", "-t", "-d", &url, "-f"]).arg(root().join("demo/checksum.sql")),
    )
    .unwrap();
    let mut found: Vec<&str> = sums.lines().collect();
    found.sort_unstable();
    let expected = std::fs::read_to_string(root().join("demo/checksum.txt")).unwrap();
    assert_eq!(found, expected.lines().collect::<Vec<_>>());
}

#[test]
fn nobody_in_the_clinic_is_real() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let count = |condition: &str| cluster.sql(&format!("select count(*) from clinic.{condition}")).unwrap();
    assert_eq!(count("patients").trim(), "20000");
    // Areas 000, 666 and 900 to 999 of a social security number were never issued.
    assert_eq!(count("patients where ssn !~ '^(000|666|9[0-9]{2})-[0-9]{2}-[0-9]{4}$'").trim(), "0");
    assert_eq!(count("patients where phone !~ ' 555-01[0-9]{2}$'").trim(), "0");
    assert_eq!(count("patients where email !~ '@example\\.org$'").trim(), "0");
    let npis = cluster.sql("select npi from clinic.clinicians").unwrap();
    let valid = npis.lines().filter(|npi| is_valid_npi(npi)).count();
    assert_eq!((npis.lines().count(), valid), (120, 0));
    assert!(is_valid_npi("1234567893"), "the standard's own example");
}

/// A provider number is valid when the Luhn sum of `80840` and its ten digits is a multiple of ten.
fn is_valid_npi(npi: &str) -> bool {
    let digits: Vec<u32> = format!("80840{npi}").chars().filter_map(|digit| digit.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
