//! The format that a reader prefers, by its header `Accept`.

use super::Format;

/// The most preferred format that is known; a reader that names none of them gets OpenMetrics.
pub fn format_of(accept: &str) -> Format {
    let mut best = (0.0, Format::OpenMetrics);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let parameter = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim_matches('"'))
        };
        let format = match media_type.to_ascii_lowercase().as_str() {
            "application/vnd.google.protobuf"
                if parameter("proto") == Some("io.prometheus.client.MetricFamily")
                    && parameter("encoding") == Some("delimited") =>
            {
                Format::Protobuf
            }
            "application/openmetrics-text"
                if parameter("version").is_none_or(|version| version == "1.0.0") =>
            {
                Format::OpenMetrics
            }
            "text/plain" => Format::Text,
            _ => continue,
        };
        let quality = parameter("q").map_or(Some(1.0), |q| q.parse().ok()).unwrap_or(0.0);
        if quality > best.0 {
            best = (quality, format);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_send() {
        const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (accept, format) in [
            ("", Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            ("text/html,*/*;q=0.1", Format::OpenMetrics),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Text),
            // Prometheus, without and with native histograms.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                &format!(
                    "{PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
                ),
                Format::Protobuf,
            ),
            (&format!("{PROTOBUF};q=0.4,text/plain;q=0.6"), Format::Text),
            ("application/vnd.google.protobuf", Format::OpenMetrics),
            ("text/plain;q=x", Format::OpenMetrics),
            (";;=,;q=,,", Format::OpenMetrics),
        ] {
            assert_eq!(format_of(accept), format, "{accept}");
        }
    }
}
