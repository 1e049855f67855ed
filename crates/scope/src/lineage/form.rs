//! How the rows of a COPY are written.

use chaperone_access::CopyForm;

use crate::tree::{Fields, Value, node, text};

/// How the lines of a COPY to the client are written.
pub(super) fn copy_form(copy: &Fields) -> CopyForm {
    let mut form = CopyForm::Text;
    for (_, option) in copy.get("options").and_then(Value::as_array).into_iter().flatten().filter_map(node) {
        let word = option.get("arg").and_then(node).map(|(_, word)| text(word, "sval"));
        form = match (text(option, "defname"), word) {
            ("format", Some("text")) => form,
            ("format", Some("csv")) => CopyForm::Csv,
            // What is written in the place of NULL, quotes where none are needed, and a line of names change nothing.
            ("header" | "null" | "force_quote", _) => form,
            _ => return CopyForm::Other,
        };
    }
    form
}
