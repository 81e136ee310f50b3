{{/* The names and labels of everything, and what other templates ask of the configuration. */}}

{{- define "drakit.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "drakit.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "drakit.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "drakit.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "drakit.selectorLabels" -}}
app.kubernetes.io/name: {{ include "drakit.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "drakit.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "drakit.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "drakit.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "drakit.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The user that the API server knows the agent as. */}}
{{- define "drakit.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "drakit.serviceAccountName" . }}
{{- end }}

{{- define "drakit.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* What is known of the shipped plugins, by name; as YAML, for fromYaml. */}}
{{- define "drakit.plugins" -}}
{{ .Files.Get "files/plugins.yaml" }}
{{- end }}

{{/* The driver that each backend serves, in order; as YAML, for fromYamlArray. */}}
{{- define "drakit.drivers" -}}
{{- $known := include "drakit.plugins" . | fromYaml }}
{{- $drivers := list }}
{{- range .Values.config.backends }}
{{- $drivers = append $drivers (default (dig .plugin "driver" "" $known) .driver) }}
{{- end }}
{{- toYaml $drivers }}
{{- end }}
