{{- define "taffrail.gatewayConfig" -}}
[gateway]
listen = ["0.0.0.0:{{ .Values.gateway.service.port }}"]
state = "/var/lib/taffrail/gateway"
{{- end }}
