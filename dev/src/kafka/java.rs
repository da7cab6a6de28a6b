//! How Java is called.
//!
//! Kafka's 9,000 classes are read from an archive that was written once per machine (class-data sharing),
//! which halves the time of a start. Java checks that the class path is the same text and the jars are the same files,
//! hence relative paths in a fixed order and the installation as the working folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClassArchive;
use super::options::{Aim, KafkaOptions};
use crate::process::Spec;

/// The archive's file in the installation.
pub(crate) const ARCHIVE: &str = "kafka.jsa";

pub(super) fn broker(
    installation: &Path,
    options: &KafkaOptions,
    folder: &Path,
    archive: ClassArchive,
) -> Spec {
    let mut args = vec![
        format!("-Xmx{}m", options.heap_mib),
        // A broker without memory must end and be noticed, not answer now and then.
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
        "-Dorg.slf4j.simpleLogger.showDateTime=true".to_owned(),
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX".to_owned(),
    ];
    args.extend(match options.aim {
        Aim::QuickStart => Some("-XX:TieredStopAtLevel=1".to_owned()),
        Aim::Throughput => None,
    });
    args.extend(machine(installation, folder, archive));
    args.extend(["kafka.Kafka".to_owned(), properties(folder).display().to_string()]);
    Spec {
        name: options.name.clone(),
        program: PathBuf::from("java"),
        args,
        env: Vec::new(),
        working_folder: Some(installation.to_owned()),
    }
}

/// The program that makes an empty data folder. What follows `@` is a file with further arguments.
pub(super) fn storage_tool(installation: &Path, folder: &Path, arguments: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .current_dir(installation)
        .arg("-XX:TieredStopAtLevel=1")
        .args(machine(installation, folder, ClassArchive::Read))
        .args(["kafka.tools.StorageTool", "format", "--standalone", "--config"])
        .arg(properties(folder))
        .arg(format!("@{}", arguments.display()));
    command
}

pub(super) fn properties(folder: &Path) -> PathBuf {
    folder.join("server.properties")
}

fn machine(installation: &Path, folder: &Path, archive: ClassArchive) -> Vec<String> {
    let archive = match archive {
        ClassArchive::Read => format!("-XX:SharedArchiveFile={ARCHIVE}"),
        ClassArchive::Write => format!("-XX:ArchiveClassesAtExit={ARCHIVE}"),
    };
    vec![
        "-XX:+UseSerialGC".to_owned(),
        // Its files in `/tmp` would outlive a killed process.
        "-XX:-UsePerfData".to_owned(),
        format!("-Djava.io.tmpdir={}", folder.join("tmp").display()),
        archive,
        // An archive that does not fit, say after Java was upgraded, is left aside without a word.
        "-Xshare:auto".to_owned(),
        "-Xlog:disable".to_owned(),
        "-Xlog:all=error:stderr".to_owned(),
        "-cp".to_owned(),
        class_path(installation),
    ]
}

/// An installation without jars has an empty class path, and Java says that it finds no Kafka.
fn class_path(installation: &Path) -> String {
    let entries = std::fs::read_dir(installation.join("libs")).into_iter().flatten().flatten();
    let mut jars: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    jars.sort();
    jars.iter().map(|jar| format!("libs/{jar}")).collect::<Vec<_>>().join(":")
}
