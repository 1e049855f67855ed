//! The calls that the demonstration makes itself, with the real `psql`, and what must come of each.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::shown;
use super::{CAST, CLERKS, Stage};
use crate::failure::Failure;

/// What must come of a call. The demonstration fails when it does not: it never shows what is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    Refused,
}

/// One statement by one caller.
pub(crate) struct Call {
    pub(crate) caller: &'static str,
    pub(crate) statement: &'static str,
    pub(crate) fate: Fate,
}

/// In the order in which they are made.
pub(crate) const CALLS: &[Call] = &[
    Call {
        caller: "nurse",
        statement: "select p.given_name, p.family_name, e.started_at::date as seen, e.diagnosis from clinic.patients p \
                    join clinic.encounters e using (patient_id) where p.mrn = 'MRN-1000017' order by seen",
        fate: Fate::Answered,
    },
    Call {
        caller: "nurse",
        statement: "delete from clinic.encounters where patient_id = 17",
        fate: Fate::Refused,
    },
    Call {
        caller: "billing_clerk",
        statement: "update clinic.claims set status = 'paid', paid = amount where claim_id = 5 returning claim_id, status",
        fate: Fate::Answered,
    },
    Call {
        caller: "billing_clerk",
        statement: "select ssn, note from clinic.patients join clinic.encounters using (patient_id)",
        fate: Fate::Refused,
    },
    Call {
        caller: "billing_ai",
        statement: "select status, count(*), sum(amount) from clinic.claims group by status order by status",
        fate: Fate::Answered,
    },
    Call { caller: "billing_ai", statement: "update clinic.claims set status = 'paid'", fate: Fate::Refused },
    Call {
        caller: "billing_ai",
        statement: "select query_to_xml('select * from clinic.patients', true, false, '')",
        fate: Fate::Refused,
    },
    Call {
        caller: "billing_clerk",
        statement: "select family_name, ssn, street, zip from clinic.patients order by patient_id limit 2",
        fate: Fate::Answered,
    },
    Call {
        caller: "engineer",
        statement: "select family_name, birth_date, ssn from clinic.patients where patient_id = 17",
        fate: Fate::Answered,
    },
    Call {
        caller: "privacy_officer",
        statement: "select name, city from clinic.clinics order by name limit 2",
        fate: Fate::Answered,
    },
];

/// Make the calls, show what was recorded of them, and that the record verifies.
///
/// # Errors
/// A call did not end as it must, or the record cannot be shown or does not verify.
pub(crate) fn make(stage: &Stage, quiet: bool) -> Result<(), Failure> {
    for call in CALLS {
        let (fate, said) = ask(stage.url(call.caller), call.statement)?;
        if !quiet {
            let who =
                CAST.iter().find(|(name, ..)| *name == call.caller).map_or(call.caller, |(_, who, _)| *who);
            shown::call(who, call.statement, &said);
        }
        if fate != call.fate {
            let Call { caller, statement, fate: must, .. } = call;
            return Err(Failure::new(format!(
                "`{statement}` by {caller} should be {must:?} and is {fate:?}:\n{said}"
            )));
        }
    }
    past_the_gateway(stage, quiet)?;
    match &stage.assistant {
        Some(assistant) => assistant.call(stage, quiet)?,
        None => eprintln!("note: without npm's packages the AI client's calls of tools are left out"),
    }
    let sessions = stage.boundary.cli_json(&["sessions"])?;
    let sessions = sessions.as_array().ok_or_else(|| Failure::new("`chaperone sessions` printed no list"))?;
    if sessions.len() < CALLS.len() {
        return Err(Failure::new(format!(
            "{} calls were made, {} sessions are on record",
            CALLS.len(),
            sessions.len()
        )));
    }
    // The privacy officer's look at what the clerk's AI client tried.
    let is_his = |session: &&Value| {
        let text = session.to_string();
        text.contains("claude") && text.contains("\"dev")
    };
    let of_the_client = sessions.iter().find(is_his);
    let id = of_the_client.and_then(|session| session.get("session")?.as_str());
    let id = id.ok_or_else(|| Failure::new("no session of the AI client is on record"))?;
    let key = stage.boundary.reader_key();
    let read = stage.boundary.cli(&["session", "show", id, "--reader-key", &key.to_string_lossy()])?;
    let verified = stage.boundary.cli(&["trail", "verify"])?;
    if !quiet {
        shown::recorded(&stage.boundary.cli(&["sessions"])?, id, &read, &verified);
    }
    Ok(())
}

/// What no clerk sees, asked of the database itself with a clerk's own role: the second lock, where the first is gone.
const PAST: &str = "select ssn, phone from clinic.patients where patient_id = 17";

fn past_the_gateway(stage: &Stage, quiet: bool) -> Result<(), Failure> {
    stage.verified()?;
    let (fate, said) = ask(&stage.past(CLERKS)?, PAST)?;
    if fate != Fate::Refused {
        return Err(Failure::new(format!("the database answers `{PAST}` to `{CLERKS}`:\n{said}")));
    }
    if !quiet {
        shown::call(
            "past the gateway, as the clerks' role at the database (`chaperone floor verify` finds it as planned)",
            PAST,
            &said,
        );
    }
    Ok(())
}

/// Run `psql` and tell its fate by its exit code and whether the error is a refusal (SQLSTATE 42501 or 0A000).
fn ask(url: &str, statement: &str) -> Result<(Fate, String), Failure> {
    let mut psql = Command::new("psql");
    psql.args([
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "VERBOSITY=verbose",
        "-P",
        "pager=off",
        "-d",
        url,
        "-c",
        statement,
    ]);
    let output = psql.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::new(format!("cannot run `psql`: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok((Fate::Answered, said));
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if ["42501", "0A000"].iter().any(|code| error.contains(&format!("ERROR:  {code}"))) {
        return Ok((Fate::Refused, error));
    }
    Err(Failure::new(format!("`{statement}` failed in a way that is no refusal:\n{}", error.trim())))
}
