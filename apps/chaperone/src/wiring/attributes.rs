//! Attributes as plain JSON, for people and programs.

use std::collections::BTreeMap;

use chaperone_access::{Attribute, AttributeKind, Attributes};
use serde_json::Value;

/// Attributes as policies see them.
pub(crate) fn plain(attributes: &Attributes) -> BTreeMap<String, Value> {
    let one = |attribute: &Attribute| match attribute {
        Attribute::Bool(yes) => Value::from(*yes),
        Attribute::Long(number) => Value::from(*number),
        Attribute::Text(text) => Value::from(text.as_str()),
        Attribute::Texts(texts) => texts.iter().map(String::as_str).collect(),
    };
    attributes.iter().map(|(name, attribute)| (name.clone(), one(attribute))).collect()
}

/// One of a kind; `None` where it is none.
fn typed(value: &Value, kind: AttributeKind) -> Option<Attribute> {
    match kind {
        AttributeKind::Bool => value.as_bool().map(Attribute::Bool),
        AttributeKind::Long => value.as_i64().map(Attribute::Long),
        AttributeKind::Text => value.as_str().map(|text| Attribute::Text(text.to_owned())),
        AttributeKind::Texts => {
            let texts = value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(Attribute::Texts)
        }
    }
}

/// Attributes of the kinds that are declared.
///
/// # Errors
/// What is not declared, or of another kind.
pub(crate) fn declared(
    plain: &BTreeMap<String, Value>,
    kinds: &BTreeMap<String, AttributeKind>,
) -> Result<Attributes, String> {
    let one = |(name, value): (&String, &Value)| {
        let kind = kinds.get(name).ok_or_else(|| {
            format!("there is no attribute `{name}` (hint: `[attributes]` of gateway.toml declares them)")
        })?;
        let attribute =
            typed(value, *kind).ok_or_else(|| format!("`{name}` is not of the kind that is declared"))?;
        Ok((name.clone(), attribute))
    };
    plain.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_the_same_back_and_forth() {
        let kinds = BTreeMap::from([
            ("senior".to_owned(), AttributeKind::Bool),
            ("level".to_owned(), AttributeKind::Long),
            ("site".to_owned(), AttributeKind::Text),
            ("clinics".to_owned(), AttributeKind::Texts),
        ]);
        let written = json!({"senior": true, "level": -3, "site": "x", "clinics": ["1", "2"]});
        let written: BTreeMap<String, Value> = serde_json::from_value(written).unwrap();
        let attributes = declared(&written, &kinds).unwrap();
        assert_eq!(plain(&attributes), written);
        for wrong in [json!({"senior": 1}), json!({"level": 1.5}), json!({"clinics": [1]}), json!({"x": 1})] {
            let wrong: BTreeMap<String, Value> = serde_json::from_value(wrong).unwrap();
            assert!(declared(&wrong, &kinds).is_err(), "{wrong:?}");
        }
    }
}
