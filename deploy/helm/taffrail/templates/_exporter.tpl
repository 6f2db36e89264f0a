{{- define "taffrail.exporterConfig" -}}
[http]
listen = [":{{ .Values.exporter.service.port }}"]

[agent]
hostname = "${NODE_NAME}"
{{- if .Values.exporter.hostRootFsMount.enabled }}

[host]
proc = "/host/proc"
sys = "/host/sys"
root = "/host/root"
udev = "/host/root/run/udev/data"
{{- end }}

# Mounts of the kubelet and of runtimes are those of pods.
[collectors.filesystem]
mount_points_exclude = '^/(dev|proc|sys|run/credentials/.+|run/containerd/.+|run/k3s/containerd/.+|run/netns/.+|var/lib/docker/.+|var/lib/containers/storage/.+|var/lib/containerd/.+|var/lib/kubelet/.+)($|/)'

# Each pod has one on the host's side, under a name of its own.
[collectors.netdev]
device_exclude = '^(veth|cali|cilium|lxc|azv|gke|eni).*$'
{{- $source := include "taffrail.podNames" . }}
{{- if ne $source "none" }}

[collectors.container]
{{- end }}
{{- if has $source (list "auto" "kubelet") }}
kubelet_url = "https://${NODE_IP}:10250"
{{- if .Values.exporter.hostNetwork }}
# Most kubelets have a certificate that no CA has signed. As the pod uses the node's network, a request to the node's own
# address does not leave the node: nothing in between can read the token.
kubelet_insecure = true
{{- end }}
{{- end }}
{{- if has $source (list "auto" "api") }}
kubernetes_url = "https://kubernetes.default.svc"
kubernetes_node = "${NODE_NAME}"
{{- end }}
{{- end }}

{{/* Who is asked for pods: auto, kubelet, api or none. */}}
{{- define "taffrail.podNames" -}}
{{- $source := .Values.exporter.podNames }}
{{- if kindIs "bool" $source }}
{{- $source = ternary "auto" "none" $source }}
{{- end }}
{{- if and .Values.exporter.podSizes (not (has $source (list "auto" "kubelet"))) }}
{{- fail "exporter.podSizes: the kubelet reports sizes, so exporter.podNames is auto or kubelet" }}
{{- end }}
{{- $source }}
{{- end }}

{{/* Cluster-wide objects: releases of one name in two namespaces do not share them. */}}
{{- define "taffrail.clusterName" -}}
{{ include "taffrail.namespace" .root }}:{{ include "taffrail.component" . }}
{{- end }}
