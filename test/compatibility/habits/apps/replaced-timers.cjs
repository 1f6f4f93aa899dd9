// An app that replaces timers: end-to-end tests that stop the clock, zone.js, an agent that wraps
// `net.Socket.prototype.setTimeout`.
const http = require('node:http')
const net = require('node:net')
const { createRequire } = require('node:module')
const load = createRequire(`${process.env.CLOCKS}/`)

const { setTimeout: setSocketTimeout } = net.Socket.prototype
let wrapped = 0
net.Socket.prototype.setTimeout = function (...args) {
  wrapped++
  return setSocketTimeout.apply(this, args)
}

let clock = null
http
  .createServer((request, response) => {
    const [, path] = request.url.split('/')
    if (path === 'hang') return
    if (path === 'stop-clock') {
      const toFake = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate']
      clock = load('@sinonjs/fake-timers').install({ toFake: [...toFake, 'Date', 'performance', 'hrtime'] })
    }
    if (path === 'start-clock') clock.uninstall()
    if (path === 'zone') load('zone.js')
    response.end(path === 'socket-timeouts' ? String(wrapped) : String(Date.now()))
  })
  .listen(process.env.PORT, process.env.HOST)
