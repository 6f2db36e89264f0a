//! What a configuration will ask for, what that costs, and where it could be cheaper: told before anything runs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::budget::{Budget, DOLLARS_PER_METRIC, DOLLARS_PER_REQUEST, HOURS_PER_MONTH, Purse, STATISTICS_PER_METRIC};
use super::discovery;
use super::fetch::shape;
use super::id::Id;
use super::metric::Metric;
use super::settings::{Choice, Job};
use super::spending::Spending;
use crate::aws::{Account, Clients, Counts, HttpClient, Kind, Operation, Problem, http_client};
use crate::config::{Document, Problems, Section};

/// The jobs of a configuration, to be planned.
pub struct Plans {
    jobs: Vec<Arc<Job>>,
}

/// What one job asks for in one account and region.
struct Forecast {
    job: Arc<Job>,
    place: String,
    /// How many there are of each name.
    metrics: BTreeMap<String, usize>,
    /// Requests of GetMetricData for one datum of all.
    requests: usize,
    /// Requests of ListMetrics for one discovery.
    lists: usize,
}

impl Plans {
    /// The jobs in `document`.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn new(document: &Document) -> Result<Plans, Problems> {
        let jobs = Section::check(document, |root| {
            let mut collectors = root.open().table("collectors");
            Job::all(collectors.open())
        })?;
        Ok(Plans { jobs: jobs.into_iter().map(Arc::new).collect() })
    }

    /// Asks AWS which metrics there are, and tells what they will cost. With `assumed`, that many are assumed of each job in
    /// each account and region instead, and AWS is not asked. `progress` is told what is done, line by line.
    ///
    /// # Errors
    /// Where AWS cannot be asked.
    pub async fn tell(&self, assumed: Option<usize>, progress: impl Fn(&str)) -> Result<String, Problem> {
        if self.jobs.is_empty() {
            return Ok(
                "There is no [[collectors.cloudwatch]] in this configuration: nothing is asked for, and nothing \
                       costs.\n"
                    .to_owned(),
            );
        }
        let http = http_client().map_err(|message| Problem { kind: Kind::Configuration, message })?;
        let mut forecasts = Vec::new();
        for job in &self.jobs {
            for (account, region) in job.places() {
                forecasts.push(match assumed {
                    Some(count) => Forecast::assumed(job, account, region, count),
                    None => {
                        progress(&format!("listing the metrics of {} …", place_name(job, account, region)));
                        Forecast::discovered(job, account, region, http.clone()).await?
                    }
                });
            }
        }
        Ok(render(&forecasts))
    }
}

fn place_name(job: &Job, account: &Account, region: Option<&str>) -> String {
    let region = region.unwrap_or("the default region");
    match &account.role {
        Some(role) => format!("{} in {region} as {}", job.name, role.arn),
        None => format!("{} in {region}", job.name),
    }
}

impl Forecast {
    fn assumed(job: &Arc<Job>, account: &Account, region: Option<&str>, count: usize) -> Forecast {
        let id = |index: usize| Id { name: format!("assumed {}", index % 10), ..Id::default() };
        let ids = match &job.choice {
            Choice::Static(given) => given.clone(),
            Choice::Discovered(_) => (0..count).map(id).collect(),
        };
        const LISTED_IN_A_PAGE: usize = 500;
        let lists = if job.discovery_interval().is_some() { ids.len().div_ceil(LISTED_IN_A_PAGE).max(1) } else { 0 };
        Forecast::of(job, place_name(job, account, region), ids, lists)
    }

    async fn discovered(
        job: &Arc<Job>,
        account: &Account,
        region: Option<&str>,
        http: HttpClient,
    ) -> Result<Forecast, Problem> {
        let counts = Arc::new(Counts::default());
        let clients = Clients::new(account, region, http, counts.clone()).await?;
        let ids = match &job.choice {
            Choice::Static(given) => given.clone(),
            Choice::Discovered(wanted) => {
                let spending = Spending::new(Arc::new(Mutex::new(Purse::new(Budget::default()))));
                let mut ids = discovery::list(job, wanted, &clients, &spending).await?;
                if !wanted.tags.is_empty() {
                    let resources = discovery::resources(job, wanted, &clients, &spending).await?;
                    ids.retain(|id| resources.of(&id.dimensions).is_some());
                }
                ids
            }
        };
        let place = place_name(job, account, Some(&clients.region));
        Ok(Forecast::of(job, place, ids, counts.requests(Operation::ListMetrics) as usize))
    }

