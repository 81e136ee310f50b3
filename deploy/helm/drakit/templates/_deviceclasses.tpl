{{/*
DeviceClasses, gathered in the dictionary `of` of the second argument: what there is to say of each, by its name.
*/}}

{{/* Those that enabled plugins ship, under the names and for the drivers of `config`, as `drakit classes` has them. */}}
{{- define "drakit.deviceClasses.shipped" -}}
{{- $root := index . 0 }}
{{- $classes := index . 1 }}
{{- $known := include "drakit.plugins" $root | fromYaml }}
{{- if $root.Values.deviceClasses.create }}
{{- range $backend := $root.Values.config.backends }}
{{- $plugin := get $known $backend.plugin | default dict }}
{{- $shipped := default list $plugin.deviceClasses }}
{{- if and $backend.deviceClass (hasKey $known $backend.plugin) (ne (len $shipped) 1) }}
{{- fail (printf "config.backends: plugin %s ships %d DeviceClasses, and only the one class of a plugin can be given a name; remove its deviceClass" $backend.plugin (len $shipped)) }}
{{- end }}
{{- range $class := $shipped }}
{{- $name := default $class.metadata.name $backend.deviceClass }}
{{- $driver := default $plugin.driver $backend.driver }}
{{- $spec := $class.spec | toYaml | replace "driver.invalid" $driver | fromYaml }}
{{- $other := get $classes.of $name }}
{{- if and $other (ne (toYaml $other.spec) (toYaml $spec)) }}
{{- fail (printf "config.backends: DeviceClass %s is one thing for driver %s and another for driver %s; give one of the backends a deviceClass of its own" $name $other.whose $driver) }}
{{- end }}
{{- $_ := set $classes.of $name (dict "spec" $spec "whose" $driver) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Those of `deviceClasses.additional`. */}}
{{- define "drakit.deviceClasses.additional" -}}
{{- $root := index . 0 }}
{{- $classes := index . 1 }}
{{- range $root.Values.deviceClasses.additional }}
{{- if hasKey $classes.of .name }}
{{- fail (printf "deviceClasses.additional: there is a DeviceClass %s already, of driver %s; give this one another name" .name (get $classes.of .name).whose) }}
{{- end }}
{{- $expressions := include "drakit.deviceClasses.expressions" . | fromYamlArray }}
{{- if not $expressions }}
{{- fail (printf "deviceClasses.additional: %s selects every device of the cluster; give it a driver, or expressions" .name) }}
{{- end }}
{{- $selectors := list }}
{{- range $expressions }}{{ $selectors = append $selectors (dict "cel" (dict "expression" .)) }}{{ end }}
{{- $spec := dict "selectors" $selectors }}
{{- with .config }}{{ $_ := set $spec "config" . }}{{ end }}
{{- $whose := default "of expressions" .driver }}
{{- $_ := set $classes.of .name (dict "spec" $spec "whose" $whose "labels" .labels "annotations" .annotations) }}
{{- end }}
{{- end }}

{{/*
The selectors of one: a device has to meet all. Each asks first whether a device has what it goes by: without, an
evaluation that fails would keep the scheduler from all devices.
*/}}
{{- define "drakit.deviceClasses.expressions" -}}
{{- $class := . }}
{{- $all := list }}
{{- with $class.driver }}{{ $all = append $all (printf "device.driver == %s" (toRawJson .)) }}{{ end }}
{{- if and (or $class.attributes $class.capacity $class.versions) (not $class.driver) }}
{{- fail (printf "deviceClasses.additional: %s goes by attributes, versions or capacity, which belong to a driver; give its driver" $class.name) }}
{{- end }}
{{- range $name, $value := $class.attributes }}
{{- $all = append $all (printf "%s && %s == %s" (include "drakit.cel.has" (list "attributes" $class.driver $name)) (include "drakit.cel.value" (list "attributes" $class.driver $name)) (toRawJson $value)) }}
{{- end }}
{{- range $name, $bounds := $class.versions }}
{{- $has := include "drakit.cel.has" (list "attributes" $class.driver $name) }}
{{- $value := include "drakit.cel.value" (list "attributes" $class.driver $name) }}
{{- with $bounds.from }}{{ $all = append $all (printf "%s && %s.compareTo(semver(%s)) >= 0" $has $value (toRawJson .)) }}{{ end }}
{{- with $bounds.below }}{{ $all = append $all (printf "%s && %s.compareTo(semver(%s)) < 0" $has $value (toRawJson .)) }}{{ end }}
{{- end }}
{{- range $name, $least := $class.capacity }}
{{- $all = append $all (printf "%s && %s.compareTo(quantity(%s)) >= 0" (include "drakit.cel.has" (list "capacity" $class.driver $name)) (include "drakit.cel.value" (list "capacity" $class.driver $name)) (toRawJson (toString $least))) }}
{{- end }}
{{- toYaml (concat $all (default list $class.expressions)) }}
{{- end }}

{{/* A name is one of the driver's own domain, unless it has a domain. */}}
{{- define "drakit.cel.has" -}}
{{- $parts := splitList "/" (index . 2) }}
{{- if eq (len $parts) 2 -}}
{{ index $parts 1 | toRawJson }} in device.{{ index . 0 }}[{{ index $parts 0 | toRawJson }}]
{{- else -}}
{{ index . 2 | toRawJson }} in device.{{ index . 0 }}[{{ index . 1 | toRawJson }}]
{{- end }}
{{- end }}

{{- define "drakit.cel.value" -}}
{{- $parts := splitList "/" (index . 2) }}
{{- if eq (len $parts) 2 -}}
device.{{ index . 0 }}[{{ index $parts 0 | toRawJson }}][{{ index $parts 1 | toRawJson }}]
{{- else -}}
device.{{ index . 0 }}[{{ index . 1 | toRawJson }}][{{ index . 2 | toRawJson }}]
{{- end }}
{{- end }}

{{/* Gives the classes their extended resources, each to one. */}}
{{- define "drakit.deviceClasses.check" -}}
{{- $root := index . 0 }}
{{- $classes := index . 1 }}
{{- $resources := dict }}
{{- range $name, $resource := $root.Values.deviceClasses.extendedResourceNames }}
{{- if not (hasKey $classes.of $name) }}
{{- fail (printf "deviceClasses.extendedResourceNames: there is no DeviceClass %s; there are %s" $name (keys $classes.of | sortAlpha | join ", " | default "none")) }}
{{- end }}
{{- with $resource }}
{{- with get $resources . }}
{{- fail (printf "deviceClasses.extendedResourceNames: %s is the resource of both %s and %s; a pod that asks for it would get devices of one of them" $resource . $name) }}
{{- end }}
{{- $_ := set $resources . $name }}
{{- $_ := set (get $classes.of $name).spec "extendedResourceName" . }}
{{- end }}
{{- end }}
{{- end }}
