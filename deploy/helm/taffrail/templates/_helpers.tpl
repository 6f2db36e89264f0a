{{- define "taffrail.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 44 characters: those of the gateway's StatefulSet, "-gateway" after it, are at most 52. Its pods have a label with that
name and up to 11 characters of a hash, and a label has at most 63. A Service's name has no dots and begins with a letter. */}}
{{- define "taffrail.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $name = contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- $name = default $name .Values.fullnameOverride | replace "." "-" | trunc 44 | trimSuffix "-" }}
{{- if not (regexMatch "^[a-z]" $name) }}
{{- fail (printf "%s: names of Services begin with a letter: set fullnameOverride" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{- define "taffrail.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* The templates below take (dict "root" $ "component" "exporter"). */}}

{{- define "taffrail.component" -}}
{{ include "taffrail.fullname" .root }}-{{ .component }}
{{- end }}

{{- define "taffrail.selector" -}}
app.kubernetes.io/name: {{ include "taffrail.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "taffrail.labels" -}}
{{ include "taffrail.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An object in another namespace has the release's in its name: releases of one name in two namespaces do not share it. */}}
{{- define "taffrail.metadata" -}}
{{- $own := include "taffrail.namespace" .root }}
{{- $namespace := default $own .namespace }}
name: {{ if ne $namespace $own }}{{ $own }}.{{ end }}{{ include "taffrail.component" . }}
namespace: {{ $namespace }}
labels:
  {{- include "taffrail.labels" . | nindent 2 }}
  {{- with .more }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "taffrail.serviceAccountName" -}}
{{- $values := index .root.Values .component }}
{{- if $values.serviceAccount.create }}
{{- default (include "taffrail.component" .) $values.serviceAccount.name }}
{{- else }}
{{- default "default" $values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "taffrail.serviceAccount" -}}
{{- $values := index .root.Values .component }}
{{- if $values.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "taffrail.serviceAccountName" . }}
  namespace: {{ include "taffrail.namespace" .root }}
  labels:
    {{- include "taffrail.labels" . | nindent 4 }}
    {{- with $values.serviceAccount.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{- define "taffrail.image" -}}
{{- $image := .Values.image }}
{{- $registry := default $image.registry .Values.global.imageRegistry }}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{/* What every pod of Taffrail has; .args and .mounts are lists, .volumes and .env too; .port is (dict "name" "number"); .spread
prefers a node for each pod. */}}
{{- define "taffrail.pod" -}}
{{- $values := index .root.Values .component }}
metadata:
  labels:
    {{- include "taffrail.labels" . | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Pods are replaced when the configuration changes.
    taffrail/config: {{ .config | sha256sum | trunc 16 | quote }}
    {{- if $values.scrapeAnnotations }}
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ .port.number | quote }}
    {{- end }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "taffrail.serviceAccountName" . }}
  automountServiceAccountToken: {{ .token | default false }}
  {{- with (concat .root.Values.global.imagePullSecrets .root.Values.imagePullSecrets) }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .host }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml $values.securityContext | nindent 4 }}
  {{- with $values.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: taffrail
      image: {{ include "taffrail.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        {{- toYaml (concat .args $values.extraArgs) | nindent 8 }}
      {{- $env := $values.env }}
      {{- if kindIs "map" $env }}
      {{- $env = list }}
      {{- range $name, $value := $values.env }}
      {{- $env = append $env (dict "name" $name "value" (toString $value)) }}
      {{- end }}
      {{- end }}
      {{- with (concat (.env | default list) $env) }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: {{ .port.name }}
          containerPort: {{ .port.number }}
          protocol: TCP
      livenessProbe:
        httpGet: {path: /-/healthy, port: {{ .port.name }}}
        {{- toYaml $values.livenessProbe | nindent 8 }}
      readinessProbe:
        httpGet: {path: /-/ready, port: {{ .port.name }}}
        {{- toYaml $values.readinessProbe | nindent 8 }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- toYaml $values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/taffrail
          readOnly: true
        {{- with (concat (.mounts | default list) $values.extraVolumeMounts) }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with $values.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "taffrail.component" . }}
    {{- with (concat (.volumes | default list) $values.extraVolumes) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $values.affinity }}
  affinity:
    {{- toYaml $values.affinity | nindent 4 }}
  {{- else if .spread }}
  affinity:
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "taffrail.selector" . | nindent 16 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The files of the configuration: Taffrail's own for the component, and the user's, which is read after it. */}}
{{- define "taffrail.configMap" -}}
{{- $values := index .root.Values .component }}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "taffrail.metadata" . | nindent 2 }}
data:
  10-chart.toml: |
    {{- .config | trim | nindent 4 }}
  {{- with $values.config }}
  20-values.toml: |
    {{- . | trim | nindent 4 }}
  {{- end }}
{{- end }}

{{/* An endpoint of a monitor: .monitor are its values, .honor whether labels of the pod's own win; .relabelings and
.metricRelabelings come before those of the values. */}}
{{- define "taffrail.endpoint" -}}
port: {{ .port }}
scheme: {{ .monitor.scheme }}
honorLabels: {{ .honor }}
{{- with .monitor.interval }}
interval: {{ . }}
{{- end }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.proxyUrl }}
proxyUrl: {{ . }}
{{- end }}
{{- with .monitor.authorization }}
authorization:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.oauth2 }}
oauth2:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (concat .relabelings .monitor.relabelings) }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (concat (.metricRelabelings | default list) .monitor.metricRelabelings) }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What monitors of both kinds say of whom they select. */}}
{{- define "taffrail.monitor" -}}
{{- with .monitor.jobLabel }}
jobLabel: {{ . }}
{{- end }}
{{- with .monitor.podTargetLabels }}
podTargetLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .monitor.attachMetadata.node }}
attachMetadata:
  node: true
{{- end }}
{{- range $limit := list "sampleLimit" "targetLimit" "labelLimit" "labelNameLengthLimit" "labelValueLengthLimit" }}
{{- with get $.monitor $limit }}
{{ $limit }}: {{ . }}
{{- end }}
{{- end }}
selector:
  matchLabels:
    {{- include "taffrail.selector" . | nindent 4 }}
namespaceSelector:
  matchNames: [{{ include "taffrail.namespace" .root }}]
{{- end }}
