//! What is deployed beside the binary: dashboards, rules, images, manifests.

#[path = "../../common/bus.rs"]
#[allow(dead_code, unreachable_pub)]
mod bus;

#[cfg(feature = "cloudwatch")]
mod cluster;
mod dashboards;
mod docker;
#[cfg(feature = "cloudwatch")]
mod expressions;
#[cfg(feature = "cloudwatch")]
mod expressions_of_a_host;
#[cfg(feature = "cloudwatch")]
mod expressions_of_others;
mod kubernetes;
mod panels;
mod panels_of_containers;
mod rights;
mod rules;
#[cfg(feature = "cloudwatch")]
mod stand_ins;
mod values_of_others;
