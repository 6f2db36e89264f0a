//! The states of alarms.

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use tokio::time::{Instant, sleep};

use super::budget::{Cost, Spending};
use super::names;
use super::reported::Reported;
use super::settings::Job;
use super::snapshot::{Alarm, Published};
use crate::aws::{Clients, Operation, Problem};
use crate::config::Globs;
use crate::encode::{Family, FamilyWriter, PointWriter};

/// The states that an alarm can have, with their numbers in points.
const STATES: [(&str, i64); 3] = [("OK", 0), ("INSUFFICIENT_DATA", 1), ("ALARM", 2)];
/// The number of a state that AWS adds.
const UNKNOWN: i64 = -1;

/// Maximum alarms in a page, and names in a request.
const MAX_RECORDS: usize = 100;

pub(super) const STATE: Family<5> = Family::gauge(
    "taffrail_cloudwatch_alarm_state",
    "State of an alarm; 1 for its current one",
    ["account_id", "alarm", "region", "state", "type"],
);

/// Requests the states at every interval of the job, forever, if it has alarms. States that are older than `max_age`
/// are not shown.
pub(super) async fn watch(
    job: Arc<Job>,
    clients: Clients,
    spending: Arc<Spending>,
    published: Arc<Published>,
    mut reported: Reported,
) {
    const STEP: &str = "the states of alarms";
    let Some(wanted) = &job.alarms else { return };
    let (interval, max_age) = (job.terms.schedule.interval, job.terms.schedule.max_age);
    let mut succeeded_at = Instant::now();
    loop {
        match all(wanted, &clients, &spending).await {
            Ok(alarms) => {
                published.set_alarms(alarms);
                succeeded_at = Instant::now();
                reported.succeeded(STEP);
            }
            Err(problem) => {
                if succeeded_at.elapsed() > interval + max_age {
                    published.set_alarms(Vec::new());
                }
                reported.failed(STEP, &problem);
            }
        }
        sleep(interval).await;
    }
}

async fn all(wanted: &Globs, clients: &Clients, spending: &Spending) -> Result<Vec<Alarm>, Problem> {
    let mut alarms = Vec::new();
    let mut token = None;
    loop {
        spending.spend(Cost::of_list())?;
        let names = wanted.exact().filter(|names| names.len() <= MAX_RECORDS).map(<[String]>::to_vec);
        let request = clients.cloudwatch.describe_alarms().set_alarm_names(names).max_records(MAX_RECORDS as i32);
        let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let page = request.set_next_token(token.clone()).send().await;
        let page = page.map_err(|error| Problem::of(Operation::DescribeAlarms, &clients.region, &error))?;
        let next = page.next_token.clone();
        alarms.extend(of_page(page).filter(|alarm| wanted.matches(&alarm.name)));
        match next.filter(|next| !next.is_empty() && Some(next) != token.as_ref()) {
            Some(next) => token = Some(next),
            None => return Ok(alarms),
        }
    }
}

fn of_page(page: DescribeAlarmsOutput) -> impl Iterator<Item = Alarm> {
    let alarm = |kind| {
        move |(name, state): (Option<String>, Option<StateValue>)| {
            Some(Alarm { name: name?, kind, state: state?.as_str().to_owned() })
        }
    };
    let metric = page.metric_alarms.unwrap_or_default().into_iter().map(|alarm| (alarm.alarm_name, alarm.state_value));
    let composite = page.composite_alarms.unwrap_or_default().into_iter();
    let composite = composite.map(|alarm| (alarm.alarm_name, alarm.state_value));
    metric.filter_map(alarm("metric")).chain(composite.filter_map(alarm("composite")))
}

/// Writes one sample for each state of each alarm.
pub(super) fn write_families(targets: &[Arc<Published>], out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&STATE);
    for_each(targets, |published, account, region, alarm| {
        let labels = &published.job.labels;
        let custom = labels.custom.iter().filter_map(|(key, value)| {
            Some((names::yace_label("custom_tag_", key, labels.snake_case)?, value.clone()))
        });
        let custom: Vec<(String, String)> = custom.collect();
        let mut sample = |state: &str| {
            let is_current = u64::from(state == alarm.state);
            samples.sample_and([account, &alarm.name, region, state, alarm.kind], &custom, is_current);
        };
        STATES.iter().for_each(|(state, _)| sample(state));
        if number(&alarm.state) == UNKNOWN {
            sample(&alarm.state);
        }
    });
}

/// Writes one point for each alarm.
pub(super) fn write_points(targets: &[Arc<Published>], out: &mut PointWriter<'_>) {
    for_each(targets, |published, account, region, alarm| {
        let own = [("account", account), ("alarm", &alarm.name), ("region", region), ("type", alarm.kind)];
        let custom = published.job.labels.custom.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut point = out.free_point("cloudwatch_alarm", own.into_iter().chain(custom));
        point.free_field::<str>(&["state"], &alarm.state);
        point.free_field::<i64>(&["state_code"], number(&alarm.state));
    });
}

fn number(state: &str) -> i64 {
    STATES.iter().find(|(known, _)| *known == state).map_or(UNKNOWN, |(_, number)| *number)
}

/// Passes each alarm with its account and region, once, even if several jobs have it.
fn for_each(targets: &[Arc<Published>], mut pass: impl FnMut(&Published, &str, &str, &Alarm)) {
    let mut passed = HashSet::new();
    for published in targets {
        let (target, alarms) = (published.target(), published.alarms());
        for alarm in alarms.iter() {
            if passed.insert((target.account.clone(), target.region.clone(), alarm.name.clone())) {
                pass(published, &target.account, &target.region, alarm);
            }
        }
    }
}
