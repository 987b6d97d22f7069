//! `--where` on any record: what the program finds true is what an evaluator of the JSON line does.

use proptest::prelude::*;
use tcc_trace::events::EVENT_TYPES;
use tcc_trace::predicate::{Compiled, Predicate};

use super::generated::random::{Random, expression, record};
use super::generated::{decode, environment, json, reference};

/// Random records for each expression.
const RECORDS: usize = 8;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn conditions_mean_what_the_json_says(seed in any::<u64>()) {
        let (environment, mut random) = (environment(), Random(seed));
        let event_type = &EVENT_TYPES[random.below(EVENT_TYPES.len())];
        let records: Vec<Vec<u8>> =
            (0..RECORDS).map(|_| record(&mut random, event_type)).collect();
        let first = json(&decode(&records[0], &environment.types));
        let text = expression(&mut random, event_type, &first, 3);
        let parsed = Predicate::parse(&text).map_err(|error| {
            TestCaseError::fail(format!("{text}: {error}\n{}", error.excerpt))
        })?;
        // A constant may be out of a narrow field's range.
        let checked = match parsed.check(&[event_type], Some(&environment.types)) {
            Err(error) if error.message.contains("out of range") => return Ok(()),
            checked => checked,
        };
        let checked = checked.map_err(|error| {
            TestCaseError::fail(format!("{text}: {error}\n{}", error.excerpt))
        })?;
        let compiled = Compiled::in_user_space(&checked, &environment);
        for record in &records {
            let event = decode(record, &environment.types);
            let line = json(&event);
            let expected = reference::truth(&parsed.expr, &line) == Some(true);
            prop_assert_eq!(compiled.matches(&event), expected, "{} on {}", text, line);
        }
    }
}
