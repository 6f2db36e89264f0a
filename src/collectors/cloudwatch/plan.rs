//! Estimates the requests and the cost of a configuration before it runs, and suggests savings.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::budget::Spending;
use super::budget::{Budget, DOLLARS_PER_METRIC, DOLLARS_PER_REQUEST, HOURS_PER_MONTH, Ledger, STATISTICS_PER_METRIC};
use super::discovery;
use super::fetch::shape;
use super::id::Id;
use super::metric::Metric;
use super::settings::{Choice, Job};
use super::terms::Terms;
use crate::aws::{Account, Clients, Counts, HttpClient, Kind, Operation, Problem, http_client};
use crate::config::{Document, Globs, Problems, Section};

/// The jobs of a configuration.
pub struct Plans {
    jobs: Vec<Arc<Job>>,
}

/// The requests of one job in one account and region.
struct Forecast {
    job: Arc<Job>,
    target: String,
    /// Number of metrics for each name.
    metrics: BTreeMap<String, usize>,
    /// GetMetricData requests in an hour.
    requests_per_hour: f64,
    /// ListMetrics requests for one discovery.
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

    /// Lists the metrics on AWS, and estimates their cost. With `assumed`, this number of metrics is assumed for each
    /// job, account and region, and no request is sent. `progress` receives status lines.
    ///
    /// # Errors
    /// Which request failed.
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
            for (account, region) in job.targets() {
                forecasts.push(match assumed {
                    Some(count) => Forecast::assumed(job, account, region, count),
                    None => {
                        progress(&format!("listing the metrics of {} …", target_name(job, account, region)));
                        Forecast::discovered(job, account, region, http.clone()).await?
                    }
                });
            }
        }
        Ok(render(&forecasts))
    }
}

