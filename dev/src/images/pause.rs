//! The image of a pod's first process, which every Kubernetes node needs and usually downloads.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Error, ImageRef, REPOSITORY, builder, store::Store, tag};
use crate::command::run;
use crate::folders::Folders;

const PROGRAM: &str = include_str!("../../pause/pause.c");
const CONTAINERFILE: &str = include_str!("../../pause/Containerfile");

/// Compiling ten lines takes 0.1 s.
const COMPILE: Duration = Duration::from_secs(60);

/// The name of the image, which containerd's configuration contains.
pub(crate) fn reference() -> ImageRef {
    ImageRef { repository: format!("{REPOSITORY}/pause"), tag: tag::of_texts(&[PROGRAM, CONTAINERFILE]) }
}

/// Imports the image into containerd, unless it is there.
pub(crate) fn ensure(folders: &Folders) -> Result<(), Error> {
    let image = reference();
    let store = Store::new(folders);
    if store.has(&image)? {
        return Ok(());
    }
    let context = builder::empty_context(folders)?;
    compile(context.path())?;
    builder::build_context(folders, context.path(), &image)?;
    let archive = builder::export(folders, &image)?;
    store.import(&image, archive.path())
}

fn compile(context: &Path) -> Result<(), Error> {
    for (name, text) in [("pause.c", PROGRAM), ("Containerfile", CONTAINERFILE)] {
        let path = context.join(name);
        fs::write(&path, text).map_err(|source| Error::Write { path, source })?;
    }
    let (source_file, program) = (context.join("pause.c"), context.join("pause"));
    let arguments = [
        "-static".as_ref(),
        "-Os".as_ref(),
        "-s".as_ref(),
        "-o".as_ref(),
        program.as_os_str(),
        source_file.as_os_str(),
    ];
    run("gcc", &arguments, COMPILE).map(drop).map_err(|source| Error::CompilePause { source })
}
