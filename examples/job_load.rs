//! Jobs that begin together, as those of a crontab do, for benches/fleet.
//!
//! `job_load JOBS PERIOD ROUNDS URL…`: at each of ROUNDS multiples of PERIOD seconds, JOBS jobs push 20 series to gateways, job n to the
//! n-th URL and so on in turn. Each pushes as `taffrail push` does: over a connection of its own, with its retries, for 10 s at most.
//! Prints a line for each round: accepted pushes, others, and the 50th, 99th and 100th percentile of the accepted ones.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use taffrail::client::Tls;
use taffrail::job::spool::PushRequest;
use taffrail::job::target::{Address, Credentials, Target};

type Failure = Box<dyn std::error::Error>;

/// The default of `taffrail push --timeout`.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [jobs, period, rounds, urls @ ..] = arguments.as_slice() else {
        return Err("usage: see the head of the file".into());
    };
    let (jobs, period, rounds): (usize, u64, usize) = (jobs.parse()?, period.parse()?, rounds.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for _ in 0..rounds {
        let targets: Vec<Target> =
            (0..jobs).map(|job| target(&urls[job % urls.len()], job)).collect::<Result<_, Failure>>()?;
        runtime.block_on(round(targets, Duration::from_secs(period)));
    }
    Ok(())
}

fn target(url: &str, job: usize) -> Result<Target, Failure> {
    let address = Address::new(url, &format!("metrics/job/import/instance/host-{job:06}"), "")?;
    Ok(Target::new(address, Credentials::None, &Tls::default(), TIMEOUT)?)
}

/// All jobs push once, beginning at the next multiple of the period.
async fn round(targets: Vec<Target>, period: Duration) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = since_epoch.as_nanos() % period.as_nanos();
    tokio::time::sleep(period - Duration::from_nanos(nanoseconds as u64)).await;
    let begun = Instant::now();
    let pushes: Vec<_> = targets
        .into_iter()
        .map(|target| {
            tokio::spawn(async move {
                let sent = target.send(&PushRequest::new("PUT", body())).await;
                sent.is_ok().then(|| begun.elapsed())
            })
        })
        .collect();
    let (count, mut took) = (pushes.len(), Vec::new());
    for push in pushes {
        took.extend(push.await.ok().flatten());
    }
    took.sort_unstable();
    let percentile =
        |of: usize| took.get((took.len() * of / 100).min(took.len().max(1) - 1)).map_or(0, Duration::as_millis);
    let others = count - took.len();
    println!("{} accepted, {others} others, {} {} {} ms", took.len(), percentile(50), percentile(99), percentile(100));
}

fn body() -> Vec<u8> {
    let sample = |series| format!("import_stage_seconds{{stage=\"{series}\"}} {series}.5\n");
    format!("# TYPE import_stage_seconds gauge\n{}", (0..20).map(sample).collect::<String>()).into_bytes()
}
