//! The CustomResourceDefinitions as YAML, kept beside the types and in the chart.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{AnalyticsTenant, Pipeline};

/// Both definitions, in the order of their names.
#[must_use]
pub fn definitions() -> [CustomResourceDefinition; 2] {
    [AnalyticsTenant::crd(), Pipeline::crd()]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `UPDATE=1 cargo test -p crds` writes the files; without it the test verifies them.
    #[allow(clippy::disallowed_methods, reason = "the switch of this test is an environment variable")]
    fn is_updating() -> bool {
        std::env::var("UPDATE").is_ok_and(|value| value == "1")
    }

    /// The types' own copy, and the one inside the chart, since a chart cannot read files outside of its folder.
    const FOLDERS: [&str; 2] = ["", "../charts/millrace/files/crds"];

    #[test]
    fn the_generated_files_are_up_to_date() {
        for definition in definitions() {
            let name = format!("{}.yaml", definition.spec.names.kind.to_lowercase());
            let text = format!(
                "# Generated from crds/src by `UPDATE=1 cargo test -p crds`; edit the types instead.\n{}",
                serde_saphyr::to_string(&definition).unwrap()
            );
            for folder in FOLDERS {
                let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(&name);
                if is_updating() {
                    std::fs::write(&file, &text).unwrap();
                }
                let written = std::fs::read_to_string(&file).unwrap_or_default();
                assert_eq!(written, text, "{}: run `UPDATE=1 cargo test -p crds`", file.display());
            }
        }
    }
}
