// Bare node:cluster: node cluster.js <none|rr> <entry>
import cluster from 'node:cluster'

const [policy, entry] = process.argv.slice(2)
cluster.schedulingPolicy = policy === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR
cluster.setupPrimary({ exec: entry })
for (let worker = 0; worker < 2; worker++) cluster.fork()
process.on('SIGTERM', () => {
  for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL')
  process.exit()
})
