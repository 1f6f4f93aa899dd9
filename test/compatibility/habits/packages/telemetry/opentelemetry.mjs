// Prints the span of each request.
import 'node:http'
import { registerInstrumentations } from '@opentelemetry/instrumentation'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import { NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'

const exporter = {
  export(spans, done) {
    for (const { attributes } of spans) {
      const url = attributes['url.path'] ?? attributes['http.target']
      const status = attributes['http.response.status_code'] ?? attributes['http.status_code']
      console.log(JSON.stringify({ event: 'span', msg: 'span', url, status }))
    }
    done({ code: 0 })
  },
  shutdown: async () => {},
}
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()
registerInstrumentations({ instrumentations: [new HttpInstrumentation()] })
// What is instrumented are modules that are required from now on, and their prototypes with them.
process.getBuiltinModule('node:module').createRequire(import.meta.url)('node:http')
