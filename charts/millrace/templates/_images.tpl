{{/* An image's full name: registry/repository:tag@digest. Call it with (dict "root" $ "name" "operator"). */}}
{{- define "millrace.image" -}}
{{- $images := .root.Values.images -}}
{{- $image := index $images .name -}}
{{- $repository := $image.repository -}}
{{- if $images.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" $images.registry) $image.repository -}}
{{- end -}}
{{- $tag := $image.tag | default $images.tag | default .root.Chart.AppVersion -}}
{{- printf "%s:%s" $repository $tag -}}
{{- with $image.digest -}}@{{ . }}{{- end -}}
{{- end -}}
