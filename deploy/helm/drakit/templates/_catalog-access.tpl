{{/* What roles and policies of the catalog have in common. */}}

{{/* The subjects of a binding. */}}
{{- define "drakit.catalog.subjects" -}}
{{- range $kind, $names := dict "User" .users "Group" .groups }}
{{- range $names }}
- kind: {{ $kind }}
  apiGroup: rbac.authorization.k8s.io
  name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Leaves those alone who may publish templates in the namespace. */}}
{{- define "drakit.catalog.notPlatform" -}}
- name: not-of-the-platform-team
  expression: >-
    !authorizer.group('resource.k8s.io').resource('resourceclaimtemplates').namespace(request.namespace)
    .check('publish').allowed()
{{- end }}

{{/* Binds a policy to the namespaces with offers. */}}
{{- define "drakit.catalog.binding" }}
{{- $root := index . 0 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "drakit.labels" $root | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: {{ toJson $root.Values.catalog.policy.actions }}
  matchResources:
    namespaceSelector:
      matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: {{ include "drakit.catalog.namespaces" $root }}
{{- end }}

{{/* Plain data as a literal of CEL, which takes no values of several types in one literal unless each is `dyn`. */}}
{{- define "drakit.catalog.literal" -}}
{{- if kindIs "map" . -}}
{{- $items := list }}
{{- range $key, $value := . }}{{ $items = append $items (printf "%s: dyn(%s)" (toJson $key) (include "drakit.catalog.literal" $value)) }}{{ end }}
{{- printf "{%s}" (join ", " $items) }}
{{- else if kindIs "slice" . -}}
{{- $items := list }}
{{- range . }}{{ $items = append $items (printf "dyn(%s)" (include "drakit.catalog.literal" .)) }}{{ end }}
{{- printf "[%s]" (join ", " $items) }}
{{- else -}}
{{- toRawJson . }}
{{- end }}
{{- end }}

{{/* The extended resources that DeviceClasses of the chart stand for, as a list of CEL. */}}
{{- define "drakit.catalog.extendedResources" -}}
{{- values .Values.deviceClasses.extendedResourceNames | uniq | sortAlpha | toJson | replace "\"" "'" }}
{{- end }}
