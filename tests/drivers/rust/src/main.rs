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

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: driver-rust postgresql://...")?;
    let results = json!({ "tokio-postgres": tokio_cases::all(&url).await?, "sqlx": sqlx_cases::all(&url).await? });
    println!("{results:#}");
    Ok(())
}
