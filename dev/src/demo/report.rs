//! What the demo prints at its end.

use std::fmt::Write as _;
use std::time::Duration;

use super::cluster::Cluster;
use super::ledger::{Balance, Ledger};
use super::loads::Load;
use super::read::{Frequency, Hour};
use super::tenant::{self, Tenant};
use crate::console::table;

/// Everything that was seen.
pub(crate) struct Summary<'a> {
    pub(crate) balance: Balance,
    pub(crate) ledger: &'a Ledger,
    pub(crate) loads: &'a [Load],
    /// From the end of sending until the last event was readable.
    pub(crate) behind: Duration,
    pub(crate) frequencies: &'a [Frequency],
    pub(crate) hours: &'a [Hour],
    pub(crate) tenant: &'a Tenant,
    pub(crate) cluster: &'a Cluster,
    pub(crate) clickhouse_url: &'a str,
}

/// The whole text but the verdict, which is the last line of its own.
pub(crate) fn text(summary: &Summary<'_>) -> String {
    [loads(summary), counts(summary), frequencies(summary.frequencies), hours(summary.hours), next(summary)]
        .join("\n\n")
}

fn loads(summary: &Summary<'_>) -> String {
    let row = |load: &Load| {
        let seconds = load.took.as_secs_f64();
        let rate = load.events as f64 / seconds.max(0.001);
        [load.name.to_owned(), grouped(load.events), format!("{seconds:.1} s"), grouped(rate as u64)]
    };
    table(["load", "events", "took", "events/s"], summary.loads.iter().map(row).collect())
}

fn counts(summary: &Summary<'_>) -> String {
    let Balance { sent, stored, missing, duplicates } = summary.balance;
    let mut text = format!(
        "sent {}, stored {}, missing {}, double {}; requests repeated {}; readable {:.1} s after the last answer",
        grouped(sent),
        grouped(stored),
        grouped(missing),
        grouped(duplicates),
        grouped(summary.ledger.retries()),
        summary.behind.as_secs_f64(),
    );
    for (reason, count) in summary.ledger.refusals() {
        // Writing into a String cannot fail.
        let _ = write!(text, "\nrefused by the ingester: {} as `{reason}`", grouped(count));
    }
    text
}

fn frequencies(frequencies: &[Frequency]) -> String {
    let row = |frequency: &Frequency| [frequency.event_name.clone(), grouped(frequency.events)];
    table(["most frequent events", "stored"], frequencies.iter().map(row).collect())
}

fn hours(hours: &[Hour]) -> String {
    let row = |hour: &Hour| {
        [
            hour.hour.clone(),
            grouped(hour.events),
            grouped(hour.page_views),
            grouped(hour.visitors),
            grouped(hour.purchases),
        ]
    };
    table(["hour (UTC)", "events", "page views", "visitors", "purchases"], hours.iter().map(row).collect())
}

/// Lines that can be typed as they stand.
fn next(summary: &Summary<'_>) -> String {
    let Tenant { id: _, key: _, ingester, database } = summary.tenant;
    let (kubectl, name) = (summary.cluster.kubectl.display(), tenant::NAME);
    format!(
        "\
Ingester    {ingester}
ClickHouse  {clickhouse} (database {database})

export KUBECONFIG={kubeconfig}
alias kubectl={kubectl}
kubectl get atn,apl,pods -o wide
KEY=$(kubectl get secret {name}-api-keys -o jsonpath='{{.data.default}}' | base64 -d)
curl -sS {ingester}/events -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\
  -d '{{\"event_name\":\"page_view\",\"user_id\":\"user123\",\"properties\":{{\"page\":\"/dashboard\"}}}}'
make status",
        clickhouse = summary.clickhouse_url,
        kubeconfig = summary.cluster.kubeconfig.display(),
    )
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A bar of `done` out of `all`, with the numbers and the rate.
pub(crate) fn bar(done: u64, all: u64, took: Duration) -> String {
    const WIDTH: u64 = 24;
    let filled = (done.min(all) * WIDTH).checked_div(all).unwrap_or(WIDTH);
    let rate = done as f64 / took.as_secs_f64().max(0.001);
    format!(
        "[{}{}] {} of {}, {}/s",
        "#".repeat(filled as usize),
        "-".repeat((WIDTH - filled) as usize),
        grouped(done),
        grouped(all),
        grouped(rate as u64),
    )
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::demo::ledger::{Found, Outcome};

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_bar_fills_up() {
        let second = Duration::from_secs(1);
        assert_eq!(bar(0, 100, second), "[------------------------] 0 of 100, 0/s");
        assert_eq!(bar(50, 100, second), "[############------------] 50 of 100, 50/s");
        assert_eq!(bar(100, 100, second), "[########################] 100 of 100, 100/s");
    }

    #[test]
    fn the_report_reads_as_a_person_wants_to_see_it() {
        let mut ledger = Ledger::default();
        ledger.write(Uuid::from_u128(1), Outcome::Accepted);
        ledger.write(Uuid::from_u128(2), Outcome::Refused("nul_character".to_owned()));
        let tenant = Tenant {
            id: "default-acme".to_owned(),
            key: "mrw_not_shown".to_owned(),
            ingester: "http://10.96.0.7:8080".to_owned(),
            database: "t_default_acme".to_owned(),
        };
        let hour = Hour {
            hour: "2026-01-31 12:00".to_owned(),
            events: 31_000,
            page_views: 20_000,
            visitors: 1_500,
            purchases: 99,
        };
        let report = text(&Summary {
            balance: Balance::new(2, Found { rows: 1, ids: 1 }),
            ledger: &ledger,
            loads: &[Load {
                name: "send a shop's visitors",
                events: 200_000,
                took: Duration::from_millis(8_000),
            }],
            behind: Duration::from_millis(1_200),
            frequencies: &[Frequency { event_name: "page_view".to_owned(), events: 120_000 }],
            hours: &[hour],
            tenant: &tenant,
            cluster: &Cluster {
                kubectl: "/cache/kubectl".into(),
                helm: "/cache/helm".into(),
                kubeconfig: "/state/kubeconfig".into(),
            },
            clickhouse_url: "http://10.244.255.1:8123",
        });
        assert!(!report.contains("mrw_"), "{report}");
        insta::assert_snapshot!(report);
    }
}
