//! `--names ss`: what `ss -i` calls the same values, and its units, for programs that read its output.

use crate::table::Value;
use crate::table::summary::Line;

/// From the unit here to that of ss.
#[derive(Clone, Copy)]
enum Scale {
    Same,
    /// µs to ms.
    Thousandth,
    /// kbit/s to bit/s.
    Thousand,
}

/// Metric and label, and its name in ss. What ss does not have keeps its name.
const NAMES: &[(&str, Option<&str>, &str, Scale)] = &[
    ("bytes", Some("sent"), "bytes_sent", Scale::Same),
    ("bytes", Some("retrans"), "bytes_retrans", Scale::Same),
    ("bytes", Some("acked"), "bytes_acked", Scale::Same),
    ("bytes", Some("received"), "bytes_received", Scale::Same),
    ("segments", Some("out"), "segs_out", Scale::Same),
    ("segments", Some("in"), "segs_in", Scale::Same),
    ("segments", Some("data_out"), "data_segs_out", Scale::Same),
    ("segments", Some("data_in"), "data_segs_in", Scale::Same),
    ("srtt_us", None, "rtt", Scale::Thousandth),
    ("min_rtt_us", None, "minrtt", Scale::Thousandth),
    ("snd_cwnd", None, "cwnd", Scale::Same),
    ("delivery_rate_kbit_s", None, "delivery_rate", Scale::Thousand),
    ("pacing_rate_kbit_s", None, "pacing_rate", Scale::Thousand),
    ("notsent_bytes", None, "notsent", Scale::Same),
];

/// Columns of the key: own name, and that of ss.
const KEY: [(&str, &str); 3] =
    [("cookie", "sk_cookie"), ("cgroup", "cgroup_path"), ("ca_name", "congestion_algorithm")];

/// In a line, the columns `metric` and `label`, and the first of the values of a distribution.
const METRIC: usize = 0;
const LABEL: usize = 1;
const DISTRIBUTION: usize = 5;

/// What ss calls a column of the key.
pub(super) fn of_key(own: &'static str) -> &'static str {
    KEY.iter().find(|(name, _)| *name == own).map_or(own, |(_, of_ss)| of_ss)
}

/// What that one is called here.
pub(super) fn own_name(name: &'static str) -> &'static str {
    KEY.iter().find(|(_, of_ss)| *of_ss == name).map_or(name, |(own, _)| own)
}

/// The same line with the names and units of ss. It has no buckets, whose bounds are integers.
pub(super) fn rename(line: &mut Line<'_>) {
    let (Some(Value::Str(metric)), label) = (line.values.get(METRIC), line.values.get(LABEL))
    else {
        return;
    };
    let label = if let Some(Value::Str(label)) = label { Some(*label) } else { None };
    let known = NAMES.iter().find(|(own, of, ..)| own == metric && *of == label);
    line.buckets.clear();
    let Some((.., name, scale)) = known else { return };
    line.values[METRIC] = Value::Str(name);
    line.values[LABEL] = Value::Null;
    for value in line.values.iter_mut().skip(DISTRIBUTION) {
        *value = scaled(*value, *scale);
    }
}

fn scaled(value: Value<'_>, scale: Scale) -> Value<'_> {
    match (scale, value) {
        (Scale::Thousandth, Value::U64(us)) => Value::F64(us as f64 / 1000.0),
        (Scale::Thousandth, Value::F64(us)) => Value::F64(us / 1000.0),
        (Scale::Thousand, Value::U64(kbit_s)) => Value::U64(kbit_s.saturating_mul(1000)),
        (Scale::Thousand, Value::F64(kbit_s)) => Value::F64(kbit_s * 1000.0),
        (_, value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::observe::columns::COLUMNS;

    fn line(
        metric: &'static str,
        label: Value<'static>,
        values: [Value<'static>; 2],
    ) -> Vec<Value<'static>> {
        let [sum, avg] = values;
        let values =
            vec![Value::Str(metric), label, Value::U64(7), Value::Null, Value::U64(0), sum, avg];
        let mut line = Line { key: None, values, buckets: Vec::new() };
        rename(&mut line);
        line.values
    }

    #[test]
    fn names_and_units_are_those_of_ss() {
        assert_eq!(
            [METRIC, LABEL, DISTRIBUTION].map(|at| COLUMNS[at].name),
            ["metric", "label", "sum"]
        );
        let rtt = line("srtt_us", Value::Null, [Value::U64(1250), Value::F64(178.5)]);
        assert_eq!(rtt[..3], [Value::Str("rtt"), Value::Null, Value::U64(7)]);
        assert_eq!(rtt[5..], [Value::F64(1.25), Value::F64(0.1785)]);
        let rate = line("pacing_rate_kbit_s", Value::Null, [Value::U64(12), Value::F64(1.5)]);
        assert_eq!(
            (rate[0], &rate[5..]),
            (Value::Str("pacing_rate"), &[Value::U64(12_000), Value::F64(1500.0)][..])
        );
        let sent = line("bytes", Value::Str("sent"), [Value::Null, Value::Null]);
        assert_eq!(sent[..3], [Value::Str("bytes_sent"), Value::Null, Value::U64(7)]);
        let other = line("resets_sent", Value::Str("TCP_STATE"), [Value::Null, Value::Null]);
        assert_eq!(other[..2], [Value::Str("resets_sent"), Value::Str("TCP_STATE")]);
    }
}
