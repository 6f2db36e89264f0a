{{/* The spec of a component's Service: (dict "root" $ "component" "gateway"). */}}
{{- define "taffrail.serviceSpec" -}}
{{- $service := (index .root.Values .component).service }}
type: {{ $service.type }}
{{- with $service.clusterIP }}
clusterIP: {{ . }}
{{- end }}
{{- with $service.loadBalancerIP }}
loadBalancerIP: {{ . }}
{{- end }}
{{- with $service.loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $service.externalTrafficPolicy }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- with $service.internalTrafficPolicy }}
internalTrafficPolicy: {{ . }}
{{- end }}
{{- if $service.ipDualStack.enabled }}
ipFamilies:
  {{- toYaml $service.ipDualStack.ipFamilies | nindent 2 }}
ipFamilyPolicy: {{ $service.ipDualStack.ipFamilyPolicy }}
{{- end }}
ports:
  - name: {{ $service.portName }}
    port: {{ $service.servicePort | default $service.port }}
    targetPort: {{ $service.portName }}
    {{- with $service.nodePort }}
    nodePort: {{ . }}
    {{- end }}
    protocol: TCP
selector:
  {{- include "taffrail.selector" . | nindent 2 }}
{{- end }}
