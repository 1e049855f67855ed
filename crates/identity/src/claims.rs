//! What claims say in our words. A claim of another type than is declared is refused, never skipped: an attribute that
//! silently went missing would change what policies decide.

use std::collections::BTreeSet;

use chaperone_access::{Attribute, AttributeKind, Attributes, Subject};
use serde_json::{Map, Value};

use crate::issuer::Issuer;
use crate::standing::Facts;
use crate::token::TokenError;

/// Most groups of a subject.
const GROUPS_MAX: usize = 512;
/// Longest group, display name or text of an attribute, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// All facts of a subject together, as JSON, in bytes: they stand whole in entries, which have 64 KiB.
const FACTS_BYTES_MAX: usize = 16 * 1024;
/// Where an issuer names the lists that it left out of a token (OpenID Connect Core, section 5.6.2).
const LEFT_OUT: &str = "_claim_names";

type Claims = Map<String, Value>;

fn wrong(name: &str) -> TokenError {
    TokenError::Claim(name.to_owned())
}

/// A claim by its name, or by its path where there is none of that very name: `realm_access.roles`. `null` is absent.
fn at<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    let found = claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, step| value.get(step))
    });
    found.filter(|value| !value.is_null())
}

/// A claim that is a text, where it is there.
pub(crate) fn text<'a>(claims: &'a Claims, name: &str) -> Result<Option<&'a str>, TokenError> {
    at(claims, name).map(|value| value.as_str().ok_or_else(|| wrong(name))).transpose()
}

/// A claim that is a time in whole seconds, where it is there (RFC 7519, section 2, NumericDate; a fraction is cut).
pub(crate) fn number(claims: &Claims, name: &str) -> Result<Option<u64>, TokenError> {
    let Some(value) = at(claims, name) else { return Ok(None) };
    let whole = value.as_u64().or_else(|| {
        let float = value.as_f64().filter(|float| (0.0..9_007_199_254_740_992.0).contains(float))?;
        // Decimal text avoids a cast: the fraction falls off.
        format!("{:.0}", float.trunc()).parse().ok()
    });
    whole.map(Some).ok_or_else(|| wrong(name))
}

fn texts_of(value: &Value) -> Option<BTreeSet<String>> {
    let list = value.as_array()?;
    list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A claim that is a list of texts, where it is there.
pub(crate) fn text_set(claims: &Claims, name: &str) -> Result<Option<BTreeSet<String>>, TokenError> {
    at(claims, name).map(|value| texts_of(value).ok_or_else(|| wrong(name))).transpose()
}

fn attribute(kind: AttributeKind, value: &Value) -> Option<Attribute> {
    match kind {
        AttributeKind::Bool => value.as_bool().map(Attribute::Bool),
        AttributeKind::Long => value.as_i64().map(Attribute::Long),
        AttributeKind::Text => value.as_str().map(str::to_owned).map(Attribute::Text),
        AttributeKind::Texts => texts_of(value).map(Attribute::Texts),
    }
}

/// Everything that the issuer's mapping takes from the claims.
pub(crate) fn facts(issuer: &Issuer, claims: &Claims, subject: Subject) -> Result<Facts, TokenError> {
    let names = &issuer.claims;
    let left_out = |name: &str| claims.get(LEFT_OUT).is_some_and(|out| out.get(name).is_some());
    let all = names.groups.iter().chain(names.attributes.values());
    if let Some(name) = all.clone().find(|name| left_out(name)) {
        return Err(TokenError::LeftOut(name.clone()));
    }
    let groups = names.groups.as_deref().map(|name| text_set(claims, name)).transpose()?.flatten();
    let display = names.display.as_deref().map(|name| text(claims, name)).transpose()?.flatten();
    let mut attributes = Attributes::new();
    for (name, claim) in &names.attributes {
        let (Some(value), Some(kind)) = (at(claims, claim), issuer.attributes.get(name)) else { continue };
        let refused = || TokenError::Attribute { attribute: name.clone(), claim: claim.clone() };
        attributes.insert(name.clone(), attribute(*kind, value).ok_or_else(refused)?);
    }
    let mut facts = Facts::of(subject, groups.unwrap_or_default());
    // A display name is for screens: it is cut and cleaned, not refused.
    facts.display =
        display.map(|name| name.chars().filter(|char| !char.is_control()).take(TEXT_BYTES_MAX / 4).collect());
    facts.attributes = attributes;
    Ok(facts)
}

/// What an issuer's answer about a token (RFC 7662) makes of what its subject was vouched for before. `None` where it does
/// not tell again all that the subject has: what is not told is not confirmed. How the subject authenticated stays, since
/// being asked is no authentication.
///
/// # Errors
/// A claim is of another type than is declared, or all of it is too much.
pub fn told_again(issuer: &Issuer, claims: &Claims, before: &Facts) -> Result<Option<Facts>, TokenError> {
    let mut now = facts(issuer, claims, before.subject.clone())?;
    let groups = issuer.claims.groups.as_deref().and_then(|name| at(claims, name));
    let attributes = before.attributes.keys().all(|name| now.attributes.contains_key(name));
    if (groups.is_none() && !before.groups.is_empty()) || !attributes {
        return Ok(None);
    }
    now.display = now.display.or_else(|| before.display.clone());
    now.assurance = before.assurance.clone();
    now.oauth_client = before.oauth_client.clone();
    bounded(&now)?;
    Ok(Some(now))
}

/// Refuse facts that would not fit an entry, or hold what screens and logs cannot.
pub(crate) fn bounded(facts: &Facts) -> Result<(), TokenError> {
    let plain = |text: &String| text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    let group = |text: &String| !text.is_empty() && plain(text);
    let fits = |attribute: &Attribute| match attribute {
        Attribute::Bool(_) | Attribute::Long(_) => true,
        Attribute::Text(text) => plain(text),
        Attribute::Texts(texts) => texts.iter().all(plain),
    };
    let strength = facts.assurance.as_ref();
    let strength = strength.is_none_or(|strength| strength.acr.iter().chain(&strength.amr).all(plain));
    if facts.groups.len() > GROUPS_MAX
        || !facts.groups.iter().all(group)
        || !facts.attributes.values().all(fits)
        || !strength
    {
        return Err(TokenError::TooMany);
    }
    let size = serde_json::to_vec(facts).map_or(usize::MAX, |bytes| bytes.len());
    if size > FACTS_BYTES_MAX { Err(TokenError::TooMany) } else { Ok(()) }
}