    fn of(job: &Arc<Job>, place: String, ids: Vec<Id>, lists: usize) -> Forecast {
        let mut metrics: BTreeMap<String, usize> = BTreeMap::new();
        for id in &ids {
            *metrics.entry(id.name.clone()).or_default() += 1;
        }
        let asked: Vec<Arc<Metric>> = ids.into_iter().map(|id| Arc::new(Metric { id, ..Metric::default() })).collect();
        let requests = shape(job).split(&asked).len();
        Forecast { job: job.clone(), place, metrics, requests, lists }
    }

    fn count(&self) -> usize {
        self.metrics.values().sum()
    }

    /// Metrics in an hour, as they are billed, if all are asked for every `interval`.
    fn billed_per_hour(&self, interval: Duration) -> f64 {
        (self.count() * shape(&self.job).billed()) as f64 * per_hour(interval)
    }

    fn lists_per_hour(&self) -> f64 {
        self.job.discovery_interval().map_or(0.0, |interval| self.lists as f64 * per_hour(interval))
    }

    fn dollars_per_month(&self, interval: Duration) -> f64 {
        let per_hour =
            self.billed_per_hour(interval) * DOLLARS_PER_METRIC + self.lists_per_hour() * DOLLARS_PER_REQUEST;
        per_hour * HOURS_PER_MONTH
    }
}

fn per_hour(interval: Duration) -> f64 {
    3600.0 / interval.as_secs_f64()
}

