{{/*
Fake hardware in the place of the nodes' own: for each type of node a DaemonSet and a configuration. In what is rendered
for one of them `.Mock` is its entry of `mock.nodes`; elsewhere there is none.
*/}}

{{- define "drakit.mock.enabled" -}}
{{- if .Values.mock.enabled }}true{{ end }}
{{- end }}

{{/* What each DaemonSet is rendered with, beside the chart's own values; as YAML, for fromYamlArray. */}}
{{- define "drakit.mock.kinds" -}}
{{- if include "drakit.mock.enabled" . }}
{{- range .Values.mock.nodes }}
- Mock:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- else -}}
- {}
{{- end }}
{{- end }}

{{/* The type of node in names and labels, which take less than a type may have: trn2u.48xlarge@node-1. */}}
{{- define "drakit.mock.word" -}}
{{- regexReplaceAll "[^a-z0-9]+" (lower .type) "-" | trunc 40 | trimAll "-" }}
{{- end }}

{{/* The name of a DaemonSet and of its ConfigMap. */}}
{{- define "drakit.mock.name" -}}
{{- if .Mock }}
{{- printf "%s-%s" (include "drakit.fullname" . | trunc 22 | trimSuffix "-") (include "drakit.mock.word" .Mock) }}
{{- else }}
{{- include "drakit.fullname" . }}
{{- end }}
{{- end }}

{{/* What tells the pods of one DaemonSet from those of another. */}}
{{- define "drakit.mock.labels" -}}
{{- with .Mock -}}
mock.drakit/node-type: {{ include "drakit.mock.word" . | quote }}
{{- end }}
{{- end }}

{{/* The backends that serve on such nodes: those of the drivers that the entry lists, or all. As YAML, for fromYaml. */}}
{{- define "drakit.mock.backends" -}}
{{- if dig "Mock" "drivers" list . }}
{{- $drivers := include "drakit.drivers" . | fromYamlArray }}
{{- $backends := list }}
{{- range $index, $backend := .Values.config.backends }}
{{- if has (index $drivers $index) $.Mock.drivers }}{{ $backends = append $backends $backend }}{{ end }}
{{- end }}
{{- toYaml (dict "backends" $backends) }}
{{- end }}
{{- end }}

{{/* A link to the tree, at the same path for the agent and for the container runtime. */}}
{{- define "drakit.mock.directory" -}}
{{ .Values.mock.directory }}/node
{{- end }}

{{/* Where the link and the tree are. Written by the agent too: `drakit mock fault`, which runs there, breaks the tree. */}}
{{- define "drakit.mock.volumeMounts" -}}
- name: mock
  mountPath: {{ .Values.mock.directory }}
{{- end }}

{{- define "drakit.mock.volumes" -}}
- name: mock
  hostPath:
    path: {{ .Values.mock.directory }}
    type: DirectoryOrCreate
{{- end }}

{{- define "drakit.mock.initContainers" -}}
{{- with .Mock -}}
- name: mock
  image: {{ include "drakit.image" $ }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  args: [mock, layout, --live, --node={{ .type }}, {{ include "drakit.mock.directory" $ }}]
  {{- if $.Values.extraPlugins }}
  env:
  - name: PYTHONPATH
    value: {{ include "drakit.extraPlugins.path" $ }}
  {{- end }}
  securityContext:
    runAsUser: 0 # the tree belongs to root, as the agent is
    privileged: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      add: [MKNOD] # for device nodes with numbers that no driver has
  resources:
    {{- toYaml $.Values.agent.resources | nindent 4 }}
  volumeMounts:
  {{- include "drakit.mock.volumeMounts" $ | nindent 2 }}
  {{- if $.Values.extraPlugins }}
  - name: extra-plugins
    mountPath: {{ include "drakit.extraPlugins.directory" $ }}
    readOnly: true
  {{- end }}
{{- end }}
{{- end }}

{{/* Two DaemonSets on one node would serve one driver twice. Renders nothing. */}}
{{- define "drakit.mock.validate" -}}
{{- if include "drakit.mock.enabled" . }}
{{- $nodes := .Values.mock.nodes }}
{{- if not $nodes }}
{{- fail "mock.nodes: no node would have agents; list a type, such as trn2.48xlarge" }}
{{- end }}
{{- $drivers := include "drakit.drivers" . | fromYamlArray }}
{{- $types := dict }}
{{- $selectors := dict }}
{{- range $nodes }}
{{- $word := include "drakit.mock.word" . }}
{{- with get $types $word }}
{{- fail (printf "mock.nodes: %s is listed twice; let one nodeSelector select all nodes of the type" .) }}
{{- end }}
{{- $_ := set $types $word .type }}
{{- $selector := toJson (default dict .nodeSelector) }}
{{- if and (gt (len $nodes) 1) (not .nodeSelector) }}
{{- fail (printf "mock.nodes: %s is for all nodes, and there are other types; give each a nodeSelector of its own" .type) }}
{{- end }}
{{- with get $selectors $selector }}
{{- fail (printf "mock.nodes: %s is for the same nodes as another type; give each a nodeSelector of its own" .) }}
{{- end }}
{{- $_ := set $selectors $selector .type }}
{{- $type := .type }}
{{- range .drivers }}
{{- if not (has . $drivers) }}
{{- fail (printf "mock.nodes: %s lists driver %s, which no backend serves; config.backends serve %s" $type . (join ", " $drivers)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
