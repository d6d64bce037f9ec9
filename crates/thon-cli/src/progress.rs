//! Progress on standard error, from the one stream of events.
//!
//! For: bars on a terminal and plain lines elsewhere.
//! Not for: results.

use std::collections::{BTreeSet, HashMap};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use thon::core::disk::DiskLevel;
use thon::core::event::{Event, EventStream, Stamped};
use thon::core::instance::InstanceState;
use thon::core::limits::ByteSize;
use thon::core::name::UserId;
use thon::core::plan::Verb;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinHandle;

use crate::output::{Output, count};

/// Shows events until it is finished.
pub(crate) struct Progress {
    task: JoinHandle<Screen>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Progress {
    /// Shows everything that `events` say from now on.
    pub(crate) fn show(events: &EventStream, output: &Output) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let receiver = events.subscribe();
        let screen = Screen::new(output.clone());
        Self { task: tokio::spawn(follow(receiver, screen, stopped)), stop }
    }

    /// Shows what was said until now and takes the bars away.
    pub(crate) async fn finish(self) {
        // Nobody listens any more only if the task ended by itself.
        let _ = self.stop.send(());
        if let Ok(screen) = self.task.await {
            screen.clear();
        }
    }
}

async fn follow(
    mut events: Receiver<Arc<Stamped>>,
    mut screen: Screen,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> Screen {
    loop {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(stamped) => screen.take(&stamped.event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return screen,
            },
            _ = &mut stopped => break,
        }
    }
    loop {
        match events.try_recv() {
            Ok(stamped) => screen.take(&stamped.event),
            Err(TryRecvError::Lagged(_)) => {}
            Err(_) => return screen,
        }
    }
}

/// What is shown at the moment.
struct Screen {
    output: Output,
    bars: Option<MultiProgress>,
    steps: HashMap<String, Step>,
    launch: Launch,
}

struct Step {
    bar: Option<ProgressBar>,
    last: String,
    place: Option<(u64, u64)>,
}

#[derive(Default)]
struct Launch {
    bar: Option<ProgressBar>,
    pending: BTreeSet<UserId>,
    total: usize,
    done: usize,
    failed: usize,
    wait: Option<Duration>,
}

