{{/* The name of the instance: that of the release. Services begin with a letter, and what is made from it has an end. */}}
{{- define "seaway.name" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the release name `%s` cannot be the name of Services: they begin with a letter and have only a-z, 0-9 and `-`; give another with --set fullnameOverride=NAME" $name) -}}
{{- end -}}
{{- if gt (len $name) %LONGEST% -}}
{{- fail (printf "the release name `%s` has %d characters, and this chart's objects can have %LONGEST%; give a shorter one with --set fullnameOverride=NAME" $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* A number as it was written: Helm makes 1000000 of YAML a 1e+06. */}}
{{- define "seaway.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* Bytes of an amount of memory. */}}
{{- define "seaway.bytes" -}}
{{- $text := include "seaway.text" . -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $bytes := ceil (mulf $number (get $units (trimPrefix $number $text))) | int64 -}}
{{- if lt $bytes 1048576 -}}
{{- fail (printf "`%s` is less memory than 1Mi" $text) -}}
{{- end -}}
{{- $bytes -}}
{{- end -}}

{{/* An amount of memory in the largest unit that fits; nothing when there is none. */}}
{{- define "seaway.memory" -}}
{{- if . -}}
{{- $bytes := include "seaway.bytes" . | int64 -}}
{{- $shown := "" -}}
{{- range $unit := list (list "Ti" 1099511627776) (list "Gi" 1073741824) (list "Mi" 1048576) (list "Ki" 1024) (list "" 1) -}}
{{- if and (not $shown) (eq (mod $bytes (last $unit)) 0) -}}
{{- $shown = printf "%d%s" (div $bytes (last $unit)) (first $unit) -}}
{{- end -}}
{{- end -}}
{{- $shown -}}
{{- end -}}
{{- end -}}

{{/* So many percent of an amount of memory, in bytes. */}}
{{- define "seaway.percent" -}}
{{- if first . -}}
{{- div (mul (include "seaway.bytes" (first .) | int64) (last .)) 100 -}}
{{- end -}}
{{- end -}}

{{/* Thousandths of a core. */}}
{{- define "seaway.millis" -}}
{{- $text := include "seaway.text" . -}}
{{- $number := trimSuffix "m" $text -}}
{{- ceil (mulf $number (ternary 1 1000 (hasSuffix "m" $text))) | int64 -}}
{{- end -}}

{{/* Cores, in thousandths when they are not whole; nothing when there are none. */}}
{{- define "seaway.cpu" -}}
{{- if . -}}
{{- $millis := include "seaway.millis" . | int64 -}}
{{- if eq (mod $millis 1000) 0 -}}{{ div $millis 1000 }}{{- else -}}{{ $millis }}m{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whole cores, rounded up; nothing when there are none. */}}
{{- define "seaway.cores" -}}
{{- if . -}}
{{- div (add (include "seaway.millis" . | int64) 999) 1000 -}}
{{- end -}}
{{- end -}}

{{/* Settings of the pods of a role: those of all pods, and over them its own. */}}
{{- define "seaway.settings" -}}
{{- $all := .all -}}
{{- $own := .own -}}
{{- $settings := dict "tolerations" (concat ($all.tolerations | default list) ($own.tolerations | default list)) -}}
{{- range $key := list "nodeSelector" "affinity" "annotations" "labels" -}}
{{- $merged := dict -}}
{{- range $from := list $all $own -}}
{{- range $name, $value := index $from $key -}}
{{- $_ := set $merged $name $value -}}
{{- end -}}
{{- end -}}
{{- $_ := set $settings $key $merged -}}
{{- end -}}
{{- range $key := list "serviceAccount" "priorityClass" -}}
{{- $_ := set $settings $key (index $own $key | default (index $all $key) | default "") -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* The value of a variable: the user's, else the usual one. The kubelet makes one dollar sign of two. */}}
{{- define "seaway.variable" -}}
{{- $env := index . 0 | default dict -}}
{{- $name := index . 1 -}}
{{- if hasKey $env $name -}}
{{- include "seaway.text" (get $env $name) | replace "$" "$$" | quote -}}
{{- else -}}
{{- index . 2 | quote -}}
{{- end -}}
{{- end -}}

{{/* The user's variables, but for those that stand there already. */}}
{{- define "seaway.variables" -}}
{{- $known := index . 1 -}}
{{- range $name, $value := index . 0 -}}
{{- if not (has $name $known) }}
- name: {{ $name }}
  value: {{ include "seaway.text" $value | replace "$" "$$" | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The source of a volume of data, as a document writes it, in full. */}}
{{- define "seaway.source" -}}
{{- $volume := deepCopy . -}}
{{- with $volume.claim -}}
{{- range $key := list "name" "size" "storageClass" "accessModes" "deleteWithInstance" -}}
{{- if not (index $volume.claim $key) -}}{{- $_ := unset $volume.claim $key -}}{{- end -}}
{{- end -}}
{{- if .size -}}{{- $_ := set . "size" (include "seaway.memory" .size) -}}{{- end -}}
{{- end -}}
{{- with $volume.emptyDir -}}
{{- if .sizeLimit -}}{{- $_ := set . "sizeLimit" (include "seaway.memory" .sizeLimit) -}}{{- else -}}{{- $_ := unset . "sizeLimit" -}}{{- end -}}
{{- end -}}
{{- with $volume.nfs -}}
{{- $_ := set . "path" (.path | default "/data") -}}
{{- end -}}
{{- toJson $volume -}}
{{- end -}}

{{/* The source of a volume of data, as a pod has it. */}}
{{- define "seaway.volume" -}}
{{- $volume := include "seaway.source" .volume | fromJson -}}
{{- if hasKey $volume "claim" -}}
persistentVolumeClaim:
  claimName: {{ $volume.claim.name | default (printf "%s-%s" (include "seaway.name" .root) .name) | quote }}
{{- else if hasKey $volume "nfs" -}}
nfs:
  server: {{ $volume.nfs.server | quote }}
  path: {{ $volume.nfs.path | quote }}
{{- else if hasKey $volume "hostPath" -}}
hostPath:
  path: {{ $volume.hostPath.path | quote }}
{{- else if hasKey $volume "configMap" -}}
configMap:
  name: {{ $volume.configMap.name | quote }}
{{- else if hasKey $volume "secret" -}}
secret:
  secretName: {{ $volume.secret.name | quote }}
  defaultMode: 288
{{- else -}}
emptyDir: {{ toJson ($volume.emptyDir | default dict) }}
{{- end -}}
{{- end -}}

{{/* A secret: the user's, else the one that the release has, else a new one of 256 random bits. */}}
{{- define "seaway.secret" -}}
{{- $given := regexReplaceAllLiteral "[\\r\\n]+$" (index . 1 | default "") "" -}}
{{- if and $given (or (lt (len $given) 8) (gt (len $given) 1024) (not (regexMatch "^[!-~]+$" $given))) -}}
{{- fail (printf "secrets.%s: a secret has 8 to 1024 characters: letters, digits and signs of ASCII" (index . 0)) -}}
{{- end -}}
{{- $given | default (index . 2 | b64dec) | default (randBytes 32 | sha256sum) -}}
{{- end -}}
