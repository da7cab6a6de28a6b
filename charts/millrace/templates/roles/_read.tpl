{{/* Whether the roles of people are made. Values of an older chart do not say. */}}
{{- define "millrace.roles.wanted" -}}
{{- if eq (toString (.Values.rbac).roles) "false" -}}no{{- else -}}yes{{- end -}}
{{- end -}}

{{/* What all people with a role may do. */}}
{{- define "millrace.roles.read" -}}
- apiGroups: [analytics.millrace.dev]
  resources: [analyticstenants, pipelines]
  verbs: [get, list, watch]
- apiGroups: [analytics.millrace.dev]
  resources: [analyticstenants/status, pipelines/status, pipelines/scale]
  verbs: [get]
{{- end -}}
