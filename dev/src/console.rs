//! What a person sees while the stack is started: one line per step, with its time.
//!
//! On a terminal a running step shows a spinner; elsewhere a plain line appears every few seconds,
//! so that a log of a build shows that something goes on.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Between two lines of a long step where there is no terminal: often enough to see life, rare enough for a log.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Frames of a spinner.
const SPIN: Duration = Duration::from_millis(100);

/// Where progress is shown. Clones show it at the same place.
#[derive(Debug, Clone)]
pub struct Console {
    look: Look,
}

#[derive(Debug, Clone)]
enum Look {
    Terminal(MultiProgress),
    Plain,
    Silent,
    #[cfg(test)]
    Recorded(Sender<String>),
}

/// The running step, for the work to say how far it is.
#[derive(Debug, Clone)]
pub struct Progress {
    spinner: Option<ProgressBar>,
    detail: Arc<Mutex<String>>,
}

impl Console {
    /// Progress on the error output, as its kind asks for.
    #[must_use]
    pub fn on_stderr() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { look: if is_terminal { Look::Terminal(MultiProgress::new()) } else { Look::Plain } }
    }

    /// No progress at all: for tests.
    #[must_use]
    pub fn silent() -> Self {
        Self { look: Look::Silent }
    }

    /// A console for tests, and the lines that it shows.
    #[cfg(test)]
    pub(crate) fn recorded() -> (Self, mpsc::Receiver<String>) {
        let (sender, lines) = mpsc::channel();
        (Self { look: Look::Recorded(sender) }, lines)
    }

    /// Does the work and shows its name and how long it took.
    ///
    /// # Errors
    /// Whatever the work returns.
    pub fn step<T, E>(&self, name: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.progress(name, |_| work())
    }

    /// As `step`, for work that can say how far it is.
    ///
    /// # Errors
    /// Whatever the work returns.
    #[allow(clippy::disallowed_methods, reason = "shows how long a step really took")]
    pub fn progress<T, E>(&self, name: &str, work: impl FnOnce(&Progress) -> Result<T, E>) -> Result<T, E> {
        let begin = Instant::now();
        let (progress, ticker) = self.begin(name, begin);
        let result = work(&progress);
        if let Some(spinner) = &progress.spinner {
            spinner.finish_and_clear();
        }
        drop(ticker);
        self.say(&finished(&self.look, name, begin.elapsed(), result.is_ok()));
        result
    }

    /// Shows one line above the running steps.
    pub fn say(&self, line: &str) {
        // There is nowhere to report that the error output is closed.
        let _ = match &self.look {
            Look::Terminal(all) => all.println(line),
            Look::Plain => writeln!(std::io::stderr(), "{line}"),
            Look::Silent => Ok(()),
            #[cfg(test)]
            Look::Recorded(lines) => lines.send(line.to_owned()).map_err(std::io::Error::other),
        };
    }

    fn begin(&self, name: &str, begin: Instant) -> (Progress, Option<Ticker>) {
        let detail = Arc::new(Mutex::new(String::new()));
        match &self.look {
            Look::Silent => (Progress { spinner: None, detail }, None),
            #[cfg(test)]
            Look::Recorded(_) => (Progress { spinner: None, detail }, None),
            Look::Plain => {
                let ticker = Ticker::start(name.to_owned(), begin, Arc::clone(&detail));
                (Progress { spinner: None, detail }, Some(ticker))
            }
            Look::Terminal(all) => {
                let spinner = all.add(ProgressBar::new_spinner());
                let style =
                    ProgressStyle::with_template("{spinner:.cyan} {prefix} {elapsed:.dim} {wide_msg:.dim}")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner());
                spinner.set_style(style);
                spinner.set_prefix(name.to_owned());
                spinner.enable_steady_tick(SPIN);
                (Progress { spinner: Some(spinner), detail }, None)
            }
        }
    }
}

impl Progress {
    /// Says how far the work is, as in "1200 packages".
    pub fn detail(&self, text: impl Into<Cow<'static, str>>) {
        let text = text.into();
        if let Some(spinner) = &self.spinner {
            spinner.set_message(text.clone());
        }
        *self.detail.lock().unwrap_or_else(PoisonError::into_inner) = text.into_owned();
    }
}

/// Writes a line every few seconds until it is dropped.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(name: String, begin: Instant, detail: Arc<Mutex<String>>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(PLAIN_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let detail = detail.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let line = running(&name, begin.elapsed(), &detail);
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic in it lost a line of progress and nothing else.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The cells as aligned columns below their header, without lines or colours: a table may go to a file.
#[must_use]
pub fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header).add_rows(rows);
    table.trim_fmt()
}

fn running(name: &str, elapsed: Duration, detail: &str) -> String {
    let separator = if detail.is_empty() { "" } else { ", " };
    format!("  {name}: {} s{separator}{detail}", elapsed.as_secs())
}

fn finished(look: &Look, name: &str, elapsed: Duration, is_ok: bool) -> String {
    let seconds = elapsed.as_secs_f64();
    let is_coloured = matches!(look, Look::Terminal(_));
    match (is_coloured, is_ok) {
        (true, true) => format!("\x1b[32m✓\x1b[0m {name} \x1b[2m{seconds:.1} s\x1b[0m"),
        (true, false) => format!("\x1b[31m✗\x1b[0m {name} \x1b[2m{seconds:.1} s\x1b[0m"),
        (false, true) => format!("  {name}: done in {seconds:.1} s"),
        (false, false) => format!("  {name}: failed after {seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_step_says_its_name_its_time_and_its_detail() {
        let elapsed = Duration::from_secs(20);
        assert_eq!(running("Helm", elapsed, ""), "  Helm: 20 s");
        assert_eq!(running("Helm", elapsed, "12 packages"), "  Helm: 20 s, 12 packages");
    }

    #[test]
    fn without_a_terminal_nothing_is_coloured() {
        let line = finished(&Look::Plain, "Helm", Duration::from_millis(1250), true);
        assert_eq!(line, "  Helm: done in 1.2 s");
    }

    #[test]
    fn a_failed_step_is_not_called_done() {
        let result: Result<(), &str> = Console::silent().step("Helm", || Err("no"));
        assert_eq!(result, Err("no"));
        assert!(!finished(&Look::Plain, "Helm", Duration::ZERO, result.is_ok()).contains("done"));
    }

    #[test]
    fn a_table_is_aligned_and_has_no_lines() {
        let rows = vec![["etcd".to_owned(), "1".to_owned()], ["kubelet".to_owned(), "22".to_owned()]];
        insta::assert_snapshot!(table(["part", "pid"], rows));
    }
}
