// Prints the transaction of each request instead of sending it.
import * as Sentry from '@sentry/node'

Sentry.init({
  dsn: 'http://key@127.0.0.1:9/1',
  tracesSampleRate: 1,
  traceLifecycle: 'static',
  beforeSendTransaction({ contexts: { trace, response } }) {
    const { 'url.path': url, 'http.response.status_code': status } = trace.data
    console.log(JSON.stringify({ event: 'span', msg: 'span', url, status, response: response?.status_code }))
    return null
  },
})
