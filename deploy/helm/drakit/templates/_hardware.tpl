{{/*
Where the agent sees its node's hardware. Below `root` stands what backends read of the host, at its own path and read
only; with the mock, a tree that fakes it.
*/}}

{{- define "drakit.hardware.root" -}}
{{- if include "drakit.mock.enabled" . }}{{ include "drakit.mock.directory" . }}{{ else }}/host{{ end }}
{{- end }}

{{/* The same tree as the container runtime sees it, for the paths in CDI files. */}}
{{- define "drakit.hardware.hostRoot" -}}
{{- if include "drakit.mock.enabled" . }}{{ include "drakit.mock.directory" . }}{{ else }}/{{ end }}
{{- end }}

{{/*
What is read: devices and their state, the device files that there are, and the id of this boot. Not /sys as a whole:
control groups and what the kernel has for debugging are below it.
*/}}
{{- define "drakit.hardware.paths" -}}
- name: host-sys-bus
  path: /sys/bus
  type: Directory
- name: host-sys-class
  path: /sys/class
  type: Directory
- name: host-sys-devices
  path: /sys/devices
  type: Directory
- name: host-sys-module
  path: /sys/module
  type: Directory
- name: host-dev
  path: /dev
  type: Directory
- name: host-boot-id
  path: /proc/sys/kernel/random/boot_id
  type: File
{{- range $index, $path := .Values.agent.hostPaths }}
- name: host-{{ $index }}
  path: {{ $path }}
  type: ""
{{- end }}
{{- end }}

{{- define "drakit.hardware.volumeMounts" -}}
{{- if include "drakit.mock.enabled" . -}}
{{ include "drakit.mock.volumeMounts" . }}
{{- else -}}
{{- range include "drakit.hardware.paths" . | fromYamlArray -}}
- name: {{ .name }}
  mountPath: {{ include "drakit.hardware.root" $ }}{{ .path }}
  readOnly: true
  # What is mounted below it is not to be written either.
  recursiveReadOnly: IfPossible
{{ end }}
{{- range list "pts" "shm" -}}
- name: nothing # where it is not possible, the host's terminals and shared memory are hidden
  mountPath: {{ include "drakit.hardware.root" $ }}/dev/{{ . }}
  readOnly: true
{{ end }}
{{- end }}
{{- end }}

{{- define "drakit.hardware.volumes" -}}
{{- if include "drakit.mock.enabled" . -}}
{{ include "drakit.mock.volumes" . }}
{{- else -}}
{{- range include "drakit.hardware.paths" . | fromYamlArray -}}
- name: {{ .name }}
  hostPath:
    path: {{ .path }}
    type: {{ .type | quote }}
{{ end -}}
- name: nothing
  emptyDir: {}
{{- end }}
{{- end }}