impl Screen {
    fn new(output: Output) -> Self {
        let bars = (!output.quiet() && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { output, bars, steps: HashMap::new(), launch: Launch::default() }
    }

    fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) if !self.output.quiet() => drop(bars.println(text)),
            _ => self.output.note(text),
        }
    }

    fn clear(self) {
        for step in self.steps.into_values().filter_map(|step| step.bar) {
            step.finish_and_clear();
        }
        if let Some(bar) = self.launch.bar {
            bar.finish_and_clear();
        }
    }

    fn bar(&self, style: &str) -> Option<ProgressBar> {
        let bar = self.bars.as_ref()?.add(ProgressBar::no_length());
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Some(bar)
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step, text } => self.step_started(step, text),
            Event::StepProgress { step, text, done } => self.step_progress(step, text, *done),
            Event::StepFinished { step, text } => {
                if let Some(Step { bar: Some(bar), .. }) = self.steps.remove(step) {
                    bar.finish_and_clear();
                }
                self.say(&format!("{step}: {text}"));
            }
            Event::Planned { summary } => self.planned(summary),
            Event::Queued { position, of, estimate, .. } => {
                if position == of {
                    self.launch.wait = *estimate;
                }
                self.refresh();
            }
            Event::InstanceChanged { user, to, reason, .. } => {
                self.changed(user, *to, reason.as_deref());
            }
            Event::Retrying { user, attempt, failure } => {
                self.say(&format!("{user}: trying again, attempt {attempt}: {failure}"));
            }
            Event::ProxyApplied { change, routes } => {
                let word = serde_json::to_value(change).ok();
                let word = word.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
                self.say(&format!("proxy: {word}, {}", count(*routes, "route", "routes")));
            }
            Event::RouteChecked { user, problem: Some(problem) } => {
                self.say(&format!("{user}: not reached through the proxy: {problem}"));
            }
            Event::DiskPressing { user, level, used, limit } => {
                let word = if *level == DiskLevel::Over { "over" } else { "near" };
                let [used, limit] = [*used, *limit].map(|bytes| ByteSize::new(bytes).about());
                self.say(&format!("{user}: {word} the disk limit: {used} of {limit} used"));
            }
            Event::Warning { text } => self.say(&format!("warning: {text}")),
            Event::WorkspaceReady { user, change } if self.output.verbose() > 0 => {
                self.say(&format!("{user}: workspace {change:?}").to_lowercase());
            }
            Event::WorkspaceReady { .. }
            | Event::RouteChecked { .. }
            | Event::OperationChanged { .. }
            | Event::RosterChanged
            | Event::Examined => {}
        }
    }

    fn step_started(&mut self, step: &str, text: &str) {
        let bar = self.bar("{spinner} {prefix} [{elapsed}] {bar:24} {pos}/{len} {wide_msg}");
        if let Some(bar) = &bar {
            bar.set_prefix(step.to_owned());
            bar.set_message(text.to_owned());
        } else {
            self.output.note(&format!("{step}: {text}"));
        }
        self.steps.insert(step.to_owned(), Step { bar, last: text.to_owned(), place: None });
    }

    fn step_progress(&mut self, step: &str, text: &str, done: Option<(u64, u64)>) {
        let verbose = self.output.verbose() > 0;
        let Some(known) = self.steps.get_mut(step) else { return };
        let news = known.last != text;
        let further = done.is_some() && done != known.place;
        text.clone_into(&mut known.last);
        known.place = done.or(known.place);
        if let Some(bar) = &known.bar {
            if let Some((done, total)) = done {
                bar.set_length(total);
                bar.set_position(done);
            }
            bar.set_message(text.to_owned());
        } else if further || (news && verbose) {
            let place = done.map_or_else(String::new, |(done, total)| format!(" {done}/{total}"));
            self.output.note(&format!("{step}{place}: {text}"));
        }
    }

    fn planned(&mut self, summary: &std::collections::BTreeMap<Verb, usize>) {
        let words: Vec<String> =
            summary.iter().map(|(verb, count)| format!("{count} {verb}")).collect();
        let launches = [Verb::Create, Verb::Start, Verb::Resume, Verb::Recreate];
        let total = launches.iter().filter_map(|verb| summary.get(verb)).sum();
        self.say(&format!(
            "plan: {}",
            if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
        ));
        self.launch = Launch { total, ..Launch::default() };
        if total > 0 {
            self.launch.bar =
                self.bar("{spinner} launch [{elapsed}] {bar:24} {pos}/{len} {wide_msg}");
            if let Some(bar) = &self.launch.bar {
                bar.set_length(total as u64);
            }
        }
    }

    fn changed(&mut self, user: &UserId, to: InstanceState, reason: Option<&str>) {
        match to {
            InstanceState::Pending => drop(self.launch.pending.insert(user.clone())),
            InstanceState::Running | InstanceState::Failed => {
                if self.launch.pending.remove(user) {
                    self.launch.done += usize::from(to == InstanceState::Running);
                }
                self.launch.failed += usize::from(to == InstanceState::Failed);
            }
            _ => {}
        }
        let Launch { done, total, .. } = self.launch;
        let counts = if total > 0 { format!(" ({done}/{total})") } else { String::new() };
        match to {
            InstanceState::Running if self.bars.is_none() => {
                self.output.note(&format!("{user}: running{counts}"));
            }
            InstanceState::Failed => {
                self.say(&format!("{user}: failed: {}", reason.unwrap_or("no reason is known")));
            }
            InstanceState::Paused => self.say(&format!("{user}: paused")),
            InstanceState::Terminated => self.say(&format!("{user}: stopped")),
            InstanceState::Pending if self.output.verbose() > 0 => {
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                self.say(&format!("{user}: waits{reason}"));
            }
            _ => {}
        }
        self.refresh();
    }

    fn refresh(&self) {
        let Some(bar) = &self.launch.bar else { return };
        bar.set_position(self.launch.done as u64);
        let mut words = Vec::new();
        if self.launch.failed > 0 {
            words.push(format!("{} failed", self.launch.failed));
        }
        if self.launch.done == self.launch.total {
            words.push("trying every URL through the proxy".to_owned());
        } else if let Some(wait) = self.launch.wait {
            words.push(format!("about {} s left", wait.as_secs().max(1)));
        }
        bar.set_message(words.join(", "));
    }
}
