//! What a machine must have before anything is changed on it. All that is missing is said at once, each with its remedy.

use std::fmt::Write as _;

use crate::folders::Folders;

mod facts;
mod problem;

use problem::problems;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("this machine cannot run the local stack yet:{list}")]
    Problems { list: String },
}

/// # Errors
/// When something is missing; the text names each thing and its remedy.
pub(crate) fn check(folders: &Folders) -> Result<(), Error> {
    let problems = problems(&facts::gather(folders));
    if problems.is_empty() {
        return Ok(());
    }
    let mut list = String::new();
    for problem in problems {
        // Writing to a String cannot fail.
        let _ = write!(list, "\n  - {problem}\n    {}", problem.remedy());
    }
    Err(Error::Problems { list })
}
