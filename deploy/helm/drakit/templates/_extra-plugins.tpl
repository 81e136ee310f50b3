{{/*
Plugins that are not in the image. Wheels come from images, or from volumes; `drakit plugins install` puts them into a
directory of the pod before the agent starts, and asks nothing of any network.
*/}}

{{- define "drakit.extraPlugins.directory" -}}
/opt/drakit-plugins
{{- end }}

{{/* Where Python looks for them. */}}
{{- define "drakit.extraPlugins.path" -}}
{{- $places := list }}
{{- range .Values.extraPlugins }}
{{- $places = append $places (printf "%s/%s" (include "drakit.extraPlugins.directory" $) .name) }}
{{- end }}
{{- join ":" $places }}
{{- end }}

{{/* The names of all plugins that they offer; as YAML, for fromYamlArray. */}}
{{- define "drakit.extraPlugins.names" -}}
{{- $names := list }}
{{- range .Values.extraPlugins }}{{ $names = concat $names .plugins }}{{ end }}
{{- toYaml $names }}
{{- end }}

{{/* What every container that is not the agent is held to. */}}
{{- define "drakit.extraPlugins.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "drakit.extraPlugins.initContainers" -}}
{{- $directory := include "drakit.extraPlugins.directory" . }}
{{- range .Values.extraPlugins }}
{{- if .image }}
- name: wheels-{{ .name }}
  image: {{ .image }}
  imagePullPolicy: IfNotPresent
  command: [cp, -R, /wheels/., /wheelhouse/]
  securityContext:
    {{- include "drakit.extraPlugins.securityContext" $ | nindent 4 }}
  resources:
    {{- toYaml $.Values.agent.resources | nindent 4 }}
  volumeMounts:
  - name: wheels-{{ .name }}
    mountPath: /wheelhouse
{{- end }}
- name: install-{{ .name }}
  image: {{ include "drakit.image" $ }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  args:
  - plugins
  - install
  - --wheels=/wheelhouse
  {{- if .requirements }}
  - --requirements=/etc/drakit/requirements-{{ .name }}.txt
  {{- else }}
  - --all
  {{- end }}
  - --target={{ $directory }}/{{ .name }}
  env:
  - name: PYTHONPATH
    value: {{ include "drakit.extraPlugins.path" $ }}
  securityContext:
    {{- include "drakit.extraPlugins.securityContext" $ | nindent 4 }}
  resources:
    {{- toYaml $.Values.agent.resources | nindent 4 }}
  volumeMounts:
  - name: wheels-{{ .name }}
    mountPath: /wheelhouse
    readOnly: true
  - name: extra-plugins
    mountPath: {{ $directory }}
  {{- if .requirements }}
  - name: config
    mountPath: /etc/drakit
    readOnly: true
  {{- end }}
{{- end }}
{{- end }}

{{- define "drakit.extraPlugins.volumes" -}}
{{- if .Values.extraPlugins }}
- name: extra-plugins
  emptyDir:
    sizeLimit: 256Mi
{{- end }}
{{- range .Values.extraPlugins }}
- name: wheels-{{ .name }}
  {{- if .image }}
  emptyDir:
    sizeLimit: 256Mi
  {{- else }}
  {{- toYaml .volume | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
