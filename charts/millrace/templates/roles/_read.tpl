{{/* What all people with a role may do. */}}
{{- define "millrace.roles.read" -}}
- apiGroups: [analytics.millrace.dev]
  resources: [analyticstenants, pipelines]
  verbs: [get, list, watch]
- apiGroups: [analytics.millrace.dev]
  resources: [analyticstenants/status, pipelines/status, pipelines/scale]
  verbs: [get]
{{- end -}}
