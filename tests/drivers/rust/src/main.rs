//! tokio-postgres and sqlx: pipelining without being asked to, binary formats, cached statements. See ../README.md.

mod sqlx_cases;
mod tokio_cases;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Bytes of a big value.
const BIG: usize = 10 * 1024 * 1024;

type Outcome = Result<Value, Box<dyn std::error::Error>>;

/// A big value as length and SHA-256.
fn digest(bytes: &[u8]) -> Value {
    json!({ "bytes": bytes.len(), "sha256": Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
}

/// Statements with one parameter, and the numbers that it is in turn.
struct Asked {
    numbers: Vec<i32>,
    statements: Vec<String>,
}

/// A date as PostgreSQL sends it, in days since 2000-01-01, which neither driver reads by itself.
fn date(days: i32) -> String {
    // In years that begin with March a leap day is the last one: days since the first of such a year, 0000-03-01.
    let days = days + 730_425;
    let (centuries, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{of_month:02}", centuries * 400 + year)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: driver-rust postgresql://... [NUMBER,... STATEMENT...]")?;
    let results = match arguments.next() {
        None => json!({ "tokio-postgres": tokio_cases::all(&url).await?, "sqlx": sqlx_cases::all(&url).await? }),
        Some(numbers) => {
            let numbers = numbers.split(',').map(str::parse::<i32>).collect::<Result<Vec<_>, _>>()?;
            let asked = Asked { numbers, statements: arguments.collect() };
            json!({ "tokio-postgres": tokio_cases::seen(&url, &asked).await?, "sqlx": sqlx_cases::seen(&url, &asked).await? })
        }
    };
    println!("{results:#}");
    Ok(())
}
