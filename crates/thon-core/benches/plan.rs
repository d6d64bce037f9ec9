//! How long it takes to plan a very large event.
//!
//! For: `cargo xtask bench plan`.
//! Not for: passing or failing; figures are for people.
#![allow(clippy::print_stdout, reason = "the figure is the result")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use thon_core::plan::{Plan, PlanInput};
use thon_core::testing::fixture;

const USERS: usize = 10_000;
const ROUNDS: u32 = 11;

fn main() {
    let specs = fixture::specs(USERS);
    let observed: Vec<_> = specs[..USERS / 2].iter().map(fixture::running).collect();
    let roster: BTreeSet<_> = specs.iter().map(|spec| spec.user.clone()).collect();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let plan = Plan::new(black_box(&PlanInput {
                desired: &specs,
                roster: &roster,
                observed: &observed,
                prune: true,
                recreate: false,
            }));
            assert_eq!(black_box(plan).actions.len(), USERS);
            start.elapsed()
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2];
    println!(
        "plan: {USERS} users, half of them running: median {:.1} ms",
        median.as_secs_f64() * 1e3
    );
}
