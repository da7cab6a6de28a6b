//! The whole operator on a real API server, Kafka and ClickHouse, disturbed at each change of a Kubernetes object: it
//! dies before or after it, or another operator does all there is to do meanwhile. The end has to be that of the
//! undisturbed run, and then nothing is written any more.
//!
//! What changes in Kafka and ClickHouse lies between changes of Kubernetes objects, which say what is about to be made
//! and what was made, so that it is there or not at the next crash. The perturbation in memory, that of the operator's
//! own tests, has more scenarios and ways, and strikes at those changes and at reads too.
//!
//! `cargo test` runs some of the points and `make perturb` all of them.

mod end_state;
mod scenario;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, stream};
use harness::disturbance::{Disturbance, Strike};
use harness::kubernetes::Ground;
use harness::operator::{Operator, flags};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use end_state::EndState;
use scenario::Scenario;

/// As for the perturbation in memory.
const VARIABLE: &str = "MILLRACE_PERTURB";
/// Which points where not all are asked for.
const SEED: u64 = 1;
/// So many then.
const SOME: usize = 24;
/// Points at a time; most of their time is spent on waiting.
const AT_A_TIME: usize = 8;
/// Of the changes that the undisturbed run made, one more or less: both controllers work at a time.
const FEWEST_STRUCK_PER_CENT: usize = 80;

const TEST: Duration = Duration::from_secs(3_600);
const DEADLINE: Duration = Duration::from_secs(90);
/// Nothing is expected after so long without a change. Whatever follows a change takes milliseconds.
const QUIET: Duration = Duration::from_millis(1_500);

const STRIKES: [Strike; 3] = [Strike::CrashBefore, Strike::CrashAfter, Strike::StandStill];

/// What all runs share.
struct World {
    cluster: PrivateCluster,
    kafka: PrivateKafka,
    clickhouse: PrivateClickHouse,
    flags: Vec<String>,
    _stand_in: StandIn,
    _folder: tempfile::TempDir,
}

/// A scenario with its undisturbed run.
struct Prepared {
    scenario: Scenario,
    changes: Vec<String>,
    end: EndState,
}

struct Point {
    prepared: Arc<Prepared>,
    change: usize,
    strike: Strike,
}

/// Which points are run.
enum Choice {
    Some,
    All,
    One { scenario: String, change: usize, strike: String },
}

impl Choice {
    #[allow(clippy::disallowed_methods, reason = "a test has no command line")]
    fn asked_for() -> anyhow::Result<Self> {
        let Ok(text) = std::env::var(VARIABLE) else { return Ok(Self::Some) };
        match text.split('/').collect::<Vec<_>>()[..] {
            ["all", _] => Ok(Self::All),
            [scenario, change, strike, _] => {
                let change = change.parse()?;
                Ok(Self::One { scenario: scenario.to_owned(), change, strike: strike.to_owned() })
            }
            _ => bail!("{VARIABLE} is `{text}`"),
        }
    }

    fn of(&self, mut points: Vec<Point>) -> Vec<Point> {
        match self {
            Self::All => points,
            Self::Some => {
                points.shuffle(&mut StdRng::seed_from_u64(SEED));
                points.truncate(SOME);
                points
            }
            Self::One { scenario, change, strike } => {
                points.retain(|point| {
                    point.prepared.scenario.name == scenario
                        && point.change == *change
                        && format!("{:?}", point.strike) == *strike
                });
                points
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_03_the_end_is_the_same_whatever_happens_at_a_change_on_a_real_api_server() -> anyhow::Result<()>
{
    within(TEST, async {
        let (choice, world) = (Choice::asked_for()?, &World::start().await?);
        let started = now();
        let prepared = stream::iter(scenario::all()).map(|scenario| world.prepare(scenario));
        let prepared: Vec<_> = prepared.buffered(AT_A_TIME).collect().await;
        let prepared = prepared.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let points = choice.of(points(&prepared));
        let runs = points.iter().map(|point| async move { (point, world.run(point).await) });
        let outcomes: Vec<_> = stream::iter(runs).buffer_unordered(AT_A_TIME).collect().await;
        let failures: Vec<String> = outcomes
            .iter()
            .filter_map(|(point, outcome)| {
                outcome.as_ref().err().map(|failure| format!("{}\n{failure:#}", told(point)))
            })
            .collect();
        ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), points.len(), failures.join("\n\n"));
        let struck = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Ok(true))).count();
        ensure!(struck * 100 >= points.len() * FEWEST_STRUCK_PER_CENT, "{struck} of {} struck", points.len());
        let changes: usize = prepared.iter().map(|prepared| prepared.changes.len()).sum();
        let summary = format!(
            "perturbed {struck} points at {changes} changes of {} scenarios on a real API server in {:.1} s\n",
            prepared.len(),
            (now() - started).as_secs_f64(),
        );
        std::fs::write(target_folder()?.join("perturb-live.txt"), summary)?;
        Ok(())
    })
    .await
}