fn target_name(job: &Job, account: &Account, region: Option<&str>) -> String {
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
        Forecast::of(job, target_name(job, account, region), ids, lists)
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
                let spending = Spending::new(Arc::new(Mutex::new(Ledger::new(Budget::default()))));
                let mut ids = discovery::list(job, wanted, &clients, &spending, true).await?;
                if !wanted.tags.is_empty() {
                    let resources = discovery::resources(job, wanted, &clients, &spending).await?;
                    ids.retain(|id| resources.of(&id.dimensions).is_some());
                }
                ids
            }
        };
        let target = target_name(job, account, Some(&clients.region));
        Ok(Forecast::of(job, target, ids, counts.requests(Operation::ListMetrics) as usize))
    }

    fn of(job: &Arc<Job>, target: String, ids: Vec<Id>, lists: usize) -> Forecast {
        let mut metrics: BTreeMap<String, usize> = BTreeMap::new();
        for id in &ids {
            *metrics.entry(id.name.clone()).or_default() += 1;
        }
        let mut requests_per_hour = 0.0;
        for terms in job.all_terms() {
            let same = ids.iter().filter(|id| std::ptr::eq(&**job.terms_of(&id.name), terms));
            let same: Vec<_> = same.map(|id| Arc::new(Metric { id: id.clone(), ..Metric::default() })).collect();
            requests_per_hour +=
                shape(job, terms).split(&same).len() as f64 * per_hour(terms.schedule.billing_interval());
        }
        Forecast { job: job.clone(), target, metrics, requests_per_hour, lists }
    }

    fn count(&self) -> usize {
        self.metrics.values().sum()
    }

    /// Whether overrides cover all metrics.
    fn is_overridden(&self) -> bool {
        !self.metrics.is_empty()
            && !self.metrics.keys().any(|name| Arc::ptr_eq(self.job.terms_of(name), &self.job.terms))
    }

    /// Billed metrics in an hour, if they are fetched at least `interval` apart.
    fn billed_per_hour(&self, interval: Duration) -> f64 {
        let of_name = |(name, count): (&String, &usize)| {
            let terms = self.job.terms_of(name);
            (count * shape(&self.job, terms).billed()) as f64
                * per_hour(terms.schedule.billing_interval().max(interval))
        };
        self.metrics.iter().map(of_name).sum()
    }

    fn lists_per_hour(&self) -> f64 {
        self.job.discovery_interval().map_or(0.0, |interval| self.lists as f64 * per_hour(interval))
    }

    /// DescribeAlarms requests in an hour, for up to a hundred alarms.
    fn alarms_per_hour(&self) -> f64 {
        self.job.alarms.as_ref().map_or(0.0, |_| per_hour(self.job.terms.schedule.interval))
    }

    fn dollars_per_month(&self, interval: Duration) -> f64 {
        let requests = self.lists_per_hour() + self.alarms_per_hour();
        let per_hour = self.billed_per_hour(interval) * DOLLARS_PER_METRIC + requests * DOLLARS_PER_REQUEST;
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
        let terms = &forecast.job.terms;
        let (interval, statistics) = (terms.schedule.interval, terms.statistics.len());
        let dollars = forecast.dollars_per_month(interval);
        total += dollars;
        let fetched = match forecast.is_overridden() {
            true => "each as an override says".to_owned(),
            false => {
                format!("{} each, every {}", plural(statistics, "statistic"), humantime::format_duration(interval))
            }
        };
        let _ = writeln!(
            out,
            "{}\n  {} metrics, {fetched}\n  per hour   {:.0} GetMetricData requests for {:.0} billed metrics, {:.0} ListMetrics requests\n  per month  ${dollars:.2}",
            forecast.target,
            forecast.count(),
            forecast.requests_per_hour,
            forecast.billed_per_hour(interval),
            forecast.lists_per_hour(),
        );
        if forecast.job.alarms.is_some() {
            let _ = writeln!(out, "  alarms     {:.0} DescribeAlarms requests per hour", forecast.alarms_per_hour());
        }
        for line in overrides(forecast)
            .into_iter()
            .chain(dearest(forecast))
            .chain(budget_line(forecast))
            .chain(advice(forecast))
        {
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

/// The metrics that are fetched differently.
fn overrides(forecast: &Forecast) -> Vec<String> {
    let line = |(_, terms): &(Globs, Arc<Terms>)| {
        let names = forecast.metrics.iter().filter(|(name, _)| Arc::ptr_eq(forecast.job.terms_of(name), terms));
        let (count, statistics) = (names.map(|(_, count)| count).sum::<usize>(), terms.statistics.len());
        let every = humantime::format_duration(terms.schedule.interval);
        format!("of these   {}, {} each, every {every}", plural(count, "metric"), plural(statistics, "statistic"))
    };
    forecast.job.overrides.iter().map(line).collect()
}

/// The most expensive names, if there are many.
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
    let schedule = &forecast.job.terms.schedule;
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
    let schedule = &job.terms.schedule;
    let now = forecast.dollars_per_month(schedule.interval);
    const USUAL: Duration = Duration::from_secs(300);
    // A hint that saves less is none.
    const CENT: f64 = 0.01;
    if now < CENT {
        return lines;
    }
    if schedule.interval < USUAL {
        let longer = schedule.period * (USUAL.as_secs().div_ceil(schedule.period.as_secs()) as u32);
        let then = forecast.dollars_per_month(longer);
        let datums = longer.as_secs() / schedule.period.as_secs();
        let longer = humantime::format_duration(longer);
        if now - then >= CENT {
            lines.push(format!(
                "cheaper    interval = \"{longer}\" brings {datums} datums in one request: ${then:.2} instead of ${now:.2}, if they may come so much later"
            ));
        }
    }
    let count = job.terms.statistics.len();
    if count > STATISTICS_PER_METRIC && job.overrides.is_empty() {
        let billed = shape(job, &job.terms).billed();
        let share = now / billed as f64;
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

/// Jobs that fetch the same metrics, which are billed for each job.
fn overlaps(forecasts: &[Forecast]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, one) in forecasts.iter().enumerate() {
        for other in &forecasts[index + 1..] {
            let is_same_place = one.job.namespace == other.job.namespace
                && one.target.strip_prefix(&one.job.name) == other.target.strip_prefix(&other.job.name);
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

    fn output(text: &str, assumed: usize) -> String {
        let document = Document::parse("t.toml", text, &|_| None).unwrap();
        let plans = Plans::new(&document).unwrap_or_else(|problems| panic!("{problems}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(plans.tell(Some(assumed), |_| {})).unwrap()
    }

    const EC2: &str = "[[collectors.cloudwatch]]\nnamespace = 'AWS/EC2'\nregions = ['eu-west-1']\n";

    #[test]
    fn the_example_of_the_price_list_comes_out() {
        // Twenty metrics every five minutes are 172,800 in 30 days: $1.73, or $1.75 in AWS's month of 730 hours.
        let text = output(&format!("{EC2}discovery_interval = '1d'\n"), 20);
        assert!(text.contains("20 metrics, 1 statistic each, every 5m"), "{text}");
        assert!(text.contains("12 GetMetricData requests for 240 billed metrics"), "{text}");
        assert!(text.contains("per month  $1.75"), "{text}");
        assert!(!text.contains("cheaper"), "{text}");
    }

    #[test]
    fn metrics_that_differ_cost_what_they_are_fetched_for() {
        // Two are hourly, and one has six statistics.
        let text = format!(
            "{EC2}discovery_interval = '1d'\n[[collectors.cloudwatch.static]]\nmetrics = ['A', 'B', 'C', 'D']\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = ['A', 'B']\nperiod = '1h'\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = 'C'\n\
             statistics = ['Average', 'Sum', 'Minimum', 'Maximum', 'SampleCount', 'p99']\n"
        );
        let text = output(&text, 0);
        assert!(text.contains("4 metrics, 1 statistic each, every 5m"), "{text}");
        assert!(text.contains("25 GetMetricData requests for 38 billed metrics"), "{text}");
        assert!(text.contains("of these   2 metrics, 1 statistic each, every 1h"), "{text}");
        assert!(text.contains("of these   1 metric, 6 statistics each, every 5m"), "{text}");
    }

    #[test]
    fn what_saves_nothing_is_not_advised() {
        let text = format!(
            "{EC2}period = '1m'\n[[collectors.cloudwatch.static]]\nmetrics = ['A', 'B']\n\
             [[collectors.cloudwatch.overrides]]\nmetrics = '*'\nperiod = '1h'\n"
        );
        let hourly = output(&text, 0);
        assert!(hourly.contains("  2 metrics, each as an override says\n"), "{hourly}");
        assert!(hourly.contains("of these   2 metrics, 1 statistic each, every 1h"), "{hourly}");
        assert!(!hourly.contains("cheaper"), "{hourly}");
        let none = output(&format!("{EC2}period = '1m'\nrecently_active = false\ndiscovery_interval = '1d'\n"), 0);
        assert!(!none.contains("cheaper"), "{none}");
    }

    #[test]
    fn it_tells_where_it_could_be_cheaper() {
        let text = format!(
            "{EC2}period = '1m'\nstatistics = ['Average', 'Sum', 'Minimum', 'Maximum', 'SampleCount', 'p99']\n\
             recently_active = false\nbudget = {{ metrics_per_hour = 60000 }}\n"
        );
        let text = output(&text, 1000);
        assert!(
            text.contains("interval = \"5m\" brings 5 datums in one request: $175.26 instead of $876.06"),
            "{text}"
        );
        assert!(text.contains("6 statistics are billed as 2 metrics"), "{text}");
        assert!(text.contains("recently_active = true"), "{text}");
        assert!(text.contains("asked for about every 2m"), "{text}");
    }

    #[test]
    fn jobs_that_ask_for_the_same_are_told() {
        let text = output(&format!("{EC2}name = 'a'\n{EC2}name = 'b'\nstatistics = ['Maximum']\n"), 10);
        assert!(text.contains("the jobs a and b ask for 10 metrics of the same name"), "{text}");
    }
}
