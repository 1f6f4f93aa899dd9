import http from 'node:http'

/** An app that never listens. */
export let turns = 0

function readConfiguration(): void {
  for (;;) turns++ // here: load
}

readConfiguration()
http.createServer().listen(Number(process.env.PORT))
