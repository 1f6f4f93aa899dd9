process.env.OTEL_TRACES_EXPORTER ??= 'none'
process.env.OTEL_METRICS_EXPORTER ??= 'none'
process.env.OTEL_LOGS_EXPORTER ??= 'none'
process.env.OTEL_LOG_LEVEL ??= 'error'
require('@opentelemetry/auto-instrumentations-node/register')