fn points(prepared: &[Arc<Prepared>]) -> Vec<Point> {
    let mut points = Vec::new();
    for prepared in prepared {
        for change in 1..=prepared.changes.len() {
            let of = |strike| Point { prepared: Arc::clone(prepared), change, strike };
            points.extend(STRIKES.map(of));
        }
    }
    points
}

fn told(point: &Point) -> String {
    let (name, change, strike) = (point.prepared.scenario.name, point.change, point.strike);
    let line = &point.prepared.changes[change - 1];
    format!(
        "{name}: {strike:?} at change {change}, `{line}` in the undisturbed run\n  {VARIABLE}='{name}/{change}/{strike:?}/{SEED}' cargo test -p tests --features tests/live --test it live::perturbation"
    )
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let (cluster, kafka, clickhouse) =
            tokio::try_join!(PrivateCluster::start(), PrivateKafka::start(), PrivateClickHouse::start())?;
        let folder = tempfile::TempDir::new()?;
        let flags = flags(&kafka.address(), &clickhouse, folder.path())?;
        let stand_in = StandIn::start(&cluster.client().await?);
        Ok(Self { cluster, kafka, clickhouse, flags, _stand_in: stand_in, _folder: folder })
    }

    async fn operator(&self, disturbance: &Disturbance) -> anyhow::Result<Operator> {
        Operator::start(disturbance.client(self.cluster.config().await?)?, &self.flags)
    }

    async fn prepare(&self, scenario: Scenario) -> anyhow::Result<Arc<Prepared>> {
        let (ground, disturbance, operator) = self.begin(&scenario).await?;
        disturbance.count();
        scenario.take_steps(&ground).await?;
        self.rest(&scenario, &ground, &[&disturbance]).await?;
        let (changes, end) = (disturbance.changes(), EndState::of(self, &ground).await?);
        operator.stop().await?;
        ensure!(!changes.is_empty(), "{} changes nothing", scenario.name);
        Ok(Arc::new(Prepared { scenario, changes, end }))
    }

    /// An operator at rest in a namespace where what was there before is there.
    async fn begin(&self, scenario: &Scenario) -> anyhow::Result<(Ground, Disturbance, Operator)> {
        let ground = self.cluster.ground("run").await?;
        let disturbance = Disturbance::of(&ground.name);
        let operator = self.operator(&disturbance).await?;
        if scenario.make_given(&ground).await? {
            until(DEADLINE, "rest before the scenario", || async {
                let (quiet, is_ready) = (disturbance.quiet(), scenario::is_ready(&ground).await?);
                let seen = format!("quiet for {quiet:?}; {}", scenario::told(&ground).await?);
                Ok(Look::at(quiet > QUIET && is_ready, seen))
            })
            .await?;
        }
        Ok((ground, disturbance, operator))
    }

    /// Waits until the scenario is where it leads to, and nobody changes anything.
    async fn rest(
        &self,
        scenario: &Scenario,
        ground: &Ground,
        operators: &[&Disturbance],
    ) -> anyhow::Result<()> {
        until(DEADLINE, &format!("rest of `{}`", scenario.name), || async {
            if operators.iter().any(|operator| operator.quiet() < QUIET) {
                return Ok(Look::NotYet("somebody changes something".to_owned()));
            }
            scenario.look(ground).await
        })
        .await
    }

    /// Whether it struck.
    async fn run(&self, point: &Point) -> anyhow::Result<bool> {
        let scenario = &point.prepared.scenario;
        let (ground, first, operator) = self.begin(scenario).await?;
        first.strike_at(point.change, point.strike);
        scenario.take_steps(&ground).await?;
        let alone = [&first];
        let has_struck = tokio::select! {
            () = first.struck() => true,
            rest = self.rest(scenario, &ground, &alone) => { rest?; false }
        };
        let second = Disturbance::of(&ground.name);
        let (other, operator) = match point.strike {
            Strike::CrashBefore | Strike::CrashAfter => {
                operator.vanish().await;
                (self.operator(&second).await?, None)
            }
            Strike::StandStill => {
                let other = self.operator(&second).await?;
                self.rest(scenario, &ground, &[&second]).await.context("the other operator")?;
                first.go_on();
                (other, Some(operator))
            }
        };
        let outcome = self.ends_as(point, &ground, &[&first, &second]).await;
        for operator in [Some(other), operator].into_iter().flatten() {
            operator.stop().await?;
        }
        outcome.map(|()| has_struck)
    }

    async fn ends_as(
        &self,
        point: &Point,
        ground: &Ground,
        operators: &[&Disturbance],
    ) -> anyhow::Result<()> {
        self.rest(&point.prepared.scenario, ground, operators).await?;
        let end = EndState::of(self, ground).await?;
        if let Some(difference) = point.prepared.end.difference(&end) {
            bail!("the end is another one\n{difference}");
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "the run is measured here")]
fn now() -> Instant {
    Instant::now()
}

/// The folder `target`, of which this program lies in `debug/deps`.
fn target_folder() -> anyhow::Result<std::path::PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(3).context("a test lies in target/debug/deps")?.to_owned())
}
