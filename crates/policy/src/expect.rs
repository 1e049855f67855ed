//! Expectations: `tests.toml` of the policy folder says what somebody should be allowed, held or refused, and the set is
//! asked. It is not part of the set: it changes nothing that is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::{
    Analysis, Assurance, Attribute, Called, RelationName, SQL_TOOLS, Showing, TargetName, Verb,
};
use serde::Deserialize;
use toml::Spanned;

use crate::ask::{column_name, named_column};
use crate::asking::Asking;
use crate::explain::{Asker, Finding, OfStatement};
use crate::load::{Diagnostic, PolicySet, diagnostic};
use crate::manage::ManagementAction;
use crate::profile::Profile;
use crate::sight::SEE_ALL_ROWS;
use crate::world::{Ruling, Thing, World};

/// The file's name in the policy folder.
pub const TESTS_FILE: &str = "tests.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    test: Vec<Spanned<Written>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    #[serde(rename = "as")]
    who: String,
    #[serde(default)]
    service: bool,
    #[serde(default)]
    groups: BTreeSet<String>,
    client: Option<String>,
    purpose: Option<String>,
    /// Whose run it is.
    server: Option<String>,
    /// Whose call it is.
    tool: Option<String>,
    /// What is read of a server.
    uri: Option<String>,
    /// What prompt of a server is used.
    prompt: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
    acr: Option<String>,
    #[serde(default)]
    amr: BTreeSet<String>,
    /// How long ago the subject authenticated.
    authenticated_s: Option<u64>,
    target: Option<TargetName>,
    action: Option<String>,
    #[serde(default)]
    relations: Vec<String>,
    #[serde(default)]
    columns: Vec<String>,
    sql: Option<String>,
    expect: Outcome,
}

/// What an expectation expects, or what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Outcome {
    /// Of an action or a statement.
    Ruling(Ruling),
    /// Of a column.
    Showing(Showing),
}

impl TryFrom<String> for Outcome {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let rulings = [Ruling::Allow, Ruling::Hold, Ruling::Refuse].map(Self::Ruling);
        let showings = [Showing::Revealed, Showing::Masked, Showing::Hidden].map(Self::Showing);
        let found = rulings.into_iter().chain(showings).find(|outcome| outcome.as_str() == word);
        found.ok_or_else(|| {
            format!("`{word}` is none of `allow`, `hold`, `refuse`, `revealed`, `masked`, `hidden`")
        })
    }
}

impl From<Outcome> for &'static str {
    fn from(outcome: Outcome) -> Self {
        outcome.as_str()
    }
}

impl Outcome {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ruling(ruling) => ruling.as_str(),
            Self::Showing(showing) => showing.as_str(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Long(i64),
    Text(String),
    Texts(BTreeSet<String>),
}

impl From<&Value> for Attribute {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Long(number) => Self::Long(*number),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Texts(texts) => Self::Texts(texts.clone()),
        }
    }
}

/// What one expectation asks.
#[derive(Debug)]
enum Question {
    Connect(TargetName),
    Call(TargetName, Called),
    Asks(Asking, TargetName, String),
    Whole(Verb, TargetName),
    Relations(Verb, TargetName, Vec<RelationName>),
    AllRows(TargetName, Vec<RelationName>),
    Columns(TargetName, Vec<(RelationName, String)>),
    Manage(ManagementAction),
    Sql(TargetName, String),
}

/// One expectation.
#[derive(Debug)]
struct Expectation {
    name: String,
    line: usize,
    profile: Profile,
    question: Question,
    authenticated_s: Option<u64>,
    acr: Option<String>,
    amr: BTreeSet<String>,
    expect: Outcome,
}

/// All expectations of a folder.
#[derive(Debug)]
pub struct Expectations(Vec<Expectation>);

/// Something that came out otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unmet {
    /// Line of the expectation in its file.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What was expected.
    pub expected: Outcome,
    /// What came out; `None` where nothing could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Outcome>,
    /// Why: what was asked, the policies that decided, what would change it.
    pub because: Vec<String>,
}

impl Written {
    fn question(&self) -> Result<Question, String> {
        let target = || self.target.clone().ok_or_else(|| "it names no `target`".to_owned());
        let about_columns = matches!(self.expect, Outcome::Showing(_));
        if about_columns == self.columns.is_empty() {
            return Err("`columns` are expected to be `revealed`, `masked` or `hidden`, and nothing else is"
                .to_owned());
        }
        if about_columns {
            return match (&self.sql, &self.action, self.relations.is_empty()) {
                (None, None, true) => self.columns(target()?),
                (_, _, _) => Err("`columns` stand alone, without `sql`, `action` and `relations`".to_owned()),
            };
        }
        match (&self.sql, &self.action) {
            (Some(sql), None) if self.relations.is_empty() => Ok(Question::Sql(target()?, sql.clone())),
            (Some(_), _) => Err("`sql` stands alone, without `action` and `relations`".to_owned()),
            (None, None) => Err("it has neither `action` nor `sql` nor `columns`".to_owned()),
            (None, Some(word)) => self.action(word, target),
        }
    }

