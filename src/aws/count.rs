//! Counts requests: each attempt separately.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aws_sdk_cloudwatch::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_cloudwatch::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// An enum of operations, each with the action that a policy must allow.
macro_rules! operations {
    ($($(#[$doc:meta])+ $name:ident: $action:expr,)+) => {
        /// The operations used on AWS.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])+ $name,)+
        }

        impl Operation {
            /// All operations.
            pub const ALL: &[Operation] = &[$(Operation::$name),+];

            /// Its name in AWS's APIs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Operation::$name => stringify!($name),)+
                }
            }

            /// The action that a policy must allow; `None` if none is needed.
            pub fn action(self) -> Option<&'static str> {
                match self {
                    $(Operation::$name => $action,)+
                }
            }
        }
    };
}

operations! {
    /// Lists CloudWatch metrics.
    ListMetrics: Some("cloudwatch:ListMetrics"),
    /// Reads CloudWatch data.
    GetMetricData: Some("cloudwatch:GetMetricData"),
    /// Lists alarms with their states.
    DescribeAlarms: Some("cloudwatch:DescribeAlarms"),
    /// Writes CloudWatch data.
    PutMetricData: Some("cloudwatch:PutMetricData"),
    /// Lists resources with their tags.
    GetResources: Some("tag:GetResources"),
    /// Gets a role's credentials.
    AssumeRole: Some("sts:AssumeRole"),
    /// Gets the caller's identity.
    GetCallerIdentity: None,
    /// Gets the account's alias.
    ListAccountAliases: Some("iam:ListAccountAliases"),
    /// Lists the REST APIs of API Gateway.
    GetRestApis: Some("apigateway:GET"),
    /// Lists Auto Scaling groups.
    DescribeAutoScalingGroups: Some("autoscaling:DescribeAutoScalingGroups"),
    /// Lists the replication instances of DMS.
    DescribeReplicationInstances: Some("dms:DescribeReplicationInstances"),
    /// Lists the replication tasks of DMS.
    DescribeReplicationTasks: Some("dms:DescribeReplicationTasks"),
    /// Lists Spot Fleet requests.
    DescribeSpotFleetRequests: Some("ec2:DescribeSpotFleetRequests"),
    /// Lists the attachments of transit gateways.
    DescribeTransitGatewayAttachments: Some("ec2:DescribeTransitGatewayAttachments"),
    /// Lists the workspaces of Managed Service for Prometheus.
    ListWorkspaces: Some("aps:ListWorkspaces"),
    /// Lists the protections of Shield Advanced.
    ListProtections: Some("shield:ListProtections"),
    /// Lists the gateways of Storage Gateway.
    ListGateways: Some("storagegateway:ListGateways"),
}

/// Requests, failures and throttled requests of each operation.
#[derive(Debug, Default)]
pub struct Counts {
    requests: [AtomicU64; Operation::ALL.len()],
    failures: [AtomicU64; Operation::ALL.len()],
    throttles: [AtomicU64; Operation::ALL.len()],
}

impl Counts {
    /// Requests; each attempt counts.
    pub fn requests(&self, operation: Operation) -> u64 {
        self.requests[operation as usize].load(Relaxed)
    }

    /// Failed requests.
    pub fn failures(&self, operation: Operation) -> u64 {
        self.failures[operation as usize].load(Relaxed)
    }

    /// Counts a request.
    pub(super) fn requested(&self, operation: Operation) {
        self.requests[operation as usize].fetch_add(1, Relaxed);
    }

    /// Counts a failed request.
    pub(super) fn failed(&self, operation: Operation, is_throttled: bool) {
        self.failures[operation as usize].fetch_add(1, Relaxed);
        if is_throttled {
            self.throttles[operation as usize].fetch_add(1, Relaxed);
        }
    }

    /// Throttled requests.
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
    Operation::ALL.iter().copied().find(|operation| operation.name() == name)
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
            self.0.requested(operation);
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
        // The three protocols have the error name in different places of the body, but the names are the same.
        let body = context.response().and_then(|response| response.body().bytes()).unwrap_or_default();
        let says = |name: &[u8]| memchr::memmem::find(body, name).is_some();
        let throttled = [&b"Throttl"[..], b"RequestLimitExceeded", b"TooManyRequests"];
        self.0.failed(operation, throttled.into_iter().any(says));
        Ok(())
    }
}
