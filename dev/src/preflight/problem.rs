//! What is wrong with a machine, from facts about it. Pure.

use std::fmt;
use std::net::SocketAddrV4;
use std::path::PathBuf;

use super::facts::{Disk, Facts, Tool};

/// Something that has to be changed before the stack can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    NotRoot,
    OtherSystem { system: String },
    NoPackageTool,
    NoTool { tool: Tool },
    OldTool { tool: Tool, version: u32 },
    PortTaken { address: SocketAddrV4, owner: String },
    DiskFull { folder: PathBuf, free_bytes: u64, needed_bytes: u64 },
}

pub(super) fn problems(facts: &Facts) -> Vec<Problem> {
    let mut problems = Vec::new();
    if facts.system != "Linux x86_64" {
        problems.push(Problem::OtherSystem { system: facts.system.clone() });
    } else if !facts.has_package_tool {
        problems.push(Problem::NoPackageTool);
    }
    if !facts.is_root {
        problems.push(Problem::NotRoot);
    }
    problems.extend(facts.tools.iter().filter_map(|(tool, version)| tool_problem(*tool, *version)));
    problems.extend(
        facts
            .strangers
            .iter()
            .map(|(address, owner)| Problem::PortTaken { address: *address, owner: owner.clone() }),
    );
    problems.extend(facts.disks.iter().filter(|disk| disk.free_bytes < disk.needed_bytes).map(disk_problem));
    problems
}

/// A version that cannot be read is trusted: the tool itself will say what it lacks.
fn tool_problem(tool: Tool, version: Option<Option<u32>>) -> Option<Problem> {
    match version {
        None => Some(Problem::NoTool { tool }),
        Some(Some(version)) if version < tool.least_version() => Some(Problem::OldTool { tool, version }),
        Some(_) => None,
    }
}

fn disk_problem(disk: &Disk) -> Problem {
    let Disk { folder, free_bytes, needed_bytes } = disk.clone();
    Problem::DiskFull { folder, free_bytes, needed_bytes }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRoot => write!(formatter, "not running as root, which containers and bridges need"),
            Self::OtherSystem { system } => write!(formatter, "this is {system}, not Linux on x86_64"),
            Self::NoPackageTool => write!(formatter, "there is no apt-get: this is not Debian"),
            Self::NoTool { tool } => {
                write!(formatter, "`{}` is missing, for {}", tool.program(), tool.purpose())
            }
            Self::OldTool { tool, version } => {
                let (program, least) = (tool.program(), tool.least_version());
                write!(formatter, "`{program}` is version {version}, at least {least} is needed")
            }
            Self::PortTaken { address, owner } => write!(formatter, "port {address} is taken by {owner}"),
            Self::DiskFull { folder, free_bytes, needed_bytes } => {
                let (free, needed) = (gib(*free_bytes), gib(*needed_bytes));
                write!(formatter, "{free:.1} GiB are free for `{}`, {needed:.1} are needed", folder.display())
            }
        }
    }
}

impl Problem {
    /// What to do about it.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::NotRoot => "run it as root, for instance in a virtual machine of its own".to_owned(),
            Self::OtherSystem { .. } | Self::NoPackageTool => {
                "use a machine with Debian 12 or newer on x86_64".to_owned()
            }
            Self::NoTool { tool } | Self::OldTool { tool, .. } => tool.remedy().to_owned(),
            Self::PortTaken { .. } => "stop that program, or whatever starts it".to_owned(),
            Self::DiskFull { .. } => {
                "free some space, or set XDG_CACHE_HOME and XDG_STATE_HOME to a larger disk".to_owned()
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            is_root: true,
            system: "Linux x86_64".to_owned(),
            has_package_tool: true,
            tools: Tool::ALL.map(|tool| (tool, Some(Some(99)))).to_vec(),
            strangers: Vec::new(),
            disks: Vec::new(),
        }
    }

    fn check(change: impl FnOnce(&mut Facts), expected: &[Problem]) {
        let mut facts = good();
        change(&mut facts);
        assert_eq!(problems(&facts), expected);
    }

    #[test]
    fn a_good_machine_has_no_problem() {
        check(|_| (), &[]);
    }

    #[test]
    fn another_user_than_root_is_refused() {
        check(|facts| facts.is_root = false, &[Problem::NotRoot]);
    }

    #[test]
    fn a_machine_without_apt_is_refused() {
        check(|facts| facts.has_package_tool = false, &[Problem::NoPackageTool]);
    }

    #[test]
    fn another_system_is_refused_once() {
        let change = |facts: &mut Facts| {
            facts.system = "Darwin arm64".to_owned();
            facts.has_package_tool = false;
        };
        check(change, &[Problem::OtherSystem { system: "Darwin arm64".to_owned() }]);
    }

    #[test]
    fn a_missing_tool_is_named() {
        let change = |facts: &mut Facts| facts.tools = vec![(Tool::Go, None)];
        check(change, &[Problem::NoTool { tool: Tool::Go }]);
    }

    #[test]
    fn an_old_java_is_named() {
        let change = |facts: &mut Facts| facts.tools = vec![(Tool::Java, Some(Some(11)))];
        check(change, &[Problem::OldTool { tool: Tool::Java, version: 11 }]);
    }

    #[test]
    fn a_tool_that_hides_its_version_is_trusted() {
        check(|facts| facts.tools = vec![(Tool::Java, Some(None))], &[]);
    }

    #[test]
    fn a_taken_port_is_named_with_its_owner() {
        let address = "10.244.255.1:9092".parse().unwrap();
        let owner = "`nginx` (process 7)".to_owned();
        let change = |facts: &mut Facts| facts.strangers = vec![(address, owner.clone())];
        check(change, &[Problem::PortTaken { address, owner: owner.clone() }]);
    }

    #[test]
    fn a_full_disk_is_named() {
        let disk = Disk { folder: "/cache".into(), free_bytes: 1, needed_bytes: 2 };
        let problem = Problem::DiskFull { folder: "/cache".into(), free_bytes: 1, needed_bytes: 2 };
        check(|facts| facts.disks = vec![disk], &[problem]);
    }

    #[test]
    fn everything_is_said_at_once_with_remedies() {
        let facts = Facts {
            is_root: false,
            tools: Tool::ALL.map(|tool| (tool, None)).to_vec(),
            strangers: vec![("10.244.255.1:9092".parse().unwrap(), "`nginx` (process 7)".to_owned())],
            disks: vec![Disk { folder: "/cache".into(), free_bytes: 1 << 29, needed_bytes: 9 << 30 }],
            ..good()
        };
        let lines: Vec<String> =
            problems(&facts).iter().map(|problem| format!("{problem}: {}", problem.remedy())).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
