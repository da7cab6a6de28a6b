//! The command `dev`. What it does is in the library.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use dev::args::{Args, Command};
use dev::console::Console;
use dev::folders::Folders;
use dev::{demo, down, images, status, up};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(text) => exit(std::io::stdout(), &text, ExitCode::SUCCESS),
        Err(error) => exit(std::io::stderr(), &format!("error: {error:#}"), ExitCode::FAILURE),
    }
}

fn run(args: &Args) -> anyhow::Result<String> {
    let folders = Folders::of_this_user()?;
    let console = Console::on_stderr();
    match args.command {
        Command::Up => up::up(&folders, &console).map(|parts| up::report(&parts)),
        Command::Down => down::down(&folders, &console).map(|()| "the local stack is gone".to_owned()),
        Command::Status => status::status(&folders),
        Command::Images => images::compile_and_build(&folders, &console).map(|images| images::lines(&images)),
        Command::Demo { events } => demo::run(&folders, &console, demo::Options { events }),
    }
}

fn exit(mut to: impl Write, text: &str, code: ExitCode) -> ExitCode {
    // Whoever closed the output does not want to read it.
    let _ = writeln!(to, "{}", text.trim_end());
    code
}
