{{/* Fake hardware in the place of the node's own: what the DaemonSet gets for it. */}}

{{- define "drakit.mock.enabled" -}}
{{- end }}

{{- define "drakit.mock.directory" -}}
{{- end }}

{{- define "drakit.mock.volumeMounts" -}}
{{- end }}

{{- define "drakit.mock.volumes" -}}
{{- end }}

{{- define "drakit.mock.initContainers" -}}
{{- end }}
