//! `chaperone policy explain`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_access::{Attribute, AttributeKind, Attributes, MaskOperator, TargetName};
use chaperone_policy::{
    Explanation, Finding, Known, OfStatement, Profile, Ruling, Said, Seen, SeenColumn, SeenRows, UsedColumn,
};

use super::setting::{Place, Setting};
use crate::verbs::{Failure, remark, say, say_json};
use crate::wiring::installation::now_us;

/// `chaperone policy explain`
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Who asks, as policies name subjects: `issuer/subject`
    #[arg(long = "as", value_name = "WHO")]
    who: String,
    /// That is a service
    #[arg(long)]
    service: bool,
    /// A group that it is in, in the place of those that the gateway knows; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The client that acts for it
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// HL7 PurposeOfUse code of its credential
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
    /// The server of others whose run asks
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// The tool whose call it is
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// A declared attribute that it has; several texts are separated by commas. May be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// The class of its authentication
    #[arg(long)]
    acr: Option<String>,
    /// A method of its authentication; may be repeated
    #[arg(long)]
    amr: Vec<String>,
    /// How many seconds ago it authenticated; a moment, where only its class or methods are given
    #[arg(long, value_name = "SECONDS")]
    authenticated_s: Option<u64>,
    /// At which target; needed where there are several
    #[arg(long)]
    target: Option<TargetName>,
    /// A statement that it would send
    #[arg(long, value_name = "STATEMENT")]
    sql: Option<String>,
    /// The policy folder; the configuration's where it is left out
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (folder, setting) = self.place.folder(self.folder.as_deref())?;
        let (set, _) = setting.set(&folder.set)?;
        let target = setting.target(self.target.clone())?;
        let now = now_us();
        let profile = self.profile(&setting, now)?;
        let delegation =
            profile.delegation(set.clients()).map_err(|error| Failure::Usage(error.to_string()))?;
        let statement = self.sql.as_deref().map(|sql| setting.analyse(&target, sql)).transpose();
        let statement = statement.map_err(Failure::Usage)?;
        let world = setting.world(&[&set]);
        let explained =
            chaperone_policy::explain(&set, &delegation, &target, &world, statement.as_ref(), now);
        if self.json {
            say_json(&explained)?;
        } else {
            say(&told(&explained))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn profile(&self, setting: &Setting, now_us: u64) -> Result<Profile, Failure> {
        let attributes: Result<Attributes, Failure> =
            self.attributes.iter().map(|text| attribute(text, &setting.known)).collect();
        let known = setting.identities.iter().find(|one| one.who == self.who && one.service == self.service);
        if known.is_none() && self.groups.is_empty() {
            remark(&format!(
                "note: nothing is known of `{}`: it is taken to be in no group (hint: `--group`, `--attribute`, `--acr`)",
                self.who
            ));
        }
        let said = Said {
            who: self.who.clone(),
            service: self.service,
            groups: (!self.groups.is_empty()).then(|| self.groups.iter().cloned().collect()),
            client: self.client.clone(),
            purpose: self.purpose.clone(),
            server: self.server.clone(),
            tool: self.tool.clone(),
            attributes: attributes?,
            acr: self.acr.clone(),
            amr: (!self.amr.is_empty()).then(|| self.amr.iter().cloned().collect()),
            authenticated_s: self.authenticated_s,
        };
        Ok(said.profile(known, now_us / 1_000_000))
    }
}

/// `NAME=VALUE`, of the kind that is declared.
fn attribute(text: &str, known: &Known) -> Result<(String, Attribute), Failure> {
    let usage = |why: String| Failure::Usage(format!("`{text}`: {why}"));
    let (name, value) =
        text.split_once('=').ok_or_else(|| usage("an attribute is given as `NAME=VALUE`".to_owned()))?;
    let kind = known.attributes.get(name).ok_or_else(|| {
        usage(format!("there is no attribute `{name}` (hint: `[attributes]` of gateway.toml declares them)"))
    })?;
    let value = match kind {
        AttributeKind::Bool => {
            Attribute::Bool(value.parse().map_err(|_| usage("`true` or `false`".to_owned()))?)
        }
        AttributeKind::Long => {
            Attribute::Long(value.parse().map_err(|_| usage("a whole number".to_owned()))?)
        }
        AttributeKind::Text => Attribute::Text(value.to_owned()),
        AttributeKind::Texts => {
            let texts: BTreeSet<String> = value.split(',').map(|text| text.trim().to_owned()).collect();
            Attribute::Texts(texts)
        }
    };
    Ok((name.to_owned(), value))
}

fn by(policies: &[String]) -> String {
    if policies.is_empty() { "no policy".to_owned() } else { policies.join(", ") }
}

/// A finding in lines: what, by which policies, what would change it.
pub(super) fn finding(out: &mut Vec<String>, indent: &str, finding: &Finding) {
    let (action, on, ruling) = (&finding.action, &finding.on, finding.ruling.as_str());
    out.push(format!("{indent}{action} on {on}: {ruling} by {}", by(&finding.policies)));
    out.extend(finding.would_change.iter().map(|change| format!("{indent}  would change it: {change}")));
}

