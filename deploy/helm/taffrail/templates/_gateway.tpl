{{- define "taffrail.gatewayConfig" -}}
[gateway]
listen = [":{{ .Values.gateway.service.port }}"]
{{- $nats := .Values.gateway.nats }}
{{- if $nats.servers }}
# Not the directory of a single gateway: its groups are put into the stream by taffrail gateway stream create --from.
state = "/var/lib/taffrail/replica"
stream = {{ $nats.stream | quote }}
replica_name = "${POD_NAME}"
replica_url = "http://${POD_IP}:{{ .Values.gateway.service.port }}"

[nats]
servers = {{ $nats.servers | toJson }}
{{- with $nats.monitoring }}
monitoring = {{ . | toJson }}
{{- end }}
{{- else }}
state = "/var/lib/taffrail/gateway"
{{- end }}
{{- end }}
