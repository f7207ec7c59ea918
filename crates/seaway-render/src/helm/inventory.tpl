{{/* The part for Kubernetes of a document and of its plan, with this release's values. */}}
{{- define "seaway.kubernetes" -}}
{{- $spec := .Files.Get "inventory/plan.json" | fromJson | dig "kubernetes" dict -}}
{{- if hasKey $spec "namespace" -}}{{- $_ := set $spec "namespace" .Release.Namespace -}}{{- end -}}
{{- if and .Values.image (ne .Values.image %IMAGE%) -}}{{- $_ := set $spec "image" .Values.image -}}{{- end -}}
{{- if ne .Values.agentImage %AGENT% -}}{{- $_ := set $spec "agentImage" .Values.agentImage -}}{{- end -}}
{{- $_ := set $spec "imagePullPolicy" .Values.imagePullPolicy -}}
{{- $_ := set $spec "imagePullSecrets" (.Values.imagePullSecrets | default list) -}}
{{- $_ := set $spec "serviceType" .Values.serviceType -}}
{{- $_ := set $spec "networkPolicy" .Values.networkPolicy.enabled -}}
{{- $_ := set $spec "scratchSize" (include "seaway.memory" .Values.scratchSize) -}}
{{- $_ := set $spec "pods" (include "seaway.pods" (list ($spec.pods | default dict) .Values.pods) | fromJson) -}}
{{- $roles := $spec.roles | default dict -}}
{{- range $role, $values := .Values.roles -}}
{{- $pods := include "seaway.pods" (list (get $roles $role | default dict) $values) | fromJson -}}
{{- if $pods -}}{{- $_ := set $roles $role $pods -}}{{- else -}}{{- $_ := unset $roles $role -}}{{- end -}}
{{- end -}}
{{- $_ := set $spec "roles" $roles -}}
{{- toJson $spec -}}
{{- end -}}

{{/* Settings of pods in a document: what the chart has no value for stays. */}}
{{- define "seaway.pods" -}}
{{- $pods := first . -}}
{{- $values := last . -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "serviceAccount" "priorityClass" "annotations" "labels" -}}
{{- $value := index $values $key -}}
{{- if $value -}}{{- $_ := set $pods $key $value -}}{{- else -}}{{- $_ := unset $pods $key -}}{{- end -}}
{{- end -}}
{{- toJson $pods -}}
{{- end -}}

{{/* What a role gets, as documents and plans write it. */}}
{{- define "seaway.resources" -}}
{{- $resources := dict -}}
{{- with include "seaway.cpu" .cpu -}}{{- $_ := set $resources "cpu" . -}}{{- end -}}
{{- with include "seaway.memory" .memory -}}{{- $_ := set $resources "memory" . -}}{{- end -}}
{{- toJson $resources -}}
{{- end -}}

{{/* The document of this release. */}}
{{- define "seaway.document" -}}
{{- $document := .Files.Get "inventory/document.json" | fromJson -}}
{{- $_ := set $document.metadata "name" (include "seaway.name" .) -}}
{{- $_ := set $document.spec "kubernetes" (include "seaway.kubernetes" . | fromJson) -}}
{{- $root := . -}}
{{- range $role, $section := %SECTIONS% -}}
{{- $values := get $root.Values.roles $role -}}
{{- $part := get $document.spec $section | default dict -}}
{{- if hasKey $values "replicas" -}}{{- $_ := set $part "replicas" ($values.replicas | int) -}}{{- end -}}
{{- $_ := set $part "resources" (include "seaway.resources" ($values.resources | default dict) | fromJson) -}}
{{- $env := $part.env | default dict -}}
{{- range $name, $value := $values.env -}}{{- $_ := set $env $name (include "seaway.text" $value) -}}{{- end -}}
{{- $_ := set $part "env" $env -}}
{{- $_ := set $document.spec $section $part -}}
{{- end -}}
{{- range $data := $document.spec.data -}}
{{- if hasKey $root.Values.data $data.name -}}
{{- $_ := set $data "volume" (include "seaway.source" (get $root.Values.data $data.name).volume | fromJson) -}}
{{- end -}}
{{- end -}}
{{- toRawJson $document -}}
{{- end -}}

{{/* The plan of this release. */}}
{{- define "seaway.plan" -}}
{{- $plan := .Files.Get "inventory/plan.json" | fromJson -}}
{{- $_ := set $plan "instance" (include "seaway.name" .) -}}
{{- $_ := set $plan "kubernetes" (include "seaway.kubernetes" . | fromJson) -}}
{{- $root := . -}}
{{- range $file := $plan.files -}}
{{- if not (hasKey $file "content") -}}
{{- $_ := set $file "content" ($root.Files.Get (printf "files/%s" $file.fileName)) -}}
{{- end -}}
{{- end -}}
{{- range $data := $plan.data -}}
{{- if hasKey $root.Values.data $data.name -}}
{{- $_ := set $data "volume" (include "seaway.source" (get $root.Values.data $data.name).volume | fromJson) -}}
{{- end -}}
{{- end -}}
{{- $fixed := %FIXED% -}}
{{- range $role := $plan.roles -}}
{{- $values := get $root.Values.roles $role.name -}}
{{- if and $root.Values.image (ne $root.Values.image %IMAGE%) -}}{{- $_ := set $role "image" $root.Values.image -}}{{- end -}}
{{- if hasKey $values "replicas" -}}{{- $_ := set $role "replicas" ($values.replicas | int) -}}{{- end -}}
{{- if hasKey $values "resources" -}}
{{- $_ := set $role "resources" (include "seaway.resources" ($values.resources | default dict) | fromJson) -}}
{{- end -}}
{{- range $key, $value := include (printf "seaway.role.%s" $role.name) $root | fromYaml -}}
{{- $_ := set $role $key $value -}}
{{- end -}}
{{- $env := $role.env | default dict -}}
{{- range $name, $value := $values.env -}}
{{- if not (has $name (get $fixed $role.name)) -}}
{{- $_ := set $env $name (include "seaway.text" $value | replace "${" "$${") -}}
{{- end -}}
{{- end -}}
{{- if $env -}}{{- $_ := set $role "env" $env -}}{{- end -}}
{{- end -}}
{{- toRawJson $plan -}}
{{- end -}}

{{/* A digest of all that the processes of a role are started with, as Seaway itself makes it. */}}
{{- define "seaway.revision" -}}
{{- $plan := include "seaway.plan" .root | fromJson -}}
{{- $name := .role -}}
{{- range $role := $plan.roles -}}
{{- if eq $role.name $name -}}
{{- $_ := set $role "replicas" 0 -}}
{{- $_ := unset $role "image" -}}
{{- $environment := get ($plan.environments | default dict) ($role.environment | default "") | default nil -}}
{{- $parts := dict "role" $role "environment" $environment "files" ($plan.files | default list) "data" ($plan.data | default list) -}}
{{- toRawJson $parts | sha256sum | trunc 16 -}}
{{- end -}}
{{- end -}}
{{- end -}}
