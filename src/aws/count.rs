//! Counting requests as they go out, each attempt by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aws_sdk_cloudwatch::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_cloudwatch::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// What is asked of AWS. Nothing else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// CloudWatch's list of metrics.
    ListMetrics,
    /// CloudWatch's data.
    GetMetricData,
    /// Data for CloudWatch.
    PutMetricData,
    /// The resources with their tags.
    GetResources,
    /// A role's credentials.
    AssumeRole,
    /// Who asks.
    GetCallerIdentity,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 6] = [
        Operation::ListMetrics,
        Operation::GetMetricData,
        Operation::PutMetricData,
        Operation::GetResources,
        Operation::AssumeRole,
        Operation::GetCallerIdentity,
    ];

    /// Its name in AWS's APIs.
    pub fn name(self) -> &'static str {
        match self {
            Operation::ListMetrics => "ListMetrics",
            Operation::GetMetricData => "GetMetricData",
            Operation::PutMetricData => "PutMetricData",
            Operation::GetResources => "GetResources",
            Operation::AssumeRole => "AssumeRole",
            Operation::GetCallerIdentity => "GetCallerIdentity",
        }
    }

    /// The action that a policy must allow for it; nothing where everybody may.
    pub fn action(self) -> Option<&'static str> {
        match self {
            Operation::ListMetrics => Some("cloudwatch:ListMetrics"),
            Operation::GetMetricData => Some("cloudwatch:GetMetricData"),
            Operation::PutMetricData => Some("cloudwatch:PutMetricData"),
            Operation::GetResources => Some("tag:GetResources"),
            Operation::AssumeRole => Some("sts:AssumeRole"),
            Operation::GetCallerIdentity => None,
        }
    }
}

/// How often each operation was asked for, failed, and was throttled.
#[derive(Debug, Default)]
pub struct Counts {
    requests: [AtomicU64; Operation::ALL.len()],
    failures: [AtomicU64; Operation::ALL.len()],
    throttles: [AtomicU64; Operation::ALL.len()],
}

impl Counts {
    /// Requests, each attempt by itself.
    pub fn requests(&self, operation: Operation) -> u64 {
        self.requests[operation as usize].load(Relaxed)
    }

    /// Those of them that failed.
    pub fn failures(&self, operation: Operation) -> u64 {
        self.failures[operation as usize].load(Relaxed)
    }

    /// Those of them that failed because there were too many.
    pub fn throttles(&self, operation: Operation) -> u64 {
        self.throttles[operation as usize].load(Relaxed)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Counter(Arc<Counts>);

impl Counter {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        Counter(counts)
    }
}

fn operation(bag: &ConfigBag) -> Option<Operation> {
    let name = bag.load::<Metadata>()?.name();
    Operation::ALL.into_iter().find(|operation| operation.name() == name)
}

#[dyn_dispatch_hint]
impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "Counter"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(operation) = operation(bag) {
            self.0.requests[operation as usize].fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let has_failed = context.output_or_error().is_none_or(|result| result.is_err());
        let Some(operation) = operation(bag).filter(|_| has_failed) else { return Ok(()) };
        self.0.failures[operation as usize].fetch_add(1, Relaxed);
        // The three protocols name the error in different places of the body, and by the same names.
        let body = context.response().and_then(|response| response.body().bytes()).unwrap_or_default();
        let says = |name: &[u8]| memchr::memmem::find(body, name).is_some();
        if [&b"Throttl"[..], b"RequestLimitExceeded", b"TooManyRequests"].into_iter().any(says) {
            self.0.throttles[operation as usize].fetch_add(1, Relaxed);
        }
        Ok(())
    }
}