fn render(forecasts: &[Forecast]) -> String {
    let mut out = String::new();
    let mut total = 0.0;
    for forecast in forecasts {
        let schedule = &forecast.job.schedule;
        let (interval, statistics) = (schedule.interval, forecast.job.statistics.len());
        let dollars = forecast.dollars_per_month(interval);
        total += dollars;
        let requests = forecast.requests as f64 * per_hour(interval);
        let _ = writeln!(
            out,
            "{}\n  {} metrics, {} each, every {}\n  per hour   {:.0} GetMetricData requests for {:.0} billed metrics, {:.0} ListMetrics requests\n  per month  ${dollars:.2}",
            forecast.place,
            forecast.count(),
            plural(statistics, "statistic"),
            humantime::format_duration(interval),
            requests,
            forecast.billed_per_hour(interval),
            forecast.lists_per_hour(),
        );
        for line in dearest(forecast).into_iter().chain(budget_line(forecast)).chain(advice(forecast)) {
            let _ = writeln!(out, "  {line}");
        }
        out.push('\n');
    }
    for line in overlaps(forecasts) {
        let _ = writeln!(out, "{line}\n");
    }
    let _ = writeln!(
        out,
        "In all ${total:.2} per month, by AWS's published prices of most regions: $0.01 for 1,000 metrics of GetMetricData \
         and for 1,000 requests of ListMetrics, of which a million a month are free."
    );
    out
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The names that cost most, where there are many.
fn dearest(forecast: &Forecast) -> Option<String> {
    const SHOWN: usize = 5;
    if forecast.metrics.len() <= SHOWN || forecast.metrics.keys().any(|name| name.starts_with("assumed")) {
        return None;
    }
    let mut names: Vec<(&String, &usize)> = forecast.metrics.iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown: Vec<String> = names.iter().take(SHOWN).map(|(name, count)| format!("{name} {count}")).collect();
    Some(format!("most of      {}; `metrics` chooses among {} names", shown.join(", "), names.len()))
}

fn budget_line(forecast: &Forecast) -> Option<String> {
    let schedule = &forecast.job.schedule;
    let needed = forecast.billed_per_hour(schedule.interval);
    let allowed = forecast.job.budget.metrics_in_an_hour()? as f64;
    if needed <= allowed {
        return Some(format!("budget     is kept: it allows {allowed:.0} billed metrics per hour"));
    }
    let stretched = schedule.interval.mul_f64(needed / allowed.max(1.0));
    let stretched = humantime::format_duration(Duration::from_secs(stretched.as_secs())).to_string();
    Some(format!(
        "budget     allows {allowed:.0} billed metrics per hour: each metric will be asked for about every {stretched}"
    ))
}

fn advice(forecast: &Forecast) -> Vec<String> {
    let (job, mut lines) = (&forecast.job, Vec::new());
    let schedule = &job.schedule;
    let now = forecast.dollars_per_month(schedule.interval);
    const USUAL: Duration = Duration::from_secs(300);
    if schedule.interval < USUAL {
        let longer = schedule.period * (USUAL.as_secs().div_ceil(schedule.period.as_secs()) as u32);
        let then = forecast.dollars_per_month(longer);
        let datums = longer.as_secs() / schedule.period.as_secs();
        let longer = humantime::format_duration(longer);
        lines.push(format!(
            "cheaper    interval = \"{longer}\" brings {datums} datums in one request: ${then:.2} instead of ${now:.2}, if they may come so much later"
        ));
    }
    if job.statistics.len() > STATISTICS_PER_METRIC {
        let billed = shape(job).billed();
        let (count, share) = (job.statistics.len(), now / billed as f64);
        lines.push(format!(
            "cheaper    {count} statistics are billed as {billed} metrics; with {STATISTICS_PER_METRIC} or fewer it would be about ${share:.2}"
        ));
    }
    if let Choice::Discovered(wanted) = &job.choice
        && !wanted.recently_active
        && schedule.window <= Duration::from_secs(3 * 3600)
    {
        lines.push(
            "cheaper    recently_active = true leaves out metrics without data in the last three hours".to_owned(),
        );
    }
    lines
}

/// Jobs that ask for the same metrics, which are billed for each.
fn overlaps(forecasts: &[Forecast]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, one) in forecasts.iter().enumerate() {
        for other in &forecasts[index + 1..] {
            let is_same_place = one.job.namespace == other.job.namespace
                && one.place.strip_prefix(&one.job.name) == other.place.strip_prefix(&other.job.name);
            let both = one.metrics.keys().filter(|name| other.metrics.contains_key(*name)).count();
            if is_same_place && both > 0 && !one.job.name.eq(&other.job.name) {
                lines.push(format!(
                    "cheaper: the jobs {} and {} ask for {} of the same name; in one job, up to {STATISTICS_PER_METRIC} statistics cost as one.",
                    one.job.name,
                    other.job.name,
                    plural(both, "metric")
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, assumed: usize) -> String {
        let document = Document::parse("t.toml", text, &|_| None).unwrap();
        let plans = Plans::new(&document).unwrap_or_else(|problems| panic!("{problems}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(plans.tell(Some(assumed), |_| {})).unwrap()
    }

    const EC2: &str = "[[collectors.cloudwatch]]\nnamespace = 'AWS/EC2'\nregions = ['eu-west-1']\n";

    #[test]
    fn the_example_of_the_price_list_comes_out() {
        // Twenty metrics each five minutes are 172,800 in 30 days: $1.73, and $1.75 in AWS's month of 730 hours.
        let told = told(&format!("{EC2}discovery_interval = '1d'\n"), 20);
        assert!(told.contains("20 metrics, 1 statistic each, every 5m"), "{told}");
        assert!(told.contains("12 GetMetricData requests for 240 billed metrics"), "{told}");
        assert!(told.contains("per month  $1.75"), "{told}");
        assert!(!told.contains("cheaper"), "{told}");
    }

    #[test]
    fn it_tells_where_it_could_be_cheaper() {
        let text = format!(
            "{EC2}period = '1m'\nstatistics = ['Average', 'Sum', 'Minimum', 'Maximum', 'SampleCount', 'p99']\n\
             recently_active = false\nbudget = {{ metrics_per_hour = 60000 }}\n"
        );
        let told = told(&text, 1000);
        assert!(
            told.contains("interval = \"5m\" brings 5 datums in one request: $175.26 instead of $876.06"),
            "{told}"
        );
        assert!(told.contains("6 statistics are billed as 2 metrics"), "{told}");
        assert!(told.contains("recently_active = true"), "{told}");
        assert!(told.contains("asked for about every 2m"), "{told}");
    }

    #[test]
    fn jobs_that_ask_for_the_same_are_told() {
        let told = told(&format!("{EC2}name = 'a'\n{EC2}name = 'b'\nstatistics = ['Maximum']\n"), 10);
        assert!(told.contains("the jobs a and b ask for 10 metrics of the same name"), "{told}");
    }
}