/// An explanation for people.
fn told(explained: &Explanation) -> String {
    let mut out = Vec::new();
    let who = &explained.delegation;
    let mut head = format!("{}/{}", who.subject.issuer, who.subject.sub);
    if !who.groups.is_empty() {
        let groups: Vec<&str> = who.groups.iter().map(String::as_str).collect();
        head.push_str(&format!(" in {}", groups.join(", ")));
    }
    if let Some(purpose) = &who.purpose {
        head.push_str(&format!(", for {purpose}"));
    }
    if let Some(client) = &who.client {
        head.push_str(&format!(", through {client}"));
    }
    if let Some(recipient) = &who.recipient {
        head.push_str(&format!(" (rows go to {})", recipient.name));
    }
    if let Some(server) = &who.server {
        head.push_str(&format!(", by a run of {}", server.name));
        if let Some(recipient) = &server.recipient {
            head.push_str(&format!(" (rows go to {} too)", recipient.name));
        }
    }
    out.push(format!("{head}, at {}, under policy {}", explained.target, explained.policy));
    finding(&mut out, "", &explained.connect);
    let limits = explained.limits.each();
    out.extend(limits.iter().filter_map(|(name, value)| Some(format!("limit {name}: {}", (*value)?))));
    if explained.unrestricted {
        out.push("has everything on the whole target: statements are sent as they are".to_owned());
    }
    if !explained.classified {
        out.push("the target has no classification: whoever may read a relation sees all of it".to_owned());
    }
    // Refused is most of what there is, but for the tool that is asked about.
    let asked = who.tool.as_ref().map(|tool| format!("{}/{tool}", explained.target));
    let told = |found: &&Finding| found.ruling != Ruling::Refuse || asked.as_ref() == Some(&found.on);
    let tools = explained.tools.iter().filter(told);
    tools.for_each(|found| finding(&mut out, "", found));
    explained.of_server.iter().filter(told).for_each(|found| finding(&mut out, "", found));
    let whole = explained.whole.iter().filter(|found| found.ruling != Ruling::Refuse);
    whole.for_each(|found| finding(&mut out, "", found));
    let width = explained.relations.iter().map(|seen| seen.relation.len()).max().unwrap_or(0);
    for seen in &explained.relations {
        let held = seen.held.iter().map(|verb| format!("{verb}?"));
        let verbs: Vec<String> = seen.allowed.iter().map(ToString::to_string).chain(held).collect();
        out.push(format!("  {:width$}  {}", seen.relation, verbs.join(" ")));
        contents(&mut out, seen);
    }
    out.push(format!("relations without any verb: {}", explained.hidden));
    if let Some(of) = &explained.statement {
        statement(&mut out, of);
    }
    out.join("\n")
}

/// What a relation is to the caller, column by column.
fn contents(out: &mut Vec<String>, seen: &Seen) {
    if let Some(SeenRows { all, because }) = &seen.rows {
        let which = if *all { "all" } else { "those that the relation's filter lets through" };
        out.push(format!("    rows: {which} ({because})"));
    }
    let wide = |width: fn(&SeenColumn) -> usize| seen.columns.iter().map(width).max().unwrap_or(0);
    let (names, tags) = (wide(|column| column.name.len()), wide(|column| column.tags.join(" ").len()));
    for column in &seen.columns {
        let (name, tagged, because) = (&column.name, column.tags.join(" "), &column.because);
        let mask = column.mask.as_ref().map(|mask| format!("as {}, ", mask_word(mask))).unwrap_or_default();
        let showing = column.showing.as_str();
        out.push(format!("    {name:names$}  {showing:8}  {tagged:tags$}  {mask}{because}"));
    }
    seen.unrevealed.iter().for_each(|found| finding(out, "    ", found));
}

/// A mask as the classification writes it.
fn mask_word(mask: &MaskOperator) -> String {
    match mask {
        MaskOperator::Null => "null".to_owned(),
        MaskOperator::Fixed(text) => format!("`{text}`"),
        MaskOperator::LastFour => "last_four".to_owned(),
        MaskOperator::FirstLetter => "first_letter".to_owned(),
        MaskOperator::Year => "year".to_owned(),
        MaskOperator::ZipThree => "zip3".to_owned(),
        MaskOperator::Pseudonym => "pseudonym".to_owned(),
        MaskOperator::Bucket(size) => format!("bucket of {size}"),
    }
}

/// A column that a statement uses.
fn used(column: &UsedColumn) -> String {
    let UsedColumn { relation, column, showing, disclosed, written, because } = column;
    let disclosed = if *disclosed { ", in the result" } else { "" };
    let written = if *written { ", assigned to" } else { "" };
    format!("  {relation}.{column}: {}{disclosed}{written}: {because}", showing.as_str())
}

fn statement(out: &mut Vec<String>, of: &OfStatement) {
    out.push(format!("the statement: {} by {}", of.ruling.as_str(), by(&of.policies)));
    out.extend(of.told.iter().map(|told| format!("  the client is told: {told}")));
    out.extend(of.sent.iter().map(|sent| format!("  sent as: {sent}")));
    of.needs.iter().for_each(|need| finding(out, "  ", need));
    out.extend(of.columns.iter().map(used));
    out.extend(
        of.groups.iter().map(|group| format!("  membership in `{group}` alone would allow all of it")),
    );
}
