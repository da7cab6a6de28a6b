//! The CustomResourceDefinitions as YAML, kept beside the types and in the chart.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::{AnalyticsTenant, Pipeline};

#[cfg(test)]
mod compatibility;

/// Both definitions, in the order of their names.
#[must_use]
pub fn definitions() -> [CustomResourceDefinition; 2] {
    [AnalyticsTenant::crd(), Pipeline::crd()].map(with_a_first_status).map(with_flowing_descriptions)
}

/// With descriptions that `kubectl explain` breaks into lines, and not our sources.
fn with_flowing_descriptions(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let schemas = definition.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    for schema in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        let_flow(schema);
    }
    definition
}

fn let_flow(schema: &mut JSONSchemaProps) {
    schema.description = schema.description.as_deref().map(flowing);
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(let_flow);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        let_flow(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        let_flow(values);
    }
}

/// A line ends where a sentence does.
fn flowing(description: &str) -> String {
    let lines: Vec<&str> = description.lines().map(str::trim).collect();
    let mut text = String::new();
    for (line, next) in lines.iter().zip(lines.iter().skip(1).map(Some).chain([None])) {
        text.push_str(line);
        match next {
            Some(_) if line.ends_with('.') => text.push('\n'),
            Some(_) => text.push(' '),
            None => {}
        }
    }
    text
}

/// With a status for resources that the operator has not seen: to kstatus one without any is current, and tools that
/// wait would go on while the operator is away. No generation is -1, so that this one is in progress.
fn with_a_first_status(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let properties = schema.and_then(|schema| schema.properties.as_mut());
        if let Some(status) = properties.and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
    }
    definition
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::generated;

    /// The types' own copy, and the one inside the chart, since a chart cannot read files outside of its folder.
    const FOLDERS: [&str; 2] = ["", "../charts/millrace/files/crds/"];

    #[test]
    fn the_generated_files_are_up_to_date() {
        for definition in definitions() {
            let name = format!("{}.yaml", definition.spec.names.kind.to_lowercase());
            let text = format!(
                "# Generated from crds/src by `UPDATE=1 cargo test -p crds`; edit the types instead.\n{}",
                serde_saphyr::to_string(&definition).unwrap()
            );
            for folder in FOLDERS {
                generated::verify(&format!("{folder}{name}"), &text);
            }
        }
    }

    /// The API server estimates the cost of CEL rules from these bounds, and etcd holds what they let in.
    #[test]
    fn everything_has_a_bound_and_a_description() {
        for definition in definitions() {
            let kind = definition.spec.names.kind.clone();
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
            let properties = &schema["openAPIV3Schema"]["properties"];
            let mut flaws = Vec::new();
            for part in ["spec", "status"] {
                collect_flaws(&format!("{kind}.{part}"), &properties[part], &mut flaws);
            }
            assert_eq!(flaws, Vec::<String>::new());
        }
    }

    #[test]
    fn a_line_of_a_description_ends_with_a_sentence() {
        let written = "One sentence. Another,\nwhich goes on.\nA third.";
        assert_eq!(flowing(written), "One sentence. Another, which goes on.\nA third.");
    }

    fn collect_flaws(path: &str, schema: &Value, flaws: &mut Vec<String>) {
        flaws.extend(flaw(schema).map(|flaw| format!("{path} has {flaw}")));
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                flaws.push(format!("{path} has no description"));
            }
            flaws.extend(unexplained(property).map(|word| format!("{path} does not say what {word} is")));
            collect_flaws(&path, property, flaws);
        }
        for below in ["items", "additionalProperties"]
            .map(|below| &schema[below])
            .into_iter()
            .filter(|below| below.is_object())
        {
            collect_flaws(&format!("{path}[]"), below, flaws);
        }
    }

    /// The words of a field that its description does not have: `kubectl explain` shows no other text of them.
    fn unexplained(property: &Value) -> impl Iterator<Item = &str> {
        let description = property["description"].as_str().unwrap_or_default();
        let words = [&property["enum"], &property["items"]["enum"]];
        let words = words.into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        words.filter(move |word| !description.contains(word))
    }

    fn flaw(schema: &Value) -> Option<&'static str> {
        let has = |key: &str| !schema[key].is_null();
        if has("x-kubernetes-preserve-unknown-fields") {
            return Some("fields that nobody knows");
        }
        match schema["type"].as_str().unwrap_or("no type") {
            // As an `Option` of an enum makes, which `#[schemars(with = "..")]` mends.
            "string" if has("enum") && has("nullable") => {
                Some("the words of its enum for its own, and a null that Kubernetes refuses")
            }
            "string" if !has("enum") && !has("maxLength") => Some("a text of any length"),
            "integer" if !(has("minimum") && has("maximum")) => Some("a number without bounds"),
            "array" if !(has("maxItems") && has("x-kubernetes-list-type")) => {
                Some("a list without a bound or a type")
            }
            "object" if has("additionalProperties") && !has("maxProperties") => Some("a map without a bound"),
            "string" | "integer" | "array" | "object" | "boolean" => None,
            _ => Some("a type that a spec must not have"),
        }
    }
}
