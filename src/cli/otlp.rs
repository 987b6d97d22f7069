//! `--otlp URL` and `--otlp-header NAME=VALUE` of `export`.

use hyper::Uri;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING,
};

/// Where receivers expect metrics, if the URL has no path.
const PATH: &str = "/v1/metrics";
/// Headers that a request has anyway.
const OWN: [HeaderName; 5] = [HOST, CONTENT_TYPE, CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING];

/// A URL of HTTP, with a path.
pub fn url(text: &str) -> Result<String, String> {
    const USE: &str = "not a URL; use http://127.0.0.1:4318";
    let uri: Uri = text.parse().map_err(|_| USE.to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(USE.to_owned());
    };
    if scheme != "http" {
        return Err(format!(
            "{scheme} is not supported; use http, and a collector on this host for anything else"
        ));
    }
    if authority.host().is_empty() {
        return Err(USE.to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("a URL with a password is not supported; use --otlp-header".to_owned());
    }
    match uri.path_and_query().map_or("/", |path| path.as_str()) {
        "/" => Ok(format!("http://{authority}{PATH}")),
        path => Ok(format!("http://{authority}{path}")),
    }
}

/// A header that is not one of those of every request.
pub fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("use NAME=VALUE")?;
    let known: HeaderName = name.parse().map_err(|_| "not the name of a header".to_owned())?;
    if OWN.contains(&known) {
        return Err(format!("{known} is set by tcc-trace"));
    }
    let is_valid = value.parse::<HeaderValue>().is_ok();
    let pair = is_valid.then(|| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "not a value of a header".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_host_and_get_a_path() {
        for (text, wanted) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/metrics"),
            ("HTTP://collector/otlp/v1/metrics?a=b", "http://collector/otlp/v1/metrics?a=b"),
        ] {
            assert_eq!(url(text).unwrap(), wanted);
        }
        for text in ["", "collector", "127.0.0.1:4318", "/v1/metrics", "http://", "http://:80/"] {
            assert!(url(text).unwrap_err().starts_with("not a URL"), "{text}");
        }
        assert!(url("https://a").unwrap_err().starts_with("https is not supported"));
        assert!(url("http://a:b@c/").unwrap_err().contains("--otlp-header"));
    }

    #[test]
    fn headers_are_names_and_values() {
        let pair = ("Authorization".to_owned(), "Basic YTpi=".to_owned());
        assert_eq!(header("Authorization=Basic YTpi="), Ok(pair));
        for text in ["a", "a b=c", "=c", "a=b\r\nc", "Host=x", "content-length=1"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
