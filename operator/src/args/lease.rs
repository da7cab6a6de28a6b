//! Which of several operators leads.

use clap::{Args, builder::NonEmptyStringValueParser};

/// The Lease that the leading operator holds, in the namespace of the operator's pod.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Leadership")]
pub struct LeaseOptions {
    /// The Lease's name. Operators that share it work one at a time.
    #[arg(
        long = "lease-name",
        env = "MILLRACE_LEASE_NAME",
        default_value = "millrace-operator",
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub name: String,

    /// What this operator is called in the Lease; no other may be called so. A process of the same name as one that
    /// died follows it at once. Without it, a random name.
    #[arg(
        long = "lease-identity",
        env = "MILLRACE_LEASE_IDENTITY",
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub identity: Option<String>,

    /// Seconds after which another leads in place of one that vanished. One that cannot renew the Lease ends after
    /// two thirds of them.
    #[arg(
        long = "lease-seconds",
        env = "MILLRACE_LEASE_SECONDS",
        default_value_t = 30,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u16).range(3..=600)
    )]
    pub seconds: u16,
}
