{{- define "taffrail.exporterConfig" -}}
[http]
listen = ["0.0.0.0:{{ .Values.exporter.service.port }}"]

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
{{- if .Values.exporter.podNames }}

[collectors.container]
kubernetes_url = "https://kubernetes.default.svc"
kubernetes_node = "${NODE_NAME}"
{{- end }}
{{- end }}
