//! Which `Host` and `Origin` a request may have: a page in somebody's browser must not reach a gateway through a name that
//! was made to point at it (DNS rebinding), nor call it from elsewhere.

use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use thiserror::Error;

/// The names of a machine for itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// An entry that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GuardError {
    /// Not a host.
    #[error("`{0}` is no host (hint: `gateway.example` or `gateway.example:6480`)")]
    Host(String),
    /// Not an origin.
    #[error("`{0}` is no origin (hint: `https://app.example`, without a path)")]
    Origin(String),
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Stranger {
    /// No host, several, or one that is not ours.
    #[error("this name is not one of the gateway's")]
    Host,
    /// A web page that may not call.
    #[error("this web page may not call the gateway")]
    Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    host: String,
    /// Any port where there is none.
    port: Option<u16>,
}

/// What is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    hosts: Vec<Name>,
    origins: Vec<String>,
}

fn name(text: &str) -> Option<Name> {
    let authority: Authority = text.parse().ok()?;
    // Nothing but a host and a port: no user, and no port that is none.
    let port = match text.strip_prefix(authority.host()).filter(|_| !authority.host().is_empty())? {
        "" => None,
        rest => {
            let text = rest.strip_prefix(':')?;
            // As it is written, not `+80` or `080`.
            Some(text.parse().ok().filter(|port: &u16| port.to_string() == text)?)
        }
    };
    Some(Name { host: authority.host().to_ascii_lowercase(), port })
}

/// An origin as browsers write it (RFC 6454, section 6.2), in lower case.
fn origin(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let written = format!("{scheme}://{authority}").to_ascii_lowercase();
    (matches!(scheme, "http" | "https") && text.eq_ignore_ascii_case(&written)).then_some(written)
}

impl Guard {
    /// From hosts, with or without ports, and origins; and this machine's own names where `loopback`.
    ///
    /// # Errors
    /// The first entry that cannot be used.
    pub fn new<'a>(
        hosts: impl IntoIterator<Item = &'a String>,
        origins: impl IntoIterator<Item = &'a String>,
        loopback: bool,
    ) -> Result<Self, GuardError> {
        let mut names = Vec::new();
        for host in hosts {
            names.push(name(host).ok_or_else(|| GuardError::Host(host.clone()))?);
        }
        if loopback {
            names.extend(LOOPBACK.iter().filter_map(|host| name(host)));
        }
        let mut known = Vec::new();
        for text in origins {
            known.push(origin(text).ok_or_else(|| GuardError::Origin(text.clone()))?);
        }
        Ok(Self { hosts: names, origins: known })
    }

    /// Judge a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, headers: &HeaderMap) -> Result<(), Stranger> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let asked = match (hosts.next(), hosts.next()) {
            (Some(one), None) => one.to_str().ok().and_then(name).ok_or(Stranger::Host)?,
            (None, _) | (Some(_), Some(_)) => return Err(Stranger::Host),
        };
        let ours =
            |known: &Name| known.host == asked.host && known.port.is_none_or(|port| asked.port == Some(port));
        if !self.hosts.iter().any(ours) {
            return Err(Stranger::Host);
        }
        let mut pages = headers.get_all(header::ORIGIN).iter();
        match (pages.next(), pages.next()) {
            (None, _) => Ok(()),
            (Some(page), None) => {
                let page = page.to_str().ok().map(str::to_ascii_lowercase);
                let may = page.is_some_and(|page| self.origins.contains(&page));
                if may { Ok(()) } else { Err(Stranger::Origin) }
            }
            (Some(_), Some(_)) => Err(Stranger::Origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(guard: &Guard, lines: &[(&str, &str)]) -> Result<(), Stranger> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        guard.judge(&headers)
    }

    #[test]
    fn only_our_own_names_and_pages_that_are_listed_get_in() {
        let (hosts, origins) = (["gateway.example:6480".to_owned()], ["https://App.example".to_owned()]);
        let guard = Guard::new(&hosts, &origins, true).unwrap();
        let host = |host: &'static str| judged(&guard, &[("host", host)]);
        for good in ["localhost", "LOCALHOST:1", "127.0.0.1:6480", "[::1]:6480", "Gateway.example:6480"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        for bad in [
            "evil.example",
            "gateway.example",
            "gateway.example:80",
            "gateway.example:06480",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil@localhost",
            "localhost:x",
            "",
        ] {
            assert_eq!(host(bad), Err(Stranger::Host), "{bad}");
        }
        assert_eq!(judged(&guard, &[]), Err(Stranger::Host));
        assert_eq!(judged(&guard, &[("host", "localhost"), ("host", "localhost")]), Err(Stranger::Host));
        let page = |page: &'static str| judged(&guard, &[("host", "localhost"), ("origin", page)]);
        assert_eq!(page("https://app.example"), Ok(()));
        for bad in ["https://app.example:8443", "http://app.example", "null", "https://evil.example", ""] {
            assert_eq!(page(bad), Err(Stranger::Origin), "{bad}");
        }
        let two = [("host", "localhost"), ("origin", "https://app.example"), ("origin", "null")];
        assert_eq!(judged(&guard, &two), Err(Stranger::Origin));
    }

    #[test]
    fn entries_that_mean_nothing_are_refused() {
        for bad in ["", "a b", "user@host", "https://host"] {
            assert!(Guard::new(&[bad.to_owned()], &[], false).is_err(), "{bad}");
        }
        for bad in ["*", "app.example", "https://app.example/", "ftp://app.example", "null"] {
            assert!(Guard::new(&[], &[bad.to_owned()], false).is_err(), "{bad}");
        }
    }
}