    fn columns(&self, target: TargetName) -> Result<Question, String> {
        let column = |name: &String| {
            named_column(name).ok_or_else(|| format!("`{name}` is no column: write `schema.name.column`"))
        };
        Ok(Question::Columns(target, self.columns.iter().map(column).collect::<Result<_, _>>()?))
    }

    fn named_relations(&self) -> Result<Vec<RelationName>, String> {
        let names = self.relations.iter().map(|name| name.parse::<RelationName>());
        names.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    fn action(
        &self,
        word: &str,
        target: impl Fn() -> Result<TargetName, String>,
    ) -> Result<Question, String> {
        if let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.as_str() == word) {
            let names = self.named_relations()?;
            return Ok(if names.is_empty() {
                Question::Whole(verb, target()?)
            } else {
                Question::Relations(verb, target()?, names)
            });
        }
        if word == SEE_ALL_ROWS {
            return Ok(Question::AllRows(target()?, self.named_relations()?));
        }
        if !self.relations.is_empty() {
            return Err(format!("`{word}` is not about relations"));
        }
        if word == "connect" {
            return Ok(Question::Connect(target()?));
        }
        let asking = Asking::ALL.into_iter().find(|asking| asking.as_str() == word);
        if word == "invoke" || asking.is_some() {
            let plain = |tool: &&String| !tool.is_empty() && tool.bytes().all(|byte| byte.is_ascii_graphic());
            let tool = self.tool.as_ref().filter(plain).cloned().ok_or_else(|| {
                let known = SQL_TOOLS.join(", ");
                format!("`tool` is one of {known}, or the name of a declared command or of a server's tool")
            })?;
            return Ok(match asking {
                Some(asking) => Question::Asks(asking, target()?, tool),
                None => Question::Call(target()?, Called::tool(&tool)),
            });
        }
        let named = |name: &Option<String>| name.as_deref().map(Arc::from);
        for called in [Called::Resource(named(&self.uri)), Called::Prompt(named(&self.prompt))] {
            if word == called.action() {
                return Ok(Question::Call(target()?, called));
            }
        }
        let manage = ManagementAction::ALL.into_iter().find(|action| action.as_str() == word);
        manage.map(Question::Manage).ok_or_else(|| format!("there is no action `{word}`"))
    }
}

impl Expectations {
    /// Parse `tests.toml`, given as its name and text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &(String, String)) -> Result<Self, Vec<Diagnostic>> {
        let parsed: File = toml::from_str(&file.1).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            vec![diagnostic(file, offset, error.message().replace('\n', " "), None)]
        })?;
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for (number, written) in parsed.test.iter().enumerate() {
            let at = diagnostic(file, written.span().start, String::new(), None);
            let written = written.get_ref();
            let hint = "`read` with `relations = [..]`, `connect`, `invoke`, `elicit`, `sample` or `listRoots` with `tool = ..`, \
                 `readResource` or `usePrompt`, perhaps with `uri = ..` or `prompt = ..`, a way of managing, `columns = [..]`, or `sql`";
            match written.question() {
                Err(message) => errors.push(Diagnostic { message, hint: Some(hint.to_owned()), ..at }),
                Ok(question) => found.push(Expectation {
                    name: written.name.clone().unwrap_or_else(|| format!("test {}", number + 1)),
                    line: at.line,
                    profile: written.profile(),
                    question,
                    authenticated_s: written.authenticated_s,
                    acr: written.acr.clone(),
                    amr: written.amr.clone(),
                    expect: written.expect,
                }),
            }
        }
        if errors.is_empty() { Ok(Self(found)) } else { Err(errors) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those who ask in them, each once, without clients, purposes, servers and tools. `now_us` is in microseconds since the Unix
    /// epoch.
    #[must_use]
    pub fn profiles(&self, now_us: u64) -> Vec<Profile> {
        let mut found: Vec<Profile> = Vec::new();
        for expectation in &self.0 {
            let profile = expectation.profile(now_us);
            let alone = Profile { client: None, purpose: None, server: None, tool: None, ..profile };
            if !found.contains(&alone) {
                found.push(alone);
            }
        }
        found
    }

    /// Ask the set. `analyse` understands a statement at a target, or says why it cannot; `now_us` is in microseconds
    /// since the Unix epoch.
    pub fn unmet(
        &self,
        set: &PolicySet,
        world: &World,
        now_us: u64,
        analyse: impl Fn(&TargetName, &str) -> Result<Arc<Analysis>, String>,
    ) -> Vec<Unmet> {
        let unmet = |expectation: &Expectation| expectation.unmet(set, world, now_us, &analyse);
        self.0.iter().filter_map(unmet).collect()
    }
}

