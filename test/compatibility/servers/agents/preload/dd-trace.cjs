require('dd-trace').init({ startupLogs: false, runtimeMetrics: false })
