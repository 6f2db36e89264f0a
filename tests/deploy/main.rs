//! What is deployed beside the binary: dashboards, rules, images, manifests.

#[path = "../harness/mod.rs"]
mod harness;

#[path = "../cloudwatch/aws.rs"]
#[allow(dead_code)]
mod aws;

#[path = "../common/bus.rs"]
#[allow(dead_code, unreachable_pub)]
mod bus;

mod compose;
mod dashboards;
#[cfg(feature = "cloudwatch")]
mod expressions;
mod image;
mod kubernetes;
mod promql;
mod rules;