impl Written {
    fn profile(&self) -> Profile {
        Profile {
            who: self.who.clone(),
            service: self.service,
            groups: self.groups.clone(),
            client: self.client.clone(),
            purpose: self.purpose.clone(),
            server: self.server.clone(),
            tool: self.tool.clone(),
            attributes: self.attributes.iter().map(|(name, value)| (name.clone(), value.into())).collect(),
            assurance: None,
        }
    }
}

impl Expectation {
    /// Who asks. `now_us` is in microseconds since the Unix epoch.
    fn profile(&self, now_us: u64) -> Profile {
        let mut profile = self.profile.clone();
        if self.authenticated_s.is_some() || self.acr.is_some() || !self.amr.is_empty() {
            let at = self.authenticated_s.map_or(0, |age| (now_us / 1_000_000).saturating_sub(age));
            profile.assurance = Some(Assurance { acr: self.acr.clone(), amr: self.amr.clone(), at });
        }
        profile
    }

    fn unmet(
        &self,
        set: &PolicySet,
        world: &World,
        now_us: u64,
        analyse: impl Fn(&TargetName, &str) -> Result<Arc<Analysis>, String>,
    ) -> Option<Unmet> {
        let failed = |found: Option<Outcome>, because: Vec<String>| {
            Some(Unmet { line: self.line, name: self.name.clone(), expected: self.expect, found, because })
        };
        let delegation = match self.profile(now_us).delegation(&set.clients) {
            Ok(delegation) => delegation,
            Err(error) => return failed(None, vec![error.to_string()]),
        };
        let asker = Asker { set, delegation: &delegation, now_us };
        let groups = set.names().groups;
        let one = |thing: Thing<'_>| vec![asker.finding(&thing, &groups)];
        let findings = match &self.question {
            Question::Sql(target, sql) => {
                let analysis = match analyse(target, sql) {
                    Ok(analysis) => analysis,
                    Err(why) => return failed(None, vec![why]),
                };
                let statement = asker.statement(target, &analysis, &groups);
                if Outcome::Ruling(statement.ruling) == self.expect {
                    return None;
                }
                return failed(Some(Outcome::Ruling(statement.ruling)), told(&statement));
            }
            Question::Call(target, called) => one(Thing::Call(target, called.clone())),
            Question::Asks(asking, target, tool) => one(Thing::Asks(*asking, target, tool)),
            Question::Connect(target) => one(Thing::Connect(target)),
            Question::Whole(verb, target) => one(Thing::Verb(*verb, target, None)),
            Question::Manage(action) => one(Thing::Manage(*action, &world.installation)),
            Question::AllRows(target, relations) if relations.is_empty() => one(Thing::AllRows(target, None)),
            Question::AllRows(target, relations) => {
                let thing = |name| Thing::AllRows(target, Some((name, world.within(target, name))));
                relations.iter().map(|name| asker.finding(&thing(name), &groups)).collect()
            }
            Question::Relations(verb, target, relations) => {
                let thing = |name| Thing::Verb(*verb, target, Some((name, world.within(target, name))));
                relations.iter().map(|name| asker.finding(&thing(name), &groups)).collect()
            }
            Question::Columns(target, columns) => {
                let (mut first, mut because) = (None, Vec::new());
                for (relation, column) in columns {
                    match asker.column(target, world, relation, column) {
                        Err(why) => return failed(None, vec![why]),
                        Ok(seen) if Outcome::Showing(seen.showing) == self.expect => {}
                        Ok(seen) => {
                            first = first.or(Some(Outcome::Showing(seen.showing)));
                            let (name, showing) = (column_name(relation, column), seen.showing.as_str());
                            because.push(format!("{name}: {showing}: {}", seen.because));
                        }
                    }
                }
                return first.and_then(|found| failed(Some(found), because));
            }
        };
        let other: Vec<&Finding> =
            findings.iter().filter(|found| Outcome::Ruling(found.ruling) != self.expect).collect();
        let first = other.first()?;
        failed(Some(Outcome::Ruling(first.ruling)), other.iter().flat_map(|found| words(found)).collect())
    }
}

fn told(statement: &OfStatement) -> Vec<String> {
    let mut lines: Vec<String> = statement.told.iter().cloned().collect();
    lines.extend(statement.needs.iter().flat_map(words));
    lines
}

/// A finding in lines: what, by which policies, what would change it.
fn words(finding: &Finding) -> Vec<String> {
    let by = if finding.policies.is_empty() { "no policy".to_owned() } else { finding.policies.join(", ") };
    let mut lines =
        vec![format!("{} on {}: {} by {by}", finding.action, finding.on, finding.ruling.as_str())];
    lines.extend(finding.would_change.iter().map(|change| format!("would change it: {change}")));
    lines
}
