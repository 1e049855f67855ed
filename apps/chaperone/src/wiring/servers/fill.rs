//! What a run shows, in the places where its server wants it.

use std::net::SocketAddr;
use std::path::Path;

use chaperone_tunnel::Access;
use zeroize::Zeroizing;

/// The words that may stand in arguments, variables and files.
pub(super) struct Fill(Vec<(&'static str, Zeroizing<String>)>);

impl Fill {
    pub(super) fn new(access: &Access, at: SocketAddr, folder: &Path) -> Self {
        let (user, password, database) = (access.user(), access.password(), access.database());
        let url = format!("postgresql://{user}:{password}@{at}/{database}?sslmode=disable");
        let words = [
            ("{url}", url),
            ("{host}", at.ip().to_string()),
            ("{port}", at.port().to_string()),
            ("{user}", user.to_owned()),
            ("{password}", password.to_owned()),
            ("{database}", database.to_string()),
            ("{folder}", folder.display().to_string()),
        ];
        Self(words.into_iter().map(|(word, value)| (word, Zeroizing::new(value))).collect())
    }

    /// A text with its words replaced. In one pass: nothing that was put in is looked at again. Other braces stay.
    pub(super) fn put(&self, text: &str) -> Zeroizing<String> {
        let (mut out, mut rest) = (Zeroizing::new(String::new()), text);
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            match self.0.iter().find_map(|(word, value)| Some((value, from.strip_prefix(word)?))) {
                Some((value, after)) => {
                    out.push_str(value);
                    rest = after;
                }
                None => {
                    out.push('{');
                    rest = from.strip_prefix('{').unwrap_or_default();
                }
            }
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_are_replaced_and_other_braces_stay() {
        let access = Access::new("ana", "pass", "clinic".parse().unwrap()).unwrap();
        let fill = Fill::new(&access, "127.0.0.1:5432".parse().unwrap(), Path::new("/run/{user}"));
        for (text, filled) in [
            ("{url}", "postgresql://ana:pass@127.0.0.1:5432/clinic?sslmode=disable"),
            ("--host={host} --port={port}", "--host=127.0.0.1 --port=5432"),
            (r#"{"user":"{user}","x":{"{y}":"{password}"}}"#, r#"{"user":"ana","x":{"{y}":"pass"}}"#),
            ("{folder}/{database}", "/run/{user}/clinic"),
            ("{{user}}{", "{ana}{"),
            ("plain", "plain"),
        ] {
            assert_eq!(*fill.put(text), filled, "{text}");
        }
    }
}
