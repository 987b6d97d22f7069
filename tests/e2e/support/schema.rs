//! `tcc-trace schema`, and whether a line is what it says: as much of JSON Schema as it uses.

use std::sync::LazyLock;

use serde_json::Value;

use super::launch::Program;
use super::{run, tcc_trace};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut command = Program::new(tcc_trace());
    command.arg("schema");
    serde_json::from_str(&run::output(command).unwrap()).expect("JSON")
});

/// The whole schema.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// Names of an event type's columns, in the schema's order; the members of a group by `group.member`.
pub fn columns(schema: &Value, event_type: &str) -> Vec<String> {
    let record = record(schema, event_type);
    let mut names = Vec::new();
    for (name, property) in record["properties"].as_object().expect("properties") {
        match property["properties"].as_object() {
            Some(members) => names.extend(members.keys().map(|leaf| format!("{name}.{leaf}"))),
            None => names.push(name.clone()),
        }
    }
    names.retain(|name| name != "type");
    names
}

/// The part of the schema for that type of record.
pub fn record<'s>(schema: &'s Value, event_type: &str) -> &'s Value {
    let event_types = schema["oneOf"].as_array().expect("oneOf");
    event_types
        .iter()
        .find(|record| record["properties"]["type"]["const"] == event_type)
        .unwrap_or_else(|| panic!("no {event_type} in the schema"))
}

/// Why the value is not what the schema says, by path.
pub fn invalid(schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().ok_or("a schema is an object")? {
        let holds = match keyword.as_str() {
            "type" => of_type(rule, value),
            "const" => rule == value,
            "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value.as_f64().is_none_or(|n| Some(n) >= rule.as_f64()),
            "required" => match (rule.as_array(), value.as_object()) {
                (Some(names), Some(members)) => {
                    let has = |name: &Value| members.contains_key(name.as_str().unwrap_or(""));
                    names.iter().all(has)
                }
                _ => true,
            },
            "properties" | "additionalProperties" => {
                members(schema, value)?;
                true
            }
            "items" => match value.as_array() {
                Some(values) => {
                    values.iter().try_for_each(|value| invalid(rule, value))?;
                    true
                }
                None => true,
            },
            "oneOf" => {
                let all = rule.as_array().ok_or("oneOf is a list")?;
                all.iter().filter(|one| invalid(one, value).is_ok()).count() == 1
            }
            "anyOf" => {
                let all = rule.as_array().ok_or("anyOf is a list")?;
                all.iter().any(|one| invalid(one, value).is_ok())
            }
            "format" => match (rule.as_str(), value.as_str()) {
                (Some("ipv4"), Some(text)) => text.parse::<std::net::Ipv4Addr>().is_ok(),
                (Some("ipv6"), Some(text)) => text.parse::<std::net::Ipv6Addr>().is_ok(),
                _ => return Err(format!("unknown format {rule}")),
            },
            "$schema" | "title" | "description" | "x-set" | "x-source" | "x-unit" => true,
            _ => return Err(format!("unknown keyword {keyword}")),
        };
        if !holds {
            return Err(format!("{keyword} {rule}: {value}"));
        }
    }
    Ok(())
}

fn members(schema: &Value, value: &Value) -> Result<(), String> {
    for (name, member) in value.as_object().into_iter().flatten() {
        let at = |error| format!("{name}: {error}");
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(property), _) => invalid(property, member).map_err(at)?,
            (None, Some(Value::Bool(false))) => return Err(at("not expected".into())),
            (None, Some(other @ Value::Object(_))) => invalid(other, member).map_err(at)?,
            _ => {}
        }
    }
    Ok(())
}

fn of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => false,
    };
    rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
}
