{{/* What is allowed and may surprise; for the notes. */}}
{{- define "drakit.warnings" -}}
{{- $warnings := list }}
{{- $new := semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version }}
{{- range .Values.config.backends }}
{{- if and .taints (not $new) }}
{{- $warnings = append $warnings (printf "plugin %s taints faulty devices, which Kubernetes %s does only with the feature gate DRADeviceTaints" .plugin $.Capabilities.KubeVersion.Version) }}
{{- end }}
{{- end }}
{{- if and .Values.deviceClasses.extendedResourceNames (not $new) }}
{{- $warnings = append $warnings (printf "deviceClasses.extendedResourceNames needs the feature gate DRAExtendedResource on Kubernetes %s" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- if not $new }}
{{- $warnings = append $warnings (printf "Kubernetes %s cannot limit to drivers what agents write into the status of claims; 1.36 does" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- $stays := false }}
{{- range .Values.agent.tolerations }}
{{- if and (eq (default "Equal" .operator) "Exists") (not .key) (or (not .effect) (eq .effect "NoExecute")) }}{{ $stays = true }}{{ end }}
{{- end }}
{{- if not $stays }}
{{- $warnings = append $warnings "agent.tolerations: a taint of a node with NoExecute evicts the agent as well, and pods that had devices there do not end before it is back; tolerate it with operator Exists" }}
{{- end }}
{{- if not .Values.admission.slices.enabled }}
{{- $warnings = append $warnings "admission.slices is off: whoever takes over one agent can publish devices of every node" }}
{{- end }}
{{- if not .Values.rbac.create }}
{{- $warnings = append $warnings (printf "rbac.create is off: see that %s has the permissions that docs/security.md lists" (include "drakit.username" .)) }}
{{- end }}
{{- if .Values.agent.capabilities }}
{{- $warnings = append $warnings (printf "agent.capabilities: the agents have %s" (join ", " .Values.agent.capabilities)) }}
{{- end }}
{{- with include "drakit.unknownPlugins" . | fromYamlArray }}
{{- $warnings = append $warnings (printf "the chart does not know the DeviceClasses of %s: `drakit classes` in an agent's pod prints them" (join ", " .)) }}
{{- end }}
{{- range $warnings }}

WARNING: {{ . }}
{{- end }}
{{- end }}
