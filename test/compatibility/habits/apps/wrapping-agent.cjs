// What agents do when they are preloaded: wrap `emit` of the servers of Node.
const http = require('node:http')
const https = require('node:https')
const { basename } = require('node:path')
const { isMainThread } = require('node:worker_threads')

globalThis.agentEvents = 0
for (const { Server } of [http, https]) {
  const { emit } = Server.prototype
  Server.prototype.emit = function (...args) {
    globalThis.agentEvents++
    return emit.apply(this, args)
  }
}
const place = `${basename(process.argv[1] ?? '')} ${isMainThread ? 'main thread' : 'another thread'}`
console.log(`agent in ${place}`)
process.on('exit', () => console.log(`agent ends in ${place}`))
