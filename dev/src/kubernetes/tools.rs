//! The Kubernetes programs that this machine built, and how they are called.

use std::path::PathBuf;

use crate::process::Spec;

/// Our addresses are never asked of a company's web proxy.
const NO_PROXY: &str = "127.0.0.1,localhost,10.244.0.0/16,10.96.0.0/16,.svc";

/// The folder with the Kubernetes programs.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The process `name` that runs `program` with these flags.
    pub(crate) fn spec(&self, name: &str, program: &str, flags: &[(&str, String)]) -> Spec {
        Spec {
            name: name.to_owned(),
            program: self.program(program),
            args: flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect(),
            env: environment(),
            working_folder: None,
        }
    }
}

/// What every program that calls the API server has in its environment.
pub(crate) fn environment() -> Vec<(String, String)> {
    ["NO_PROXY", "no_proxy"].map(|name| (name.to_owned(), NO_PROXY.to_owned())).to_vec()
}
