//! `chaperone service`: programs with keys of their own.

use std::process::ExitCode;

use chaperone_api::{CreateService, RevokeService, RotateService, ServiceKeyView, ServiceView};
use clap::Subcommand;

use super::reach::Reach;
use super::{Failure, block_on, clock, remark, say, say_json, table};
use crate::wiring::ask::encoded;

/// Longest life of a key, in days; the gateway has the last word.
const KEY_DAYS_MAX: u64 = 366;
const DAY_S: u64 = 24 * 3600;

/// `chaperone service`
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Make a service and print its first key, once
    Create {
        /// Its name; policies call it `local/NAME`
        name: String,
        /// The person who answers for it, as `issuer/subject`: one who has logged in
        #[arg(long, value_name = "WHO")]
        owner: String,
        /// A group of the service, `local/GROUP` in policies; may be given several times
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// How long its key is valid: a number with s, m, h or d, at most 366d
        #[arg(long, value_parser = life_s)]
        ttl: u64,
        #[command(flatten)]
        reach: Reach,
    },
    /// List services and their keys
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Make another key and print it, once; the older ones go on for a while
    Rotate {
        /// Which service
        name: String,
        /// How long the new key is valid: a number with s, m, h or d, at most 366d
        #[arg(long, value_parser = life_s)]
        ttl: u64,
        /// How long the older keys go on: a number with s, m, h or d, at most 7d
        #[arg(long, default_value = "1d", value_parser = life_s)]
        overlap: u64,
        #[command(flatten)]
        reach: Reach,
    },
    /// End a service, all its keys and its sessions
    Revoke {
        /// Which service
        name: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        reach: Reach,
    },
}

fn life_s(text: &str) -> Result<u64, String> {
    let hint = || format!("`{text}` is not a time (hint: 90d, 8h or 30m)");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(hint)?;
    let number: u64 = number.parse().map_err(|_| hint())?;
    let seconds = match unit {
        "s" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        "d" => number.saturating_mul(DAY_S),
        _ => return Err(hint()),
    };
    if seconds > KEY_DAYS_MAX * DAY_S {
        return Err(format!("at most {KEY_DAYS_MAX}d"));
    }
    Ok(seconds)
}

impl Service {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create { name, owner, groups, ttl, reach } => {
                let groups = groups.into_iter().collect();
                let request = CreateService { name, owner, groups, ttl_s: ttl };
                let ask = block_on(reach.ask())?;
                shown(&reach, &block_on(ask.post("/services", &request))?)?;
            }
            Self::List { reach } => list(&reach)?,
            Self::Rotate { name, ttl, overlap, reach } => {
                let request = RotateService { ttl_s: ttl, overlap_s: overlap };
                let ask = block_on(reach.ask())?;
                let path = format!("/services/{}/rotate", encoded(&name));
                shown(&reach, &block_on(ask.post(&path, &request))?)?;
            }
            Self::Revoke { name, reason, reach } => revoke(&reach, &name, reason)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(reach: &Reach, made: &ServiceKeyView) -> Result<(), Failure> {
    if reach.json {
        return say_json(made);
    }
    let until = made.service.keys.last().map(|key| clock(key.not_after.saturating_mul(1_000_000)));
    remark(&format!(
        "the key of service `{}`, valid until {}; it is shown this once. In CHAPERONE_SERVICE_KEY, or \
         in a file that `--service-key-file` names, it serves `credential`, `connect`, `psql` and `exec`:",
        made.service.name,
        until.unwrap_or_default()
    ));
    say(&made.key)
}

fn list(reach: &Reach) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let services: Vec<ServiceView> = block_on(ask.list("/services", usize::MAX))?;
    if reach.json {
        return say_json(&services);
    }
    let row = |service: ServiceView| {
        let until = |key: &chaperone_api::KeyView| clock(key.not_after.saturating_mul(1_000_000));
        let state = match &service.revoked {
            Some(why) => format!("revoked: {why}"),
            None => service.keys.iter().map(until).collect::<Vec<_>>().join(", "),
        };
        let groups = service.groups.into_iter().collect::<Vec<_>>().join(", ");
        vec![service.name, service.owner, groups, state]
    };
    table(&["service", "owner", "groups", "keys until"], services.into_iter().map(row).collect())
}

fn revoke(reach: &Reach, name: &str, reason: String) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let path = format!("/services/{}", encoded(name));
    let revoked: ServiceView = block_on(ask.delete(&path, &RevokeService { reason }))?;
    if reach.json {
        return say_json(&revoked);
    }
    remark(&format!("service `{}` is no more; its name stays taken", revoked.name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_has_a_unit_and_an_end() {
        assert_eq!((life_s("90d"), life_s("45s")), (Ok(90 * DAY_S), Ok(45)));
        for bad in ["", "d", "90", "1w", "367d", "-1d", "99999999999999999999d"] {
            assert!(life_s(bad).is_err(), "{bad}");
        }
    }
}
