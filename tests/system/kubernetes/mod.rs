//! Taffrail on a node of Kubernetes, beside the kubelet's `/metrics/cadvisor`.

mod kubelet;
mod node;
